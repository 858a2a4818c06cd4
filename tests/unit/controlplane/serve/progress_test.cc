// How far the streams of each scope are, as a status writer is told: nobody is done before everybody has answered.
#include <catch2/catch.hpp>

#include <string>

#include "tests/unit/controlplane/serve/harness.h"

namespace progress_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;

namespace {

// "2/1": of two streams one is done; "-": no such scope.
std::string far(const serve::Core& core, const std::string& name) {
  for (const verdict::Progress::Scope& s : core.progress().scopes) {
    if (s.name == name) return std::to_string(s.streams) + "/" + std::to_string(s.synced);
  }
  return "-";
}

const std::string kScope = "gateway:default/edge";

}  // namespace

TEST_CASE("a stream is done when it has accepted all that is meant for it, and no longer from the moment that something new is") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1)}));
  CHECK(far(s.core, kScope) == "0/0");
  Peer one(s, StreamKind::kSotw, "one"), two(s, StreamKind::kDelta, "two");
  one.ask(Type::kCluster);
  two.ask(Type::kCluster, {"*"});
  CHECK(far(s.core, kScope) == "2/0");
  one.ack(Type::kCluster);
  CHECK(far(s.core, kScope) == "2/1");
  two.ack(Type::kCluster);
  CHECK(far(s.core, kScope) == "2/2");

  s.core.apply(gateway("edge", {cluster("a", 2)}));  // nothing is sent yet
  CHECK(far(s.core, kScope) == "2/0");
  s.settle();
  one.received();
  two.received();
  one.ack(Type::kCluster);
  two.ack(Type::kCluster);
  CHECK(far(s.core, kScope) == "2/2");
  s.core.closed(one.id);
  CHECK(far(s.core, kScope) == "1/1");
}

TEST_CASE("a stream that has refused is done with the rest, and the refusal stands beside it with its origins") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1, {}, {origin("HTTPRoute", "app", 7)}), cluster("b", 1)}));
  Peer one(s, StreamKind::kSotw, "one");
  one.ask(Type::kCluster);
  one.ack_all(one.nack(Type::kCluster, "a: no good"));
  s.settle();
  one.ack_all(one.received());  // what it gets instead
  CHECK(far(s.core, kScope) == "1/1");
  const verdict::Progress progress = s.core.progress();
  REQUIRE(progress.refusals.size() == 1);
  CHECK(progress.refusals[0].scope == kScope);
  REQUIRE(progress.refusals[0].origins.size() == 1);
  CHECK(progress.refusals[0].origins[0].name == "app");
  CHECK_THAT(progress.refusals[0].text, Contains("cds \"a\" was refused by 1 proxy of class envoy") && Contains("no good"));
}

TEST_CASE("what a scope shall have has one version with every replica, which endpoints do not change") {
  Server s, t;
  const auto version = [](const Server& server) {
    for (const verdict::Progress::Scope& scope : server.core.progress().scopes) {
      if (scope.name == kScope) return scope.version;
    }
    return std::string();
  };
  s.apply(gateway("edge", {cluster("a", 1), cluster("b", 1)}));
  t.apply(gateway("edge", {cluster("a", 2)}));
  CHECK(version(s) != version(t));
  t.apply(gateway("edge", {cluster("b", 1), cluster("a", 1)}));
  CHECK_FALSE(version(s).empty());
  CHECK(version(s) == version(t));
}

TEST_CASE("the number that tells of changes is another after every answer, connection and end of one, and the same while nothing happens") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1)}));
  uint64_t last = s.core.progress_epoch();
  const auto moved = [&] {
    const uint64_t before = std::exchange(last, s.core.progress_epoch());
    return before != last;
  };
  CHECK_FALSE(moved());
  Peer one(s, StreamKind::kSotw, "one");
  CHECK(moved());
  one.ask(Type::kCluster);
  moved();
  one.ack(Type::kCluster);
  CHECK(moved());
  s.apply(gateway("edge", {cluster("a", 2)}));
  one.received();
  moved();
  one.nack(Type::kCluster, "a: no good");
  CHECK(moved());
  s.core.closed(one.id);
  CHECK(moved());
  CHECK_FALSE(moved());
}

}  // namespace progress_test
