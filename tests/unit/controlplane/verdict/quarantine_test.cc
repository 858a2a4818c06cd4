// Refusals by class, thresholds, last good, release, and survival of a restart.
#include <catch2/catch.hpp>

#include "controlplane/verdict/ledger.h"
#include "controlplane/verdict/quarantine.h"
#include "tests/unit/controlplane/make.h"

using namespace fairlead;
using namespace fairlead::test;
using snapshot::ClientClass;
using verdict::Quarantine;

namespace {

const ClientClass envoy_class{"envoy/1.40.0#0"};
const ClientClass grpc{"gRPC/1.51#0"};
const snapshot::Version v = std::make_shared<const std::string>("v");
const SystemTime t0 = SimulatedClock::default_start;

// A scope whose route table was good and then became bad.
struct Story {
  World world;
  ResourcePtr good = routes("r", {"a"}, 1, {origin("HTTPRoute", "app", 5)});
  ResourcePtr bad = routes("r", {"a"}, 666, {origin("HTTPRoute", "app", 5)});
  Quarantine q;

  explicit Story(size_t threshold = 1) : q(threshold) {
    world.put({cluster("a"), good});
    for (const ClientClass& c : {envoy_class, grpc}) q.accepted(c, world.now()->scope, {Type::kRoute, world.now()->set(Type::kRoute), v});
    world.put({bad});
  }
  bool refuse(const ClientClass& c, const std::string& node, const std::string& message = "no") {
    return q.refused(c, node, world.now()->scope, {Type::kRoute, "v", "1", message, {bad}, true}, t0);
  }
  ResourcePtr seen(const ClientClass& c) { return q.view(c, world.now())->find(Type::kRoute, "r"); }
};

}  // namespace

TEST_CASE("one refusal freezes a class of one proxy: it gets the last good one, other classes the new one") {
  Story s(3);
  s.q.node_joined(envoy_class, "e1");
  s.q.node_joined(grpc, "g1");
  CHECK(s.refuse(envoy_class, "e1"));
  CHECK(s.seen(envoy_class) == s.good);
  CHECK(s.seen(grpc) == s.bad);
}

TEST_CASE("a class of many is frozen only by refusals of several distinct nodes") {
  Story s(3);
  for (int i = 0; i < 10; ++i) s.q.node_joined(envoy_class, "e" + std::to_string(i));
  for (int i = 0; i < 20; ++i) CHECK_FALSE(s.refuse(envoy_class, "hostile"));
  CHECK(s.seen(envoy_class) == s.bad);
  CHECK_FALSE(s.refuse(envoy_class, "e1"));
  CHECK(s.refuse(envoy_class, "e2"));
  CHECK(s.seen(envoy_class) == s.good);
}

TEST_CASE("a class that shrinks to those who refused is frozen") {
  Story s(3);
  s.q.node_joined(envoy_class, "e1");
  s.q.node_joined(envoy_class, "e2");
  CHECK_FALSE(s.refuse(envoy_class, "e1"));
  CHECK(s.q.node_left(envoy_class, "e2"));
  CHECK(s.seen(envoy_class) == s.good);
}

TEST_CASE("without a last good one the resource is left out") {
  Story s;
  const ResourcePtr fresh = routes("new", {"a"}, 666);
  s.world.put({fresh});
  s.q.refused(envoy_class, "e1", s.world.now()->scope, {Type::kRoute, "v", "1", "no", {fresh}, true}, t0);
  CHECK_FALSE(s.q.view(envoy_class, s.world.now())->find(Type::kRoute, "new"));
}

TEST_CASE("refused bytes never become the last good ones, even in a set that was acknowledged") {
  Story s;
  s.refuse(envoy_class, "e1");
  s.q.accepted(envoy_class, s.world.now()->scope, {Type::kRoute, s.world.now()->set(Type::kRoute), v});
  s.world.put({routes("r", {"a"}, 667)});
  const ResourcePtr worse = s.world.now()->find(Type::kRoute, "r");
  s.q.refused(envoy_class, "e1", s.world.now()->scope, {Type::kRoute, "v", "2", "no", {worse}, true}, t0);
  CHECK(s.q.view(envoy_class, s.world.now())->find(Type::kRoute, "r") == s.good);
}

TEST_CASE("the quarantine ends when the resource or its origin changes, and not before") {
  Story s;
  s.refuse(envoy_class, "e1");
  CHECK_FALSE(s.q.settle(s.world.now()));
  s.world.put({cluster("b")});
  CHECK_FALSE(s.q.settle(s.world.now()));
  SECTION("other bytes") {
    const ResourcePtr better = routes("r", {"a"}, 2);
    s.world.put({better});
    CHECK(s.q.settle(s.world.now()));
    CHECK(s.seen(envoy_class) == better);
  }
  SECTION("the same bytes from an object that was edited") {
    s.world.put({routes("r", {"a"}, 666, {origin("HTTPRoute", "app", 9)})});
    CHECK(s.q.settle(s.world.now()));
    CHECK(s.seen(envoy_class)->hash == s.bad->hash);
  }
  SECTION("the resource is gone") {
    s.world.drop(Type::kRoute, "r");
    CHECK(s.q.settle(s.world.now()));
    CHECK(s.q.list().empty());
  }
}

