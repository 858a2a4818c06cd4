// CORS policies, of the filter's own message and of the older field of routes.
#include "dataplane/filters/http/cors/config.h"

#include <catch2/catch.hpp>

#include "dataplane/router/cors.h"
#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using Catch::Matchers::Contains;

TEST_CASE("a policy keeps what was said apart from what was not") {
  const auto policy = router::CorsPolicy::compile(test::from_yaml<envoy::extensions::filters::http::cors::v3::CorsPolicy>(
      "{allow_origin_string_match: [{suffix: .test}], allow_methods: GET, allow_credentials: false, filter_enabled: {default_value: {numerator: 0}}}"));
  REQUIRE(policy.ok());
  CHECK((*policy)->allow_origins.size() == 1);
  CHECK((*policy)->allow_credentials == false);
  CHECK_FALSE((*policy)->allow_private_network_access);
  REQUIRE((*policy)->enabled);
  CHECK_FALSE((*policy)->enabled->match(0, nullptr));
  CHECK_FALSE((*policy)->shadow);
}

TEST_CASE("routes and virtual hosts carry policies of their own") {
  const auto table = router::RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(R"(
virtual_hosts:
- name: a
  domains: ["*"]
  cors: {allow_methods: HOST}
  routes: [{match: {prefix: /}, route: {cluster: c, cors: {allow_methods: ROUTE}}}])"));
  REQUIRE(table.ok());
  CHECK((*table)->virtual_hosts()[0].extras.cors->allow_methods == "HOST");
  CHECK((*table)->virtual_hosts()[0].routes[0].forward.cors->allow_methods == "ROUTE");
}

TEST_CASE("a bad origin is refused with its place") {
  const auto table = router::RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{virtual_hosts: [{name: a, domains: ['*'], cors: {allow_origin_string_match: [{exact: a}, {safe_regex: {regex: '('}}]}}]}"));
  CHECK_THAT(std::string(table.status().message()), Contains("virtual_hosts[0].cors: allow_origin_string_match[1]"));
}
