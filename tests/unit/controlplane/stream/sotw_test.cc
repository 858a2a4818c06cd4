// State of the world: requests, versions, content. One test a rule.
#include "tests/unit/controlplane/stream/driver.h"

using namespace fairlead;
using namespace fairlead::test;
using cpstream::TypeStatus;

TEST_CASE("rule 1: the first request must name its node") {
  Request r;
  CHECK(cpstream::check_first_request(r).code() == absl::StatusCode::kInvalidArgument);
  r.node.emplace();
  CHECK_FALSE(cpstream::check_first_request(r).ok());
  r.node->id = "n";
  CHECK(cpstream::check_first_request(r).ok());
}

TEST_CASE("rules 2 and 3: later requests may omit the node or repeat it; another one is counted and changes nothing") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  Request again = c.request(Type::kEndpoint);
  again.node.emplace();
  again.node->id = "n1";
  again.names = {"a"};
  CHECK(shape(c.send(again)) == Names{"eds[a]"});
  CHECK(c.session.ignored_requests() == 0);
  Request other = c.request(Type::kListener);
  other.node.emplace();
  other.node->id = "n2";
  CHECK(shape(c.send(other)) == Names{"lds[l]"});
  CHECK(c.session.ignored_requests() == 1);
}

TEST_CASE("rule 4: a type URL is needed on ADS and implied on a service of one type") {
  World w = edge();
  Sotw ads(w.now());
  CHECK(ads.send(Request{}).close.code() == absl::StatusCode::kInvalidArgument);
  cpstream::SessionOptions options;
  options.only = Type::kCluster;
  Sotw cds(w.now(), options);
  const Output o = cds.send(Request{});
  CHECK(o.close.ok());
  CHECK(shape(o) == Names{"cds[a b]"});
}

TEST_CASE("rule 5: a wrong type on a service of one type is refused, an unknown one on ADS is held") {
  World w = edge();
  cpstream::SessionOptions options;
  options.only = Type::kListener;
  Sotw lds(w.now(), options);
  CHECK_FALSE(lds.send(lds.request(Type::kCluster)).close.ok());
  Sotw ads(w.now());
  Request r = ads.request(Type::kCluster);
  r.type_url = "type.googleapis.com/example.Unknown";
  const Output o = ads.send(r);
  CHECK(o.close.ok());
  CHECK(o.responses.empty());
  CHECK(shape(ads.ask(Type::kCluster)) == Names{"cds[a b]"});
}

TEST_CASE("rule 7: two streams of one node are served alike") {
  World w = edge();
  Sotw one(w.now()), two(w.now());
  warm_up(one);
  warm_up(two);
  w.put({assignment("a", 2)});
  CHECK(shape(one.see(w)) == Names{"eds[a]"});
  CHECK(shape(two.see(w)) == Names{"eds[a]"});
}

TEST_CASE("rule 8: a new request of a type supersedes the one before") {
  World w = edge();
  Sotw c(w.now());
  c.ask(Type::kEndpoint, {"a"});
  c.ask(Type::kEndpoint, {"b"});
  w.put({assignment("a", 2), assignment("b", 2)});
  CHECK(shape(c.see(w)) == Names{"eds[b]"});
}

TEST_CASE("rule 13: nonces are unique per stream across types, and one of another type is no ACK") {
  World w = edge();
  Sotw c(w.now());
  const Output cds = c.ask(Type::kCluster);
  const Output lds = c.ask(Type::kListener);
  CHECK(cds.responses[0].nonce != lds.responses[0].nonce);
  Request confused = c.request(Type::kCluster);
  confused.nonce = lds.responses[0].nonce;
  const Output o = c.send(confused);
  CHECK(o.acceptances.empty());
  CHECK(o.responses.empty());
  CHECK(c.session.status(Type::kCluster).state == TypeStatus::State::kStale);
}

TEST_CASE("rule 14: the first request of a type may carry any nonce") {
  World w = edge();
  for (const char* nonce : {"77", "2026-01-01 00:00:00 +0000", "1"}) {
    Sotw c(w.now());
    Request r = c.request(Type::kCluster);
    r.nonce = nonce;
    r.version_info = "old";
    CHECK(shape(c.send(r)) == Names{"cds[a b]"});
  }
}

