// Every resource is judged before it is pushed; what is wrong is told once, and no more when it is gone.
#include "apps/pipeline/preflight.h"

#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/unit/controlplane/make.h"

namespace preflight_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;
using pipeline::Preflight;

namespace {

// A route table whose regular expression is none.
ResourcePtr bad_routes(const std::string& name) {
  envoy::config::route::v3::RouteConfiguration m;
  m.set_name(name);
  auto* host = m.add_virtual_hosts();
  host->set_name("v");
  host->add_domains("*");
  auto* route = host->add_routes();
  route->mutable_match()->mutable_safe_regex()->set_regex("(");
  route->mutable_route()->set_cluster("a");
  return resources::make_resource(Type::kRoute, name, m, {origin("EnvoyResources", "mine", 7)});
}

snapshot::Update of_gateway(std::vector<ResourcePtr> resources) {
  snapshot::Update u;
  u.gateways.push_back({{"default", "edge"}, std::move(resources)});
  return u;
}

}  // namespace

TEST_CASE("good resources pass without a word") {
  Preflight preflight("1.2.3");
  snapshot::Update u = of_gateway({cluster("a"), routes("r", {"a"}), assignment("a")});
  preflight.judge(u);
  CHECK_FALSE(u.unfit);
  CHECK(u.findings.empty());
}

TEST_CASE("what fairlead-proxy would refuse is named with its field and its origin, until it is gone") {
  Preflight preflight("1.2.3");
  const ResourcePtr bad = bad_routes("r");
  snapshot::Update u = of_gateway({cluster("a"), bad});
  preflight.judge(u);
  REQUIRE(u.unfit);
  REQUIRE(u.unfit->size() == 1);
  CHECK((*u.unfit)[0].resource == bad);
  CHECK((*u.unfit)[0].implementation == "fairlead-proxy");
  CHECK((*u.unfit)[0].version == "1.2.3");
  CHECK_THAT((*u.unfit)[0].message, Contains("virtual_hosts[0].routes[0].match.safe_regex"));
  REQUIRE(u.findings.size() == 1);
  CHECK(u.findings[0].first == "preflight");
  REQUIRE(u.findings[0].second.size() == 1);
  CHECK_THAT(u.findings[0].second[0].str(), Contains("test.yaml:7: EnvoyResources default/mine: NotSupportedByProxy: fairlead-proxy 1.2.3 would refuse it: "));

  snapshot::Update same = of_gateway({cluster("b"), bad});
  preflight.judge(same);
  CHECK_FALSE(same.unfit);  // nothing new is wrong
  snapshot::Update repaired = of_gateway({cluster("b")});
  preflight.judge(repaired);
  REQUIRE(repaired.unfit);
  CHECK(repaired.unfit->empty());
  REQUIRE(repaired.findings.size() == 1);
  CHECK(repaired.findings[0].second.empty());
}

TEST_CASE("what an old Envoy lacks is known of the table that needs it, and no finding") {
  envoy::config::route::v3::RouteConfiguration m;
  m.set_name("r");
  auto* host = m.add_virtual_hosts();
  host->set_name("v");
  host->add_domains("*");
  auto* plain = host->add_routes();
  plain->mutable_match()->set_prefix("/");
  plain->mutable_route()->set_cluster("a");
  Preflight preflight("1.2.3");
  snapshot::Update u = of_gateway({resources::make_resource(Type::kRoute, "r", m, {})});
  preflight.judge(u);
  CHECK_FALSE(u.unfit);
  auto* route = host->add_routes();
  route->mutable_match()->set_path_separated_prefix("/a");
  route->mutable_route()->set_cluster("a");
  auto* header = route->mutable_match()->add_headers();
  header->set_name("x-a");
  header->mutable_string_match()->set_exact("1");
  u = of_gateway({resources::make_resource(Type::kRoute, "r", m, {})});
  preflight.judge(u);
  REQUIRE(u.unfit);
  REQUIRE(u.unfit->size() == 2);
  CHECK((*u.unfit)[0].implementation == "envoy");
  CHECK((*u.unfit)[0].below == "1.22");
  CHECK_THAT((*u.unfit)[0].message, Contains("virtual_hosts[0].routes[1].match.path_separated_prefix: Envoy knows it since 1.22"));
  CHECK((*u.unfit)[1].below == "1.20");
  REQUIRE(u.findings.size() == 1);
  CHECK(u.findings[0].second.empty());
}

TEST_CASE("endpoints that flap for hours leave nothing behind, and what stays is as wrong as before") {
  Preflight preflight("1.2.3");
  envoy::config::endpoint::v3::ClusterLoadAssignment m;
  m.set_cluster_name("a");
  auto* address = m.add_endpoints()->add_lb_endpoints()->mutable_endpoint()->mutable_address()->mutable_socket_address();
  address->set_address("10.0.0.1");
  const ResourcePtr bad = bad_routes("r");
  snapshot::Update first = of_gateway({cluster("a"), bad});
  preflight.judge(first);
  size_t most = 0;
  for (uint32_t port = 1; port <= 20'000; ++port) {
    address->set_port_value(port);
    snapshot::Update u;
    u.assignments = {resources::make_resource(Type::kEndpoint, "a", m, {})};
    preflight.judge(u);
    most = std::max(most, preflight.remembered());
  }
  CHECK(most < 2'000);
  snapshot::Update again = of_gateway({cluster("a"), bad});
  preflight.judge(again);
  CHECK_FALSE(again.unfit);
}

TEST_CASE("raw sets and lone assignments are judged as well") {
  Preflight preflight("1.2.3");
  auto raw = std::make_shared<resources::RawSet>();
  raw->name = "default/mine";
  raw->resources = {bad_routes("r")};
  snapshot::Update u;
  u.raw = std::vector<resources::RawSetPtr>{raw};
  preflight.judge(u);
  REQUIRE(u.unfit);
  CHECK(u.unfit->size() == 1);

  envoy::config::endpoint::v3::ClusterLoadAssignment m;
  m.set_cluster_name("a");
  m.add_endpoints()->add_lb_endpoints()->mutable_endpoint()->mutable_address()->mutable_socket_address()->set_address("no IP");
  snapshot::Update endpoints;
  endpoints.assignments = {resources::make_resource(Type::kEndpoint, "a", m, {})};
  preflight.judge(endpoints);
  REQUIRE(endpoints.unfit);
  CHECK(endpoints.unfit->size() == 2);
  snapshot::Update full = of_gateway({cluster("a"), assignment("a")});
  preflight.judge(full);
  REQUIRE(full.unfit);
  CHECK(full.unfit->size() == 1);
}

}  // namespace preflight_test
