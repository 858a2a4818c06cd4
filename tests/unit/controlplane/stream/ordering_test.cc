// Order, warming and make before break: rules 54 to 58.
#include "tests/unit/controlplane/stream/driver.h"

using namespace fairlead;
using namespace fairlead::test;

TEMPLATE_TEST_CASE("rule 54: types are pushed in the order CDS, EDS, LDS, RDS", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  // asked for in another order
  c.ack_all(c.ask(Type::kRoute, {"r"}));
  c.ack_all(c.ask(Type::kListener));
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  c.ack_all(c.ask(Type::kCluster));
  w.put({cluster("a", 2), assignment("b", 2), listener("l", "r", 2), routes("r", {"a"}, 2)});
  Names order;
  for (const Response& r : c.see(w).responses) order.emplace_back(resources::short_name(r.type));
  CHECK(order == Names{"cds", "eds", "lds", "rds"});
}

TEMPLATE_TEST_CASE("rule 54: a removed cluster waits for the ACK of the routes that drop it", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"})}).drop(Type::kCluster, "b").drop(Type::kEndpoint, "b");
  const Output o = c.see(w);
  CHECK(shape(o) == Names{"rds[r]"});
  CHECK(c.has(Type::kCluster) == Names{"a", "b"});
  CHECK(c.session.status(Type::kCluster).withheld == 1);
  const Output after = c.ack(Type::kRoute);
  REQUIRE_FALSE(after.responses.empty());
  CHECK(after.responses[0].type == Type::kCluster);
  CHECK(c.has(Type::kCluster) == Names{"a"});
  CHECK(c.session.status(Type::kCluster).withheld == 0);
}

TEST_CASE("rule 54: a removed filter configuration waits for the ACK of the listener that drops it") {
  World w = edge();
  w.put({listener("l", "r", 1, {}, "x"), filter_config("x")});
  Delta c(w.now());
  warm_up(c);
  c.ack_all(c.ask(Type::kExtensionConfig, {"x"}));
  w.put({listener("l", "r")}).drop(Type::kExtensionConfig, "x");
  CHECK(shape(c.see(w)) == Names{"lds[l]", "rds[r]"});
  CHECK(c.has(Type::kExtensionConfig) == Names{"x"});
  CHECK(shape(c.ack(Type::kListener)) == Names{"ecds[-x]"});
}

TEST_CASE("rule 46: a filter configuration that does not exist is not said to be removed, unless the client comes back with one") {
  World w = edge();
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kExtensionConfig, {"x"})).empty());
  w.put({filter_config("x")});
  CHECK(shape(c.see(w)) == Names{"ecds[x]"});
  Delta again(edge().now());
  Request r = again.request(Type::kExtensionConfig);
  r.names = {"x", "y"};
  r.initial_versions = {{"x", "1"}};
  CHECK(shape(again.send(r)) == Names{"ecds[-x]"});
}

TEST_CASE("rule 54: a SotW response made while a removal waits still has the cluster, under a version of its own") {
  World w = edge();
  Sotw c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"}), cluster("c")}).drop(Type::kCluster, "b");
  const Output o = c.see(w);
  CHECK(shape(o) == Names{"cds[a b c]", "rds[r]"});
  CHECK(o.responses[0].version != w.now()->of(Type::kCluster).version());
  c.ack(Type::kCluster);
  const Output after = c.ack(Type::kRoute);
  CHECK(shape(after) == Names{"cds[a c]"});
  CHECK(after.responses[0].version == w.now()->of(Type::kCluster).version());
}

TEST_CASE("rule 54: the assignment of a removed cluster goes after it, in delta") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"})}).drop(Type::kCluster, "b").drop(Type::kEndpoint, "b");
  c.see(w);
  CHECK(shape(c.ack(Type::kRoute)) == Names{"cds[-b]", "eds[-b]"});
}

TEMPLATE_TEST_CASE("rule 54: a cluster no route names is removed at once", "", Sotw, Delta) {
  World w = edge();
  w.put({cluster("spare")});
  TestType c(w.now());
  warm_up(c);
  w.drop(Type::kCluster, "spare");
  c.see(w);
  CHECK(c.has(Type::kCluster) == Names{"a", "b"});
}

TEMPLATE_TEST_CASE("rule 54: a removal waits thirty seconds at most for an ACK that does not come", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"})}).drop(Type::kCluster, "b");
  c.see(w);
  REQUIRE(c.session.deadline());
  CHECK(*c.session.deadline() == c.now + std::chrono::seconds(30));
  CHECK(c.wait(std::chrono::seconds(29)).responses.empty());
  CHECK(c.wait(std::chrono::seconds(1)).responses.size() == 1);
  CHECK(c.has(Type::kCluster) == Names{"a"});
  CHECK_FALSE(c.session.deadline());
}

TEMPLATE_TEST_CASE("rule 54: a removal waits as long as the routes the client fell back to name the cluster", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"})}).drop(Type::kCluster, "b");
  c.see(w);
  c.nack(Type::kRoute, "no");
  CHECK(c.wait(std::chrono::seconds(120)).responses.empty());
  CHECK(c.has(Type::kCluster) == Names{"a", "b"});
  CHECK_FALSE(c.session.deadline());
  w.put({routes("r", {"a"}, 2)});
  c.ack_all(c.see(w));
  CHECK(c.has(Type::kCluster) == Names{"a"});
}

TEMPLATE_TEST_CASE("rule 54: a removed cluster that comes back while it waits is not sent again", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({routes("r", {"a"})}).drop(Type::kCluster, "b");
  c.see(w);
  w.put({cluster("b")});
  CHECK(c.see(w).responses.empty());
  CHECK(c.ack(Type::kRoute).responses.empty());
  CHECK(c.has(Type::kCluster) == Names{"a", "b"});
}

