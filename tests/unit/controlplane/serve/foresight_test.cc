// What a client is known to refuse is not sent to it; and what happens is told to those who watch.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "controlplane/inspect/events.h"
#include "tests/unit/controlplane/serve/harness.h"

namespace foresight_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;

namespace {

const Texts kNothing;

snapshot::Update with_unfit(snapshot::Update update, std::vector<ResourcePtr> unfit) {
  update.unfit.emplace();
  for (ResourcePtr& r : unfit) update.unfit->push_back({std::move(r), "fairlead-proxy", "unknown", "", "cannot be read: field.x"});
  return update;
}

std::string condition(serve::Core& core, const std::string& type) {
  for (const verdict::Condition& c : core.conditions()) {
    if (c.type == type) return c.reason + ": " + c.message;
  }
  return "";
}

}  // namespace

TEST_CASE("what one implementation would refuse goes to the others alone, and the last good one stays with it") {
  Server s;
  const ResourcePtr good = cluster("a", 1, {}, {origin("HTTPRoute", "app", 7)}), bad = cluster("a", 2, {}, {origin("HTTPRoute", "app", 7)}), better = cluster("a", 3, {}, {origin("HTTPRoute", "app", 7)});
  s.apply(gateway("edge", {good}));
  Peer envoy(s, StreamKind::kSotw, "e"), ours(s, StreamKind::kDelta, "f", "edge", "fairlead-proxy");
  CHECK(envoy.ack_all(envoy.ask(Type::kCluster)) == Texts{"cds[a]"});
  CHECK(ours.ack_all(ours.ask(Type::kCluster, {"*"})) == Texts{"cds[a]"});
  s.apply(with_unfit(gateway("edge", {bad}), {bad}));
  CHECK(envoy.received() == Texts{"cds[a]"});
  CHECK(ours.received() == kNothing);
  CHECK((*s.core.snapshot_of("f"))->find(Type::kCluster, "a")->hash == good->hash);
  CHECK((*s.core.snapshot_of("e"))->find(Type::kCluster, "a")->hash == bad->hash);
  CHECK_THAT(condition(s.core, "Programmed"), Contains("NotSent: cds \"a\" is not sent to clients of class fairlead-proxy/") && Contains("cannot be read: field.x (the last good one is still served)"));
  const doc::Value nacks = s.core.nacks();
  REQUIRE(nacks.find("nacks")->size() == 1);
  CHECK(nacks.find("nacks")->items()[0].find("foreseen")->as_boolean());
  CHECK(nacks.find("nacks")->items()[0].find("serving")->as_string() == good->version);
  s.apply(with_unfit(gateway("edge", {better}), {}));
  CHECK(ours.received() == Texts{"cds[a]"});
  CHECK(s.core.nacks().find("nacks")->size() == 0);
}

TEST_CASE("one that connects later gets it neither; another version of it does") {
  Server s;
  const ResourcePtr bad = cluster("a", 2), other = cluster("b", 1);
  snapshot::Update update = with_unfit(gateway("edge", {bad, other}), {bad});
  s.apply(std::move(update));
  Peer ours(s, StreamKind::kSotw, "f", "edge", "fairlead-proxy"), envoy(s, StreamKind::kSotw, "e");
  CHECK(ours.ask(Type::kCluster) == Texts{"cds[b]"});
  CHECK(envoy.ask(Type::kCluster) == Texts{"cds[a b]"});
  snapshot::Update newer = with_unfit(gateway("edge", {bad, other}), {bad});
  newer.unfit->front().version = "9.9.9";
  Server t;
  t.apply(std::move(newer));
  Peer same(t, StreamKind::kSotw, "f", "edge", "fairlead-proxy");
  CHECK(same.ask(Type::kCluster) == Texts{"cds[a b]"});
}

