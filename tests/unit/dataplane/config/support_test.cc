// Nothing parses and is then forgotten: the table covers every field, the walk enforces it, the page follows it.
#include "dataplane/config/support.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <catch2/catch.hpp>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace support_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;
using test::from_yaml;

TEST_CASE("every field of every accepted message has a row") {
  const std::vector<std::string> missing = fields_without_row();
  for (const std::string& line : missing) UNSCOPED_INFO(line);
  CHECK(missing.empty());
}

TEST_CASE("docs/support.md follows the table") {
  const std::string path = std::string(FAIRLEAD_SOURCE_DIR) + "/docs/support.md";
  if (std::getenv("FAIRLEAD_REGENERATE") != nullptr) std::ofstream(path) << support_markdown();
  std::stringstream page;
  page << std::ifstream(path).rdbuf();
  CHECK(page.str() == support_markdown());
}

TEST_CASE("a refused field is an error with its path, wherever it stands") {
  const auto cluster = from_yaml<envoy::config::cluster::v3::Cluster>("{name: a, lb_subset_config: {}, upstream_connection_options: {happy_eyeballs_config: {first_address_family_version: PIPE}}}");
  const absl::Status status = check_support(cluster);
  CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(status.message()), Contains("lb_subset_config: not supported: subset load balancing is not available") &&
                                                Contains("first_address_family_version: PIPE is not supported"));
  const auto table = from_yaml<envoy::config::route::v3::RouteConfiguration>(R"(
virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: c}}, {match: {prefix: /, filter_state: [{key: a, string_match: {exact: b}}]}, route: {cluster: c}}]}])");
  CHECK_THAT(std::string(check_support(table).message()), Contains("virtual_hosts[0].routes[1].match.filter_state: not supported"));
}

TEST_CASE("an Any of an accepted type is opened") {
  const auto listener = from_yaml<envoy::config::listener::v3::Listener>(R"(
name: l
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: s
      http3_protocol_options: {}
      tracing: {}
      http_filters:
      - {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, start_child_span: true}})");
  SupportFindings findings;
  CHECK_THAT(std::string(check_support(listener, &findings).message()),
             Contains("filter_chains[0].filters[0].typed_config.http3_protocol_options: not supported: HTTP/3 is not available"));
  REQUIRE(findings.ignored.size() == 2);
  const auto has = [&](std::string_view path, std::string_view row) {
    for (const IgnoredField& field : findings.ignored) {
      if (field.path == path && field.row == row && !field.reason.empty()) return true;
    }
    return false;
  };
  CHECK(has("filter_chains[0].filters[0].typed_config.tracing",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.tracing"));
  CHECK(has("filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.start_child_span",
            "envoy.extensions.filters.http.router.v3.Router.start_child_span"));
}

TEST_CASE("an Any in a map is found by its key") {
  const auto cluster = from_yaml<envoy::config::cluster::v3::Cluster>(R"(
name: a
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    auto_config: {http3_protocol_options: {}})");
  CHECK_THAT(std::string(check_support(cluster).message()),
             Contains("typed_extension_protocol_options[\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\"].auto_config.http3_protocol_options: not supported"));
}

TEST_CASE("a refused field with its harmless value is accepted") {
  CHECK(check_support(from_yaml<envoy::config::listener::v3::Listener>("{name: l, filter_chains: [{use_proxy_proto: false}]}")).ok());
  CHECK_FALSE(check_support(from_yaml<envoy::config::listener::v3::Listener>("{name: l, filter_chains: [{use_proxy_proto: true}]}")).ok());
}

TEST_CASE("an enum value unknown to the API is refused") {
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_lb_policy(static_cast<envoy::config::cluster::v3::Cluster::LbPolicy>(77));
  CHECK_THAT(std::string(check_support(cluster).message()), Contains("lb_policy: unknown value 77"));
}

TEST_CASE("refusals are collected, but not without end") {
  envoy::config::route::v3::RouteConfiguration table;
  for (int i = 0; i < 100; ++i) table.add_virtual_hosts()->mutable_matcher();
  const std::string message(check_support(table).message());
  CHECK_THAT(message, Contains("virtual_hosts[7].matcher") && !Contains("virtual_hosts[8].matcher") && Contains("92 more"));
}

}  // namespace support_test
