// NACKs: rules 19 to 23, and whom a message means.
#include "controlplane/stream/attribution.h"
#include "tests/unit/controlplane/stream/driver.h"

using namespace fairlead;
using namespace fairlead::test;
using cpstream::named_by;
using cpstream::TypeStatus;

TEMPLATE_TEST_CASE("rule 19: only error_detail makes a NACK", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  c.ask(Type::kCluster);
  Request r = c.request(Type::kCluster);
  r.version_info = "something older";
  const Output o = c.send(r);
  CHECK(o.refusals.empty());
  CHECK(o.acceptances.size() == 1);
}

TEMPLATE_TEST_CASE("rule 20: a NACK is recorded with message and time and leaves the subscription; the next version goes out", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"}, 2)});
  c.see(w);
  const Output o = c.nack(Type::kRoute, "bad regex");
  CHECK(o.responses.empty());
  REQUIRE(o.refusals.size() == 1);
  CHECK(o.refusals[0].message == "bad regex");
  REQUIRE(o.refusals[0].at_fault.size() == 1);
  CHECK(o.refusals[0].at_fault[0]->name == "r");
  const cpstream::TypeStatus status = c.session.status(Type::kRoute);
  CHECK(status.state == TypeStatus::State::kError);
  CHECK(status.error == "bad regex");
  CHECK(status.error_at == c.now);
  w.put({routes("r", {"a"}, 3)});
  CHECK(shape(c.see(w)) == Names{"rds[r]"});
  c.ack(Type::kRoute);
  CHECK(c.session.status(Type::kRoute).state == TypeStatus::State::kSynced);
  CHECK(c.session.status(Type::kRoute).error.empty());
}

TEST_CASE("rule 21: a NACK may change the subscription; only new names are answered") {
  World w = edge();
  Sotw c(w.now());
  c.ask(Type::kEndpoint, {"a"});
  Request r = c.request(Type::kEndpoint);
  r.error = "no";
  r.names = {"a", "b"};
  CHECK(shape(c.send(r)) == Names{"eds[b]"});

  Delta d(w.now());
  d.ask(Type::kEndpoint, {"a"});
  Request s = d.request(Type::kEndpoint);
  s.error = "no";
  s.names = {"b"};
  CHECK(shape(d.send(s)) == Names{"eds[b]"});
}

TEMPLATE_TEST_CASE("rule 22: bytes that were refused are never sent to the stream again", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  const ResourcePtr good = w.now()->find(Type::kRoute, "r");
  const ResourcePtr bad = routes("r", {"a"}, 666);
  w.put({bad});
  c.see(w);
  c.nack(Type::kRoute, "no");
  CHECK(c.session.client_has(Type::kRoute, "r") == good);
  // other changes come and go
  w.put({cluster("a", 2)});
  for (const Response& r : c.see(w).responses) CHECK(r.type != Type::kRoute);
  // the good one and the bad one again
  w.put({good});
  CHECK(c.see(w).responses.empty());
  w.put({bad});
  CHECK(c.see(w).responses.empty());
  // even when it is asked for again, the last good one is offered
  c.ask(Type::kRoute, {});
  const Output o = c.ask(Type::kRoute, {"r"});
  for (const Response& r : o.responses) {
    for (const ResourcePtr& resource : r.resources) CHECK(resource->hash != bad->hash);
  }
}

TEMPLATE_TEST_CASE("rule 22: a new resource that is refused is left out, and the rest goes on", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({listener("bad", "r"), listener("fine", "r")});
  c.see(w);
  const Output o = c.nack(Type::kListener, "Error adding/updating listener(s) bad: error adding listener: no such filter\n");
  REQUIRE(o.refusals.size() == 1);
  CHECK(o.refusals[0].named);
  REQUIRE(o.refusals[0].at_fault.size() == 1);
  CHECK(o.refusals[0].at_fault[0]->name == "bad");
  REQUIRE_FALSE(o.responses.empty());
  CHECK(o.responses[0].type == Type::kListener);
  const Names again = names_of(o.responses[0]);
  CHECK(std::find(again.begin(), again.end(), "fine") != again.end());
  CHECK(std::find(again.begin(), again.end(), "bad") == again.end());
  c.ack_all(o);
  CHECK(c.has(Type::kListener) == Names{"fine", "l"});
  CHECK(c.session.status(Type::kListener).state == TypeStatus::State::kError);
}

TEST_CASE("rule 23: without a name in the message all that changed is at fault, and nothing loops") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  w.put({cluster("a", 2), cluster("b", 2)});
  c.see(w);
  const Output o = c.nack(Type::kCluster, "something is wrong");
  REQUIRE(o.refusals.size() == 1);
  CHECK_FALSE(o.refusals[0].named);
  CHECK(o.refusals[0].at_fault.size() == 2);
  for (const Response& r : o.responses) CHECK(r.type != Type::kCluster);
  CHECK(c.session.client_has(Type::kCluster, "a")->hash == cluster("a", 1)->hash);
}

TEST_CASE("a client that refuses everything is asked a bounded number of times") {
  World w = edge();
  Sotw c(w.now());
  size_t sent = 0;
  Output o = c.ask(Type::kCluster);
  for (int round = 0; round < 50 && !o.responses.empty(); ++round) {
    sent += o.responses.size();
    o = c.nack(Type::kCluster, "Error adding/updating cluster(s) a: no");
  }
  CHECK(o.responses.empty());
  CHECK(sent <= 3);
}

