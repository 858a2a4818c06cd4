// What status, config, diff and nacks say.
#include <catch2/catch.hpp>

#include "controlplane/inspect/inspect.h"
#include "tests/unit/controlplane/stream/driver.h"

using namespace fairlead;
using namespace fairlead::test;

namespace {

inspect::StreamRecord record(const Delta& c, bool matched = true) {
  snapshot::Node node;
  node.id = "n1";
  node.cluster = "edge";
  node.user_agent = "envoy";
  return inspect::record(node, "gateway:default/edge", "because", matched, "127.0.0.1:1", "delta", SimulatedClock::default_start, c.session);
}

const doc::Value& at(const doc::Value& v, std::string_view path) {
  const doc::Value* found = v.find_path(path);
  REQUIRE(found);
  return *found;
}

std::string state(const Delta& c, std::string_view type) {
  const doc::Value v = inspect::status({record(c)}, {SimulatedClock::default_start, c.now});
  return at(at(v, "proxies").items()[0], "types." + std::string(type) + ".state").as_string();
}

}  // namespace

TEST_CASE("status goes from NOT SENT over STALE to SYNCED, and to ERROR with a refusal") {
  World w = edge();
  Delta c(w.now());
  c.ask(Type::kCluster);
  CHECK(state(c, "cds") == "STALE");
  c.ack(Type::kCluster);
  CHECK(state(c, "cds") == "SYNCED");
  c.ask(Type::kRoute, {});
  CHECK(state(c, "rds") == "NOT SENT");
  c.ack_all(c.ask(Type::kRoute, {"r"}));
  w.put({routes("r", {"a"}, 666)});
  c.see(w);
  c.nack(Type::kRoute, "no");
  CHECK(state(c, "rds") == "ERROR");
  const doc::Value v = inspect::status({record(c)}, {SimulatedClock::default_start, c.now});
  CHECK(at(at(v, "proxies").items()[0], "types.rds.error").as_string() == "no");
  CHECK(at(at(v, "proxies").items()[0], "types.rds.error_at").as_string() == "2020-01-01T00:00:00.000Z");
}

TEST_CASE("unmatched nodes are listed with the reason") {
  Delta c(snapshot::empty_snapshot());
  const doc::Value v = inspect::status({record(c, false)}, {SimulatedClock::default_start, c.now});
  REQUIRE(at(v, "unmatched").items().size() == 1);
  CHECK(at(at(v, "unmatched").items()[0], "reason").as_string() == "because");
}

TEST_CASE("config prints resources as documents with versions and origins, narrowed by type and name") {
  World w;
  w.put({cluster("a", 3, {}, {origin("HTTPRoute", "app", 7)}), cluster("b"), assignment("a")});
  const doc::Value v = inspect::config(*w.now(), Type::kCluster, "a");
  REQUIRE(at(v, "resources").items().size() == 1);
  const doc::Value& r = at(v, "resources").items()[0];
  CHECK(at(r, "config.name").as_string() == "a");
  CHECK(at(r, "config.connect_timeout").as_string() == "3s");
  CHECK(at(r, "origins").items()[0].find("place")->as_string() == "test.yaml:7");
  CHECK(at(inspect::config(*w.now(), std::nullopt), "resources").items().size() == 3);
}

TEST_CASE("config shows what a secret's certificates say, and nothing of its key") {
  World w;
  w.put({secret("default/a", "very private")});
  const doc::Value shown = inspect::config(*w.now(), Type::kSecret);
  const doc::Value& r = at(shown, "resources").items()[0];
  CHECK(at(r, "config.tls_certificate.private_key.inline_string").as_string() == "[redacted]");
  CHECK(at(r, "config.tls_certificate.certificate_chain.inline_string").as_string() == "chain");
  CHECK(at(r, "certificates").items().empty());  // that is none
  CHECK(doc::to_json(shown).find("very private") == std::string::npos);
}

TEST_CASE("diff shows wanted, sent and accepted where they differ, and why") {
  World w = edge();
  Delta c(w.now());
  warm_up(c);
  auto types = [&] { return at(inspect::diff(record(c), *w.now(), c.session), "types"); };
  CHECK(types().size() == 0);
  w.put({cluster("a", 2)});
  CHECK(at(at(types(), "cds").items()[0], "why").as_string() == "not yet sent");
  c.see(w);
  const doc::Value sent = at(types(), "cds").items()[0];
  CHECK(at(sent, "why").as_string() == "sent, not acknowledged");
  CHECK(at(sent, "accepted").as_string() == cluster("a", 1)->version);
  CHECK(at(sent, "sent").as_string() == cluster("a", 2)->version);
  c.nack(Type::kCluster, "no");
  const doc::Value refused = at(types(), "cds").items()[0];
  CHECK(at(refused, "why").as_string() == "refused by this proxy");
  CHECK(at(refused, "wanted").as_string() == cluster("a", 2)->version);
  CHECK(at(refused, "accepted").as_string() == cluster("a", 1)->version);
}

TEST_CASE("nacks and conditions name origin, class, nodes and message") {
  World w = edge();
  verdict::Quarantine q(1);
  const ResourcePtr bad = routes("r", {"a"}, 666, {origin("HTTPRoute", "app", 5)});
  w.put({bad});
  q.refused({"envoy/1.40.0#0"}, "n1", w.now()->scope, {Type::kRoute, "v", "1", "bad regex", {bad}, true}, SimulatedClock::default_start);
  const doc::Value v = inspect::nacks(q);
  REQUIRE(at(v, "nacks").items().size() == 1);
  const doc::Value& n = at(v, "nacks").items()[0];
  CHECK(at(n, "message").as_string() == "bad regex");
  CHECK(at(n, "class").as_string() == "envoy/1.40.0#0");
  CHECK(at(n, "nodes").items()[0].as_string() == "n1");
  CHECK(at(n, "origins").items()[0].find("place")->as_string() == "test.yaml:5");
  verdict::Ledger ledger;
  const doc::Value c = inspect::conditions(ledger.conditions({w.now()}, q));
  CHECK(at(at(c, "conditions").items()[0], "object").as_string() == "HTTPRoute default/app");
  CHECK(at(at(c, "conditions").items()[0], "status").as_string() == "False");
}