TEMPLATE_TEST_CASE("rule 54: a route table in use changes once the clusters it newly names are sent with their endpoints", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({cluster("c"), assignment("c"), routes("r", {"c"}, 2)});
  const Output o = c.see(w);
  REQUIRE(shape(o).size() == 1);
  CHECK(o.responses[0].type == Type::kCluster);
  CHECK(c.session.client_has(Type::kRoute, "r")->hash == routes("r", {"a", "b"})->hash);
  CHECK(c.session.status(Type::kRoute).state == cpstream::TypeStatus::State::kStale);
  CHECK(c.ack(Type::kCluster).responses.empty());
  const Output after = c.ask(Type::kEndpoint, std::is_same_v<TestType, Sotw> ? Names{"a", "b", "c"} : Names{"c"});
  CHECK(shape(after) == Names{"eds[c]", "rds[r]"});
  CHECK_FALSE(c.session.deadline());
  c.ack_all(after);
  CHECK(c.session.status(Type::kRoute).state == cpstream::TypeStatus::State::kSynced);
}

TEMPLATE_TEST_CASE("rule 54: a route table waits five seconds at most for endpoints that are never asked for", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({cluster("c"), assignment("c"), routes("r", {"c"}, 2)});
  c.ack_all(c.see(w));
  REQUIRE(c.session.deadline());
  CHECK(c.wait(std::chrono::seconds(4)).responses.empty());
  CHECK(shape(c.wait(std::chrono::seconds(1))) == Names{"rds[r]"});
  CHECK_FALSE(c.session.deadline());
}

TEMPLATE_TEST_CASE("rule 54: while a changed route table waits, asking for it anew gives the one in use", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({cluster("c"), assignment("c"), routes("r", {"c"}, 2), listener("l", "r", 2)});
  const Output o = c.see(w);  // rule 56: the listener is sent again, so its table must follow
  REQUIRE(o.responses.size() == 3);
  REQUIRE(o.responses[2].type == Type::kRoute);
  CHECK(o.responses[2].resources[0]->hash == routes("r", {"a", "b"})->hash);
  c.ack_all(o);
  const Output after = c.ask(Type::kEndpoint, std::is_same_v<TestType, Sotw> ? Names{"a", "b", "c"} : Names{"c"});
  CHECK(shape(after) == Names{"eds[c]", "rds[r]"});
}

TEMPLATE_TEST_CASE("rule 54: what waits counts as accepted only once it was sent", "", Sotw, Delta) {
  World w = edge();
  w.put({routes("q", {"a"})});
  TestType c(w.now());
  warm_up(c);
  c.ack_all(c.ask(Type::kRoute, {"q", "r"}));
  w.put({cluster("c"), assignment("c"), routes("r", {"c"}, 2), routes("q", {"b"}, 2)});
  c.see(w);  // clusters, and the table that waits for nothing
  const Output o = c.ack(Type::kRoute);
  REQUIRE(o.acceptances.size() == 1);
  CHECK((*o.acceptances[0].set->find("q"))->hash == routes("q", {"b"}, 2)->hash);
  CHECK((*o.acceptances[0].set->find("r"))->hash == routes("r", {"a", "b"})->hash);
}

TEST_CASE("rule 54: a client that asks for clusters by name, after their table, is not kept waiting") {
  World w = edge();
  Sotw c(w.now());
  c.ack_all(c.ask(Type::kListener, {"l"}));
  c.ack_all(c.ask(Type::kRoute, {"r"}));
  c.ack_all(c.ask(Type::kCluster, {"a", "b"}));
  c.ack_all(c.ask(Type::kEndpoint, {"a", "b"}));
  w.put({cluster("c"), assignment("c"), routes("r", {"c"}, 2)});
  CHECK(shape(c.see(w)) == Names{"rds[r]"});
}

TEMPLATE_TEST_CASE("rule 55: after a cluster is sent again its assignment follows, changed or not", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({cluster("a", 2)});
  const Output o = c.see(w);
  REQUIRE(o.responses.size() == 2);
  CHECK(o.responses[0].type == Type::kCluster);
  CHECK(o.responses[1].type == Type::kEndpoint);
  CHECK(names_of(o.responses[1]) == Names{"a"});
}

TEMPLATE_TEST_CASE("rule 56: after a listener is sent again its route table follows", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  warm_up(c);
  w.put({listener("l", "r", 2)});
  CHECK(shape(c.see(w)) == Names{"lds[l]", "rds[r]"});
}

TEMPLATE_TEST_CASE("rule 57: a cluster without endpoints has an explicit empty assignment", "", Sotw, Delta) {
  World w;
  envoy::config::endpoint::v3::ClusterLoadAssignment none;
  none.set_cluster_name("a");
  w.put({cluster("a"), resources::make_resource(Type::kEndpoint, "a", none, {})});
  TestType c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  CHECK(shape(c.ask(Type::kEndpoint, {"a"})) == Names{"eds[a]"});
}

TEMPLATE_TEST_CASE("rule 58: requests are answered from the snapshot the stream was brought to, never from a later one", "", Sotw, Delta) {
  World w = edge();
  TestType c(w.now());
  c.ack_all(c.ask(Type::kCluster));
  w.put({cluster("c"), routes("r", {"c"})});  // not pushed to this stream yet
  const Output o = c.ask(Type::kRoute, {"r"});
  REQUIRE(o.responses.size() == 1);
  CHECK(o.responses[0].resources[0]->hash == routes("r", {"a", "b"})->hash);
  const Output push = c.see(w);
  REQUIRE(push.responses.size() == 2);
  CHECK(push.responses[0].type == Type::kCluster);
  CHECK(push.responses[1].type == Type::kRoute);
}
