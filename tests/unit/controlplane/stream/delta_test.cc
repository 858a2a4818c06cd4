// Incremental xDS: subscriptions, content, reconnects. One test a rule.
#include "tests/unit/controlplane/stream/driver.h"

using namespace fairlead;
using namespace fairlead::test;

TEST_CASE("rule 16: a stale nonce does not keep a subscription change from being honoured") {
  World w = edge();
  Delta c(w.now());
  c.ask(Type::kEndpoint, {"a"});
  Request r = c.request(Type::kEndpoint);
  r.nonce = "999";
  r.names = {"b"};
  CHECK(shape(c.send(r)) == Names{"eds[b]"});
  CHECK(c.session.ignored_requests() == 1);
}

TEST_CASE("rule 18: an ACK gets no reply in delta") {
  World w = edge();
  Delta c(w.now());
  c.ask(Type::kCluster);
  const Output o = c.ack(Type::kCluster);
  CHECK(o.responses.empty());
  CHECK(o.acceptances.size() == 1);
}

TEST_CASE("rule 26: delta LDS and CDS without names mean everything, other types nothing") {
  World w = edge();
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kCluster)) == Names{"cds[a b]"});
  CHECK(shape(c.ask(Type::kListener)) == Names{"lds[l]"});
  CHECK(c.ask(Type::kEndpoint).responses.empty());
  CHECK(c.ask(Type::kRoute).responses.empty());
}

TEST_CASE("rule 31: with legacy wildcards off an empty list means nothing") {
  World w = edge();
  cpstream::SessionOptions options;
  options.legacy_wildcard = false;
  Delta c(w.now(), options);
  CHECK(c.ask(Type::kCluster).responses.empty());
  CHECK(shape(c.ask(Type::kCluster, {"*"})) == Names{"cds[a b]"});
}

TEST_CASE("rule 33: an unsubscribed name gets no reply, nor do its changes") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  CHECK(c.ask(Type::kEndpoint, {}, {"b", "never"}).responses.empty());
  w.put({assignment("b", 2)});
  CHECK(c.see(w).responses.empty());
}

TEST_CASE("rule 34: what changed before an unsubscribe is not sent after it, in delta") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  w.put({assignment("a", 2), assignment("b", 2)});
  c.ask(Type::kEndpoint, {}, {"b"});
  CHECK(shape(c.see(w)) == Names{"eds[a]"});
}

TEST_CASE("rule 35: subscribing again to a subscribed name sends it again") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"a"}));
  CHECK(shape(c.ask(Type::kEndpoint, {"a"})) == Names{"eds[a]"});
}

TEST_CASE("rule 36: unsubscribing a name under a wildcard answers with the resource, or its removal") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster, {"*", "a", "nowhere"}));
  CHECK(shape(c.ask(Type::kCluster, {}, {"a"})) == Names{"cds[a]"});
  CHECK(shape(c.ask(Type::kCluster, {}, {"nowhere"})) == Names{"cds[-nowhere]"});
}

TEST_CASE("rule 37: unsubscribing from star keeps explicit names, in delta") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster, {"*", "a"}));
  CHECK(c.ask(Type::kCluster, {}, {"*"}).responses.empty());
  w.put({cluster("a", 2), cluster("b", 2)});
  CHECK(shape(c.see(w)) == Names{"cds[a]"});
}

TEST_CASE("rule 38: a name added to a legacy wildcard leaves the wildcard") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  CHECK(shape(c.ask(Type::kCluster, {"a"})) == Names{"cds[a]"});
  w.put({cluster("b", 2)});
  CHECK(shape(c.see(w)) == Names{"cds[b]"});
}

TEST_CASE("rule 40: a first request that subscribes to nothing yields a live empty subscription") {
  World w = edge();
  Delta c(w.now());
  CHECK(c.ask(Type::kCluster, {"*"}, {"*"}).responses.empty());
  w.put({cluster("a", 2)});
  CHECK(c.see(w).responses.empty());
  CHECK(shape(c.ask(Type::kCluster, {"b"})) == Names{"cds[b]"});
}