TEST_CASE("a refusal of an earlier response leaves a later one of the same name standing") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"}, 2)});
  const Response first = c.see(w).responses.at(0);
  w.put({routes("r", {"a"}, 3)});
  const Response second = c.see(w).responses.at(0);
  CHECK(c.nack(first, "no").responses.empty());
  CHECK(c.session.client_has(Type::kRoute, "r")->hash == routes("r", {"a"}, 3)->hash);
  c.nack(second, "no either");
  CHECK(c.session.client_has(Type::kRoute, "r")->hash == routes("r", {"a", "b"})->hash);
}

TEST_CASE("the accepted version stays that of before until the ACK") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"}, 2)});
  c.see(w);
  CHECK(c.session.client_accepted(Type::kRoute, "r")->hash == routes("r", {"a", "b"})->hash);
  c.ack(Type::kRoute);
  CHECK(c.session.client_accepted(Type::kRoute, "r")->hash == routes("r", {"a"}, 2)->hash);
}

TEST_CASE("attribution: Envoy's listener and cluster messages name the ones at fault") {
  const Names all{"default/edge/0.0.0.0/80", "default/edge/0.0.0.0/8080", "web", "web-2", "api"};
  CHECK(named_by("Error adding/updating listener(s) default/edge/0.0.0.0/8080: address in use\n", all) == Names{"default/edge/0.0.0.0/8080"});
  CHECK(named_by("Error adding/updating listener(s) web: no filter\napi: duplicate\n", all) == Names{"web", "api"});
  CHECK(named_by("Error adding/updating cluster(s) web-2: unknown type, api: bad", all) == Names{"web-2", "api"});
}

TEST_CASE("attribution: a name inside another one or inside a word is none") {
  const Names all{"web", "api"};
  CHECK(named_by("listener web-2 failed; capi too", all).empty());
  CHECK(named_by("route: unknown cluster 'web'", all) == Names{"web"});
  CHECK(named_by("RouteConfiguration \"api\".", all) == Names{"api"});
  CHECK(named_by("", all).empty());
}

TEST_CASE("attribution: an accused name outranks one that its message mentions") {
  CHECK(named_by("Error adding/updating cluster(s) web: conflicts with 'api'", {"api", "web"}) == Names{"web"});
}

TEST_CASE("what was taken from a client since is not what it goes on with after a refusal") {
  World w;
  w.put({listener("l", "r", 1), listener("m", "r")});
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kListener));
  w.put({listener("l", "r", 2)});
  const Output one = c.see(w);
  w.put({listener("l", "r", 3)});
  const Output two = c.see(w);
  w.drop(Type::kListener, "l");
  const Output three = c.see(w);
  w.put({listener("l", "r", 2)});
  const Output four = c.see(w);
  c.nack(one.responses.at(0), "Error adding/updating listener(s) l: no\n");
  // it takes the third form next, then loses it, and refuses what comes after
  CHECK_FALSE(c.session.client_has(Type::kListener, "l"));
  w.put({listener("m", "r", 2)});
  CHECK(shape(c.see(w)) == Names{"lds[m]"});
  c.ack(two.responses.at(0));
  c.ack(three.responses.at(0));
  c.nack(four.responses.at(0), "Error adding/updating listener(s) l: no\n");
  CHECK_FALSE(c.session.client_has(Type::kListener, "l"));
}

// From a server before, with "b" in bytes that this one has never seen; what this one has of it is refused.
void come_with_an_older_b(Delta& c) {
  Request cds = c.request(Type::kCluster);
  cds.initial_versions = {{"a", cluster("a")->version}, {"b", "older"}};
  CHECK(shape(c.send(cds)) == Names{"cds[b]"});
  c.nack(Type::kCluster, "Error adding/updating cluster(s) b: no");
  Request eds = c.request(Type::kEndpoint);
  eds.names = {"b"};
  eds.initial_versions = {{"b", "older"}};
  CHECK(shape(c.send(eds)) == Names{"eds[b]"});
  c.nack(Type::kEndpoint, "no");
}

TEST_CASE("rule 22: what a client had before it came, and kept since it refused the next, is removed when its name is") {
  World w = edge();
  Delta c(w.now());
  come_with_an_older_b(c);
  w.drop(Type::kCluster, "b");
  w.drop(Type::kEndpoint, "b");
  CHECK(shape(c.see(w)) == Names{"eds[-b]"});
  CHECK(c.wait(std::chrono::seconds(4)).responses.empty());
  CHECK(shape(c.wait(std::chrono::seconds(1))) == Names{"cds[-b]"});
  c.ack(Type::kCluster);
  CHECK(c.see(w).responses.empty());
  CHECK_FALSE(c.session.deadline());
}

TEST_CASE("rule 22: it stays while no more is known than that all refuse what replaces it, and goes with the name") {
  World w = edge();
  const snapshot::SnapshotPtr frozen = snapshot::substitute(w.now(), {{Type::kCluster, "b", nullptr}, {Type::kEndpoint, "b", nullptr}});
  Delta c(w.now());
  come_with_an_older_b(c);
  Delta later(frozen);
  Request cds = later.request(Type::kCluster);
  cds.initial_versions = {{"a", cluster("a")->version}, {"b", "older"}};
  CHECK(shape(later.send(cds)) == Names{"cds[]"});
  for (Delta* one : {&c, &later}) {
    CHECK(one->session.on_snapshot(frozen, one->now).responses.empty());
    CHECK(one->wait(std::chrono::seconds(60)).responses.empty());
  }
  w.drop(Type::kCluster, "b");
  CHECK(later.see(w).responses.empty());
  CHECK(shape(later.wait(std::chrono::seconds(5))) == Names{"cds[-b]"});
  w.put({cluster("b", 3)});
  CHECK(shape(c.see(w)).at(0) == "cds[b]");
}