TEST_CASE("what an old version lacks concerns that version alone") {
  const snapshot::Unfit old{nullptr, "envoy", "", "1.22", "x"}, exact{nullptr, "fairlead-proxy", "0.1.0", "", "x"};
  for (const char* version : {"1.21.6", "1.9", "0.99.1"}) CHECK(verdict::concerns(old, "envoy", version));
  for (const char* version : {"1.22.0", "1.40.0", "2.0.0", "", "dev"}) CHECK_FALSE(verdict::concerns(old, "envoy", version));
  CHECK_FALSE(verdict::concerns(old, "gRPC C++", "1.21.6"));
  CHECK(verdict::concerns(exact, "fairlead-proxy", "0.1.0"));
  CHECK_FALSE(verdict::concerns(exact, "fairlead-proxy", "0.1.1"));
}

TEST_CASE("what is known of a restart is foreseen again, and remembered with its last good one") {
  Server s;
  const ResourcePtr good = cluster("a", 1), bad = cluster("a", 2);
  s.apply(gateway("edge", {good}));
  Peer ours(s, StreamKind::kSotw, "f", "edge", "fairlead-proxy");
  ours.ack_all(ours.ask(Type::kCluster));
  s.apply(with_unfit(gateway("edge", {bad}), {bad}));
  const doc::Value state = s.core.state();
  Server after;
  REQUIRE(after.core.restore(state).ok());
  after.apply(with_unfit(gateway("edge", {bad}), {bad}));
  Peer again(after, StreamKind::kSotw, "f", "edge", "fairlead-proxy");
  CHECK(again.ask(Type::kCluster) == Texts{"cds[a]"});
  CHECK((*after.core.snapshot_of("f"))->find(Type::kCluster, "a")->hash == good->hash);
}

TEST_CASE("who watches is told of changes, connections, pushes, verdicts and findings, in their order") {
  const SimulatedClock clock;
  inspect::Events events(clock);
  serve::Core::Options options;
  options.events = &events;
  Server s(options);
  const auto reader = events.open();
  std::string told;
  const auto take = [&] {
    told.clear();
    while (const auto line = reader->next(std::chrono::milliseconds(0))) told += *line + "\n";
    return told;
  };
  snapshot::Update update = gateway("edge", {cluster("a", 1, {}, {origin("HTTPRoute", "app", 7)})});
  update.findings.push_back({"plan", {{intent::Severity::kWarning, origin("HTTPRoute", "app"), "", "Odd", "it is odd"}}});
  snapshot::Update again = update;
  s.apply(std::move(update));
  CHECK_THAT(take(), Contains(R"("kind":"finding","severity":"warning","object":"HTTPRoute default/app","from":"test.yaml:1","field":"","reason":"Odd","message":"it is odd"})") &&
                         Contains(R"("kind":"change","scope":"gateway:default/edge","type":"cds","resources":1,"set":["a"],"removed":[],"from":"test.yaml:7"})"));
  s.apply(std::move(again));
  CHECK(take() == "");  // nothing is new
  Peer envoy(s, StreamKind::kSotw, "e");
  envoy.ask(Type::kCluster);
  CHECK_THAT(take(), Contains(R"("kind":"connected","node":"e","cluster":"edge","scope":"gateway:default/edge")") && Contains(R"("kind":"push","node":"e","type":"cds","resources":1,"set":["a"],"removed":[])"));
  envoy.ack(Type::kCluster);
  CHECK_THAT(take(), Contains(R"("kind":"accepted","node":"e","type":"cds")"));
  s.apply(gateway("edge", {cluster("a", 2, {}, {origin("HTTPRoute", "app", 7)})}));
  envoy.received();
  take();
  envoy.nack(Type::kCluster, "a: no");
  CHECK_THAT(take(), Contains(R"("kind":"refused","node":"e","type":"cds","resources":1,"set":["a"],"from":"test.yaml:7")") && Contains(R"("message":"a: no"})"));
  s.core.closed(envoy.id);
  CHECK_THAT(take(), Contains(R"("kind":"disconnected","node":"e","reason":"the client went"})"));
}

}  // namespace foresight_test