TEST_CASE("rule 45: a name that does not exist yet is sent when it does, in delta") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kEndpoint, {"late"}));
  w.put({assignment("late")});
  CHECK(shape(c.see(w)) == Names{"eds[late]"});
}

TEST_CASE("rule 46: an unknown name is answered at once as removed") {
  World w = edge();
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kEndpoint, {"a", "nowhere"})) == Names{"eds[a -nowhere]"});
}

TEST_CASE("rule 47: an update carries what changed and nothing else, each with its own version") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  w.put({cluster("b", 2)});
  const Output o = c.see(w);
  CHECK(shape(o) == Names{"cds[b]"});
  CHECK(o.responses[0].resources[0]->version == hex64(cluster("b", 2)->hash.low));
}

TEST_CASE("rule 48: removals are named, and what comes back is sent again") {
  World w = edge();
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  w.drop(Type::kCluster, "b");
  CHECK(shape(c.see(w)) == Names{"cds[-b]"});
  c.ack(Type::kCluster);
  w.put({cluster("b")});
  CHECK(shape(c.see(w)) == Names{"cds[b]"});
}

TEST_CASE("rule 49: the first wildcard reply is sent even if it is empty") {
  Delta c(snapshot::empty_snapshot());
  CHECK(shape(c.ask(Type::kCluster)) == Names{"cds[]"});
  CHECK(shape(c.ask(Type::kListener)) == Names{"lds[]"});
}

TEST_CASE("rule 50: after a reconnect only what differs, is new or has vanished is told") {
  World w = edge();
  Delta c(w.now());
  Request r = c.request(Type::kCluster);
  r.initial_versions = {{"a", cluster("a")->version}, {"b", "older"}, {"gone", "1"}};
  CHECK(shape(c.send(r)) == Names{"cds[b]"});
  CHECK(c.has(Type::kCluster) == Names{"a", "b"});
  Request lds = c.request(Type::kListener);
  lds.initial_versions = {{"l", listener("l", "r")->version}, {"gone", "1"}};
  CHECK(shape(c.send(lds)) == Names{"lds[-gone]"});
  CHECK(c.wait(std::chrono::seconds(4)).responses.empty());
  CHECK(shape(c.wait(std::chrono::seconds(1))) == Names{"cds[-gone]"});  // routes that named it have been changed by then
  CHECK_FALSE(c.session.deadline());

  Delta named(w.now());
  Request eds = named.request(Type::kEndpoint);
  eds.names = {"a", "b"};
  eds.initial_versions = {{"a", assignment("a")->version}, {"b", assignment("b")->version}};
  CHECK(named.send(eds).responses.empty());
  w.put({assignment("b", 2)});
  CHECK(shape(named.see(w)) == Names{"eds[b]"});
}

TEST_CASE("rule 50: a table that changed meanwhile goes out once the clusters it names are sent with their endpoints") {
  World w = edge();
  Delta c(w.now());
  Request cds = c.request(Type::kCluster);
  cds.initial_versions = {{"a", cluster("a")->version}};
  CHECK(shape(c.send(cds)) == Names{"cds[b]"});
  Request eds = c.request(Type::kEndpoint);
  eds.names = {"a"};
  eds.initial_versions = {{"a", assignment("a")->version}};
  CHECK(c.send(eds).responses.empty());
  Request rds = c.request(Type::kRoute);
  rds.names = {"r"};
  rds.initial_versions = {{"r", "older"}};
  CHECK(c.send(rds).responses.empty());
  CHECK(c.session.status(Type::kRoute).state == cpstream::TypeStatus::State::kNotSent);
  CHECK(shape(c.ask(Type::kEndpoint, {"b"})) == Names{"eds[b]", "rds[r]"});

  w.drop(Type::kRoute, "r");  // and one that is gone before it was sent is removed
  Delta late(edge().now());
  Request first = late.request(Type::kCluster);
  late.send(first);
  rds.node = first.node;
  CHECK(late.send(rds).responses.empty());
  CHECK(shape(late.see(w)) == Names{"rds[-r]"});
}