TEST_CASE("rule 15: a stale nonce gets no reply and changes no subscription") {
  World w = edge();
  Sotw c(w.now());
  const Response old = c.ask(Type::kEndpoint, {"a"}).responses[0];
  c.ack(old);
  w.put({assignment("a", 2)});
  c.see(w);
  Request stale = c.request(Type::kEndpoint);
  stale.nonce = old.nonce;
  stale.names = {"a", "b"};
  const Output o = c.send(stale);
  CHECK(o.responses.empty());
  CHECK(c.session.subscribed(Type::kEndpoint) == Names{"a"});
  CHECK(c.session.ignored_requests() == 1);
}

TEST_CASE("rule 17: versions change with content and only with it; what did not change is not sent") {
  World w = edge();
  Sotw c(w.now());
  const std::string first = c.ask(Type::kCluster).responses[0].version;
  c.ack(Type::kCluster);
  w.put({cluster("a", 1)});
  CHECK(c.see(w).responses.empty());
  w.put({cluster("a", 2)});
  const std::string second = c.see(w).responses.at(0).version;
  CHECK(first != second);
  c.ack(Type::kCluster);
  w.put({cluster("a", 1)});
  CHECK(c.see(w).responses.at(0).version == first);
}

TEST_CASE("rule 18: an ACK gets no reply") {
  World w = edge();
  Sotw c(w.now());
  c.ask(Type::kCluster);
  const Output o = c.ack(Type::kCluster);
  CHECK(o.responses.empty());
  REQUIRE(o.acceptances.size() == 1);
  CHECK(o.acceptances[0].set == w.now()->set(Type::kCluster));
  CHECK(c.session.status(Type::kCluster).state == TypeStatus::State::kSynced);
}

TEST_CASE("rule 24: a reconnect that has the current version is not sent it again; verbatim versions prove nothing") {
  World w = edge();
  Sotw c(w.now());
  Request r = c.request(Type::kCluster);
  r.version_info = w.now()->of(Type::kCluster).version();
  CHECK(c.send(r).responses.empty());
  CHECK(c.has(Type::kCluster) == Names{"a", "b"});
  w.put({cluster("b", 2)});
  CHECK(shape(c.see(w)) == Names{"cds[a b]"});

  World raw("raw:default/edge");
  raw.put({cluster("a", 1, "7")}).verbatim(Type::kCluster, "7");
  Sotw d(raw.now());
  Request again = d.request(Type::kCluster);
  again.version_info = "7";
  CHECK(shape(d.send(again)) == Names{"cds[a]"});
}

TEST_CASE("rule 24: equal content has equal versions whatever its history") {
  World one, two;
  one.put({cluster("a"), cluster("b")});
  two.put({cluster("b", 5)}).put({cluster("c")}).put({cluster("a")}).drop(Type::kCluster, "c").put({cluster("b")});
  CHECK(one.now()->of(Type::kCluster).version() == two.now()->of(Type::kCluster).version());
}

TEST_CASE("rule 29: other types with no names are unsubscribed, without a reply") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a"}));
  CHECK(c.ask(Type::kEndpoint, {}).responses.empty());
  w.put({assignment("a", 2)});
  CHECK(c.see(w).responses.empty());
}

TEST_CASE("rule 30: one empty name unsubscribes from everything") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a"}));
  c.ask(Type::kEndpoint, {""});
  w.put({assignment("a", 2)});
  CHECK(c.see(w).responses.empty());
}

TEST_CASE("rule 32: adding a name sends it, changed or not, sent before or not") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a"}));
  CHECK(shape(c.ask(Type::kEndpoint, {"a", "b"})) == Names{"eds[b]"});
  c.ack(Type::kEndpoint);
  c.ask(Type::kEndpoint, {"a"});
  CHECK(shape(c.ask(Type::kEndpoint, {"a", "b"})) == Names{"eds[b]"});
}

TEST_CASE("rule 33: dropping a name gets no reply, and its changes are not sent") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  CHECK(c.ask(Type::kEndpoint, {"a"}).responses.empty());
  w.put({assignment("b", 2)});
  CHECK(c.see(w).responses.empty());
}

