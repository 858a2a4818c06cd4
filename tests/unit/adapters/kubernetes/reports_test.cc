// What replicas tell each other: forth and back, joined, bounded.
#include <catch2/catch.hpp>

#include <string>

#include "adapters/kubernetes/reports.h"

namespace fairlead::adapters::kubernetes::reports_test {
namespace {

const ObjectKey kEdge{"gateway.networking.k8s.io", "Gateway", "default", "edge"}, kIdle{"gateway.networking.k8s.io", "Gateway", "default", "idle"};
const ObjectKey kApp{"gateway.networking.k8s.io", "HTTPRoute", "default", "app"};

Verdicts some() {
  Verdicts v;
  v.gateways[kEdge] = {2, true, "v1"};
  v.refusals.emplace(kApp, Refusal{kEdge, "spec.rules[0]", "RDS refused: \"no\"\nat all", true});
  v.refusals.emplace(kEdge, Refusal{kEdge, "", "somebody else has its name", false, "NameConflict", true});
  return v;
}

TEST_CASE("a report says what there is to say, and nothing where there is nothing") {
  CHECK(to_report(Verdicts()).empty());
  Verdicts idle;
  idle.gateways[kIdle] = {0, true, "v"};
  CHECK(to_report(idle).empty());
  Verdicts told = some();
  told.gateways[kIdle] = {0, true, "v"};
  const absl::StatusOr<Verdicts> read = from_report(to_report(told));
  REQUIRE(read.ok());
  CHECK(*read == some());
  CHECK(*from_report("") == Verdicts());
}

TEST_CASE("a report that is none is an error, one that says more than we know is not") {
  CHECK_FALSE(from_report("{").ok());
  CHECK_FALSE(from_report(R"({"gateways":[{"gateway":["a"],"proxies":1}]})").ok());
  CHECK_FALSE(from_report(R"({"gateways":[{"gateway":["g","k","ns","n"],"proxies":"many"}]})").ok());
  CHECK(from_report(R"({"gateways":[{"gateway":["g","k","ns","n"],"proxies":1,"mood":"good"}],"later":1})").ok());
}

TEST_CASE("proxies elsewhere count, and are done when they are done with what we have") {
  Verdicts own;
  own.gateways[kEdge] = {0, true, "v1"};
  add_report(own, some());
  CHECK(own.gateways.at(kEdge) == Progress{2, true, "v1"});
  CHECK(own.refusals.count(kApp) == 1);
  add_report(own, some());  // conflicts are found by every replica
  CHECK(own.refusals.size() == 2);

  Verdicts ahead;
  ahead.gateways[kEdge] = {1, true, "v2"};
  add_report(ahead, some());  // they are done with what was before
  CHECK(ahead.gateways.at(kEdge) == Progress{3, false, "v2"});

  Verdicts unknown;
  add_report(unknown, some());
  CHECK(unknown.gateways.empty());
}

TEST_CASE("a report stays small however much is refused") {
  Verdicts v = some();
  for (int i = 0; i < 10'000; ++i) v.refusals.emplace(ObjectKey{"g", "HTTPRoute", "ns", std::to_string(i)}, Refusal{kEdge, "", "the same words", false});
  const std::string report = to_report(v);
  CHECK(report.size() <= kMostReport);
  CHECK(from_report(report).ok());
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::reports_test