TEST_CASE("rule 50: a reconnect with everything current costs one empty reply") {
  World w = edge();
  Delta c(w.now());
  Request r = c.request(Type::kCluster);
  r.initial_versions = {{"a", cluster("a")->version}, {"b", cluster("b")->version}};
  CHECK(shape(c.send(r)) == Names{"cds[]"});
}

TEST_CASE("rule 50: of a name reported twice the last version counts") {
  World w = edge();
  Delta c(w.now());
  Request r = c.request(Type::kCluster);
  r.initial_versions = {{"a", "older"}, {"b", cluster("b")->version}, {"a", cluster("a")->version}, {"b", "older"}};
  CHECK(shape(c.send(r)) == Names{"cds[b]"});
}

TEST_CASE("rule 50: an equal version that is no content hash proves nothing: the resource is sent again") {
  World w("raw:default/edge");
  w.put({cluster("a", 2, "7")}).verbatim(Type::kCluster, "7");
  Delta c(w.now());
  Request r = c.request(Type::kCluster);
  r.initial_versions = {{"a", "7"}};
  CHECK(shape(c.send(r)) == Names{"cds[a]"});
}

TEST_CASE("rule 51: a large delta reply is split, each part with a nonce of its own") {
  World w = edge();
  cpstream::SessionOptions options;
  options.max_delta_bytes = cluster("a")->delta_frame.size() + 10;
  Delta c(w.now(), options);
  const Output o = c.ask(Type::kCluster);
  CHECK(shape(o) == Names{"cds[a]", "cds[b]"});
  CHECK(o.responses[0].nonce != o.responses[1].nonce);
  c.ack(o.responses[0]);
  CHECK(c.ack(o.responses[1]).responses.empty());
  CHECK(c.session.status(Type::kCluster).state == cpstream::TypeStatus::State::kSynced);
}

TEST_CASE("a verbatim version is that of the type and of each resource that changed with it") {
  World w("raw:default/edge");
  w.put({cluster("a", 1, "7"), cluster("b", 1, "7")}).verbatim(Type::kCluster, "7");
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  w.put({cluster("b", 2, "8")}).verbatim(Type::kCluster, "8");
  const Output o = c.see(w);
  CHECK(shape(o) == Names{"cds[b]"});
  CHECK(o.responses[0].version == "8");
  CHECK(o.responses[0].resources[0]->version == "8");
}

TEST_CASE("one endpoint of a thousand clusters changes: one resource goes out, the very bytes every stream shares") {
  World w;
  std::vector<ResourcePtr> all;
  Names names;
  for (int i = 0; i < 1000; ++i) {
    names.push_back("c" + std::to_string(i));
    all.push_back(cluster(names.back()));
    all.push_back(assignment(names.back()));
  }
  w.put(all);
  Delta one(w.now()), two(w.now());
  for (Delta* c : {&one, &two}) {
    c->ack_all(c->ask(Type::kCluster));
    c->ack_all(c->ask(Type::kEndpoint, names));
  }
  const snapshot::SnapshotPtr next = snapshot::amend(w.now(), {assignment("c7", 9)});
  const Output a = one.session.on_snapshot(next, one.now);
  const Output b = two.session.on_snapshot(next, two.now);
  CHECK(shape(a) == Names{"eds[c7]"});
  CHECK(a.responses[0].resources[0] == b.responses[0].resources[0]);
  CHECK(next->set(Type::kCluster) == w.now()->set(Type::kCluster));
}

TEST_CASE("a stream that missed several snapshots is brought to the last one") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  w.put({assignment("a", 2)});
  w.put({assignment("b", 2), cluster("c"), assignment("c")});
  w.put({assignment("a", 1)});  // back to what the client has
  CHECK(shape(c.see(w)) == Names{"cds[c]", "eds[b]"});
}

TEST_CASE("a stream moved to another scope gets the difference") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  World other("gateway:default/other");
  other.put({cluster("a"), cluster("z"), assignment("a"), listener("l", "r"), routes("r", {"a"})});
  c.ack_all(c.see(other));
  CHECK(c.has(Type::kCluster) == Names{"a", "z"});
  CHECK(c.session.client_has(Type::kRoute, "r")->hash == routes("r", {"a"})->hash);
}