TEST_CASE("rule 34: what changed before an unsubscribe is not sent after it") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  w.put({assignment("b", 2)});  // waits in the push queue
  c.ask(Type::kEndpoint, {"a"});
  CHECK(c.see(w).responses.empty());
}

TEST_CASE("rule 41: LDS and CDS responses are complete, and absence deletes") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  w.put({cluster("c")});
  CHECK(shape(c.see(w)) == Names{"cds[a b c]"});
  c.ack(Type::kCluster);
  w.drop(Type::kCluster, "c");
  CHECK(shape(c.see(w)) == Names{"cds[a b]"});
  c.ack(Type::kCluster);
  w.drop(Type::kCluster, "a").drop(Type::kCluster, "b");
  CHECK(shape(c.see(w)) == Names{"cds[]"});
}

TEST_CASE("rule 41: a scope without resources is answered with empty, valid LDS and CDS") {
  Sotw c(snapshot::empty_snapshot());
  CHECK(shape(c.ask(Type::kCluster)) == Names{"cds[]"});
  CHECK(shape(c.ask(Type::kListener)) == Names{"lds[]"});
}

TEST_CASE("rule 42: other types carry only what changed") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  w.put({assignment("b", 2)});
  CHECK(shape(c.see(w)) == Names{"eds[b]"});
}

TEST_CASE("rule 43: other types cannot be deleted; one that comes back is sent") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  w.drop(Type::kEndpoint, "b");
  CHECK(c.see(w).responses.empty());
  w.put({assignment("b")});
  CHECK(shape(c.see(w)) == Names{"eds[b]"});
}

TEST_CASE("rule 44: no name is twice in a response") {
  World w = edge();
  Sotw c(w.now());
  c.ask(Type::kEndpoint, {"a", "a"});
  CHECK(names_of(c.last.at(Type::kEndpoint)) == Names{"a"});
}

TEST_CASE("rule 45: a name that does not exist yet is remembered and sent when it does") {
  World w = edge();
  Sotw c(w.now());
  CHECK(c.ask(Type::kEndpoint, {"late"}).responses.empty());
  CHECK(c.session.status(Type::kEndpoint).state == TypeStatus::State::kNotSent);
  w.put({assignment("late")});
  CHECK(shape(c.see(w)) == Names{"eds[late]"});
}

TEST_CASE("rule 62: a listener asked for by name is answered with that one alone") {
  World w = edge();
  w.put({listener("m", "r")});
  Sotw c(w.now());
  CHECK(shape(c.ask(Type::kListener, {"m"})) == Names{"lds[m]"});
  CHECK(shape(c.ask(Type::kListener, {"m", "nowhere"})) == Names{"lds[m]"});
}

TEST_CASE("an ACK that never comes does not block other types") {
  World w = edge();
  Sotw c(w.now());
  c.ask(Type::kCluster);
  c.ask(Type::kEndpoint, {"a"});
  w.put({cluster("a", 2), assignment("a", 2)});
  CHECK(shape(c.see(w)) == Names{"cds[a b]", "eds[a]"});
}

TEST_CASE("pushes of a type stop at the limit of unacknowledged responses and go on with the next ACK") {
  World w = edge();
  cpstream::SessionOptions options;
  options.max_unacked = 3;
  Sotw c(w.now(), options);
  c.ask(Type::kEndpoint, {"a"});
  for (int i = 2; i <= 9; ++i) {
    w.put({assignment("a", i)});
    c.see(w);
  }
  CHECK(c.last.at(Type::kEndpoint).nonce == "3");
  const Output o = c.ack(Type::kEndpoint);
  REQUIRE(o.responses.size() == 1);
  CHECK(o.responses[0].resources[0]->hash == assignment("a", 9)->hash);
}

TEST_CASE("a verbatim version is sent as it is") {
  World w("raw:default/edge");
  w.put({cluster("a", 1, "7")}).verbatim(Type::kCluster, "7");
  Sotw c(w.now());
  CHECK(c.ask(Type::kCluster).responses[0].version == "7");
}