TEST_CASE("a view is the snapshot itself when nothing is frozen, and one object as long as nothing changes") {
  Story s;
  CHECK(s.q.view(envoy_class, s.world.now()) == s.world.now());
  s.refuse(envoy_class, "e1");
  const auto seen = s.q.view(envoy_class, s.world.now());
  CHECK(seen == s.q.view(envoy_class, s.world.now()));
  CHECK(seen != s.world.now());
}

TEST_CASE("refusals and last good resources survive a restart") {
  Story s;
  s.refuse(envoy_class, "e1", "bad \"regex\"\nline two");
  const std::string saved = doc::to_json(s.q.to_doc());
  const auto parsed = doc::parse_json(saved, "state.json");
  REQUIRE(parsed.ok());
  Quarantine after(1);
  REQUIRE(after.restore(*parsed).ok());
  REQUIRE(after.list().size() == 1);
  const verdict::Refused& r = *after.list()[0];
  CHECK(r.message == "bad \"regex\"\nline two");
  CHECK(r.nodes == std::set<std::string>{"e1"});
  CHECK(r.first == t0);
  CHECK(r.hash == s.bad->hash);
  const ResourcePtr served = after.view(envoy_class, s.world.now())->find(Type::kRoute, "r");
  CHECK(served->hash == s.good->hash);
  CHECK(served->references == s.good->references);
  CHECK(served->origins == s.good->origins);
  CHECK_FALSE(after.settle(s.world.now()));
  CHECK(doc::to_json(after.to_doc()) == saved);
}

TEST_CASE("a broken state is refused with its place and changes nothing") {
  Story s;
  s.refuse(envoy_class, "e1");
  for (const char* text : {R"({})", R"({"format": 2})", R"({"format": 1, "refused": [{"type": "xyz"}]})",
                           R"({"format": 1, "refused": [{"type": "rds", "hash": "zz"}]})",
                           R"({"format": 1, "refused": [{"type": "rds", "hash": "00000000000000000000000000000000", "last_good": {"body": "*"}}]})"}) {
    CAPTURE(text);
    const auto parsed = doc::parse_json(text, "state.json");
    REQUIRE(parsed.ok());
    const absl::Status status = s.q.restore(*parsed);
    CHECK_FALSE(status.ok());
    CHECK(std::string(status.message()).find("state.json") != std::string::npos);
    CHECK(s.q.list().size() == 1);
  }
}

TEST_CASE("conditions: pending, programmed, refused with message, class and number of proxies") {
  Story s;
  verdict::Ledger ledger;
  auto programmed = [&] {
    for (const verdict::Condition& c : ledger.conditions({s.world.now()}, s.q)) {
      if (c.origin.name == "app" && c.type == "Programmed") return c;
    }
    return verdict::Condition{};
  };
  CHECK(programmed().status == verdict::Truth::kUnknown);
  verdict::Ledger::TypeCounts synced{};
  synced.fill(1);
  ledger.set_progress(s.world.now()->scope, 2, synced);
  CHECK(programmed().message == "1 of 2 proxies have it");
  synced[resources::index(Type::kRoute)] = 2;  // what waits for another type is not this object's business
  ledger.set_progress(s.world.now()->scope, 2, synced);
  CHECK(programmed().status == verdict::Truth::kTrue);
  s.refuse(envoy_class, "e1", "bad regex");
  const verdict::Condition refused = programmed();
  CHECK(refused.status == verdict::Truth::kFalse);
  CHECK(refused.reason == "Refused");
  CHECK(refused.message.find("rds \"r\" was refused by 1 proxy of class envoy/1.40.0#0: bad regex") != std::string::npos);
  CHECK(refused.message.find("last good") != std::string::npos);
}

TEST_CASE("conditions: findings of every stage become Accepted, errors outrank warnings, stages clear their own") {
  verdict::Ledger ledger;
  Quarantine q;
  intent::Finding warning{intent::Severity::kWarning, origin("HTTPRoute", "app"), "default/edge", "BackendUnknown", "no endpoints"};
  intent::Finding error{intent::Severity::kError, origin("HTTPRoute", "app"), "default/edge", "NameConflict", "taken"};
  error.origin.field = "spec.rules[0]";
  ledger.set_findings("plan", {warning});
  ledger.set_findings("catalog", {error});
  auto conditions = ledger.conditions({}, q);
  REQUIRE(conditions.size() == 1);
  CHECK(conditions[0].status == verdict::Truth::kFalse);
  CHECK(conditions[0].reason == "NameConflict");
  CHECK(conditions[0].message == "spec.rules[0]: taken");
  ledger.clear_findings("catalog");
  conditions = ledger.conditions({}, q);
  REQUIRE(conditions.size() == 1);
  CHECK(conditions[0].status == verdict::Truth::kTrue);
  ledger.set_findings("plan", {});
  CHECK(ledger.conditions({}, q).empty());
}
