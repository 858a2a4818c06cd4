// Envoy's bootstrap as the proxy reads it: static and dynamic resources, control plane clusters, runtime, refusals.
#include "dataplane/config/bootstrap.h"

#include <absl/strings/str_cat.h>
#include <catch2/catch.hpp>

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "tests/unit/dataplane/config/filters.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace bootstrap_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;

namespace {

absl::StatusOr<std::shared_ptr<const BootstrapConfig>> parse(std::string_view yaml, SupportFindings* findings = nullptr) {
  BootstrapOptions options;
  options.registry = &test::filters();
  return parse_bootstrap(test::from_yaml<envoy::config::bootstrap::v3::Bootstrap>(yaml), options, findings);
}
std::string error_of(std::string_view yaml) {
  const auto parsed = parse(yaml);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

constexpr std::string_view full = R"(
node: {id: n, cluster: c}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}], set_node_on_first_message_only: true}
  lds_config: {ads: {}, resource_api_version: V3}
  cds_config: {ads: {}}
static_resources:
  clusters:
  - name: xds
    type: STRICT_DNS
    http2_protocol_options: {}
    load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: control, port_value: 18000}}}}]}]}
  - name: local
    load_assignment: {cluster_name: local, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 81}}}}]}]}
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: s
          route_config: {name: r, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: local}}]}]}
          http_filters: [{name: router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
layered_runtime:
  layers:
  - {name: base, static_layer: {a: {b: 5, c: true}, half: {numerator: 5, denominator: MILLION}, text: x, digits: "12.5"}}
  - {name: over, static_layer: {a.b: 6}}
  - {name: admin, admin_layer: {}}
stats_flush_interval: 5s
)";

}  // namespace

TEST_CASE("a bootstrap with static and dynamic resources") {
  SupportFindings findings;
  const auto parsed = parse(full, &findings);
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  const BootstrapConfig& config = **parsed;
  CHECK(config.node->id() == "n");
  CHECK(config.admin.address->text() == "127.0.0.1:9901");
  CHECK(config.ads->type == ApiSource::Type::DeltaGrpc);
  CHECK(config.ads->services[0].cluster == "xds");
  CHECK(config.lds->kind == ConfigSource::Kind::Ads);
  CHECK(config.cds->initial_fetch_timeout.count() == 15'000);
  REQUIRE(config.clusters.size() == 2);  // who takes them for streams takes that one out (server/bootstrap_loader.h)
  CHECK(config.clusters[0]->name == "xds");
  CHECK(config.clusters[1]->name == "local");
  REQUIRE(config.listeners.size() == 1);
  const auto runtime = merge_runtime(config.runtime_layers);
  CHECK(runtime->number("a.b", 0) == 6);
  CHECK(runtime->boolean("a.c", false));
  CHECK(runtime->number("digits", 0) == 12.5);
  CHECK(runtime->number("text", 7) == 7);
  CHECK(runtime->find("half")->fraction == std::pair<uint32_t, uint32_t>(5, 1'000'000));
  CHECK(config.runtime_layers.size() == 3);
  REQUIRE(findings.ignored.size() == 1);
  CHECK(findings.ignored[0].path == "stats_flush_interval");
}

TEST_CASE("initial_metadata: names in lower case, values with operators; what gRPC could not send is refused") {
  const auto with = [](std::string_view entry) {
    std::string yaml(full);
    const std::string_view target = "{cluster_name: xds}";
    yaml.insert(yaml.find(target) + target.size(), absl::StrCat(", initial_metadata: [", entry, "]"));
    return yaml;
  };
  const auto parsed = parse(with("{key: Authorization, value: 'Bearer %RESPONSE_CODE%100%%'}, {key: a-bin, raw_value: AAE=}"));
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  const auto& metadata = (*parsed)->ads->services[0].initial_metadata;
  REQUIRE(metadata.size() == 2);
  CHECK(metadata[0].first == "authorization");
  CHECK(metadata[0].second.render({}) == "Bearer 0100%");
  CHECK(metadata[1].second.render({}) == std::string("\0\1", 2));
  const std::string field = "dynamic_resources.ads_config.grpc_services[0].initial_metadata[0].";
  CHECK_THAT(error_of(with("{key: a, value: '%NOPE%'}")), Contains(field + "value: Not supported field in StreamInfo: NOPE"));
  CHECK_THAT(error_of(with("{key: ':path', value: x}")), Contains(field + "key: :-prefixed or host headers may not be modified"));
  CHECK_THAT(error_of(with("{key: 'a b', value: x}")), Contains(field + "key: not a name that gRPC can send (\"a b\")"));
  CHECK_THAT(error_of(with("{key: a, raw_value: AAE=}")), Contains(field + "raw_value: bytes that are not text need a key that ends in -bin"));
}

TEST_CASE("load_stats_config: where load is reported, with a cluster of the bootstrap") {
  const auto with = [](std::string_view config) { return absl::StrCat(full, "cluster_manager: {load_stats_config: {transport_api_version: V3, ", config, "}}\n"); };
  CHECK_FALSE((*parse(full))->load_stats.has_value());
  const auto parsed = parse(with("api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: xds, authority: lrs}, initial_metadata: [{key: a, value: b}]}]"));
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  REQUIRE((*parsed)->load_stats.has_value());
  CHECK((*parsed)->load_stats->services[0].cluster == "xds");
  CHECK((*parsed)->load_stats->services[0].authority == "lrs");
  CHECK((*parsed)->load_stats->services[0].initial_metadata.size() == 1);
  CHECK_THAT(error_of(with("api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: nobody}}]")), Contains("cluster_manager.load_stats_config: Unknown gRPC client cluster 'nobody'"));
  CHECK_THAT(error_of(with("api_type: GRPC")), Contains("cluster_manager.load_stats_config.grpc_services"));
  CHECK_THAT(error_of(with("api_type: REST, cluster_names: [xds]")), Contains("cluster_manager.load_stats_config"));
  CHECK_THAT(error_of(with("api_type: GRPC, grpc_services: [{google_grpc: {target_uri: a, stat_prefix: b}}]")), Contains("google_grpc"));
}

TEST_CASE("listeners: two without a name may share port 0, two at one socket may not") {
  const auto two = [](std::string_view first, std::string_view second) {
    const std::string yaml(full);
    const size_t begin = yaml.find("  - name: l\n"), end = yaml.find("layered_runtime");
    const std::string body = yaml.substr(begin + 12, end - begin - 12);
    const auto one = [&](std::string_view name_and_address) {
      std::string text = "  - " + std::string(name_and_address) + "\n" + body;
      const size_t at = text.find("    address: "), stop = text.find('\n', at);
      return text.replace(at, stop - at + 1, "");
    };
    return yaml.substr(0, begin) + one(first) + one(second) + yaml.substr(end);
  };
  const std::string_view any = "address: {socket_address: {address: 127.0.0.1, port_value: 0}}";
  const auto parsed = parse(two(any, any));
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  CHECK((*parsed)->listeners[0]->name == "listener_127.0.0.1:0");
  CHECK((*parsed)->listeners[1]->name == "listener_127.0.0.1:0#2");
  const std::string_view pipe = "address: {pipe: {path: '@x'}}";
  CHECK_THAT(error_of(two(pipe, pipe)), Contains("has duplicate address '@x' as existing listener"));
}

TEST_CASE("an empty bootstrap is fine") {
  const auto parsed = parse("{}");
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  CHECK((*parsed)->runtime_layers.empty());
  CHECK_FALSE((*parsed)->ads);
}

TEST_CASE("wrong bootstraps are refused by path") {
  CHECK_THAT(error_of("{static_resources: {clusters: [{name: c, type: EDS, eds_cluster_config: {eds_config: {path_config_source: {path: /x}}}}, {name: c}]}}"),
             Contains("static_resources.clusters[1]: cluster manager: duplicate cluster 'c'"));
  CHECK_THAT(error_of("{dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: none}}]}}}"),
             Contains("Unknown gRPC client cluster 'none'"));
  CHECK_THAT(error_of("{dynamic_resources: {ads_config: {api_type: REST, cluster_names: [x]}}}"), Contains("dynamic_resources.ads_config.api_type: REST is not supported"));
  CHECK_THAT(error_of("{stats_sinks: [{name: x}], hds_config: {api_type: GRPC}}"), Contains("stats_sinks: not supported") && Contains("hds_config: not supported"));
  CHECK_THAT(error_of("{layered_runtime: {layers: [{name: a, admin_layer: {}}, {name: a, admin_layer: {}}]}}"), Contains("Duplicate layer name: a"));
  CHECK_THAT(error_of("{layered_runtime: {layers: [{name: a, admin_layer: {}}, {name: b, admin_layer: {}}]}}"),
             Contains("layered_runtime.layers[1]: Too many admin layers specified in LayeredRuntime"));
  CHECK_THAT(error_of("{stats_config: {stats_tags: [{tag_name: a, regex: '('}]}}"), Contains("stats_config.stats_tags[0].regex: ") && Contains("missing ): ("));
  CHECK_THAT(error_of("{cluster_manager: {local_cluster_name: b}}"), Contains("cluster_manager.local_cluster_name: local cluster 'b' must be defined"));
  CHECK_THAT(error_of("{stats_config: {stats_tags: [{tag_name: mine}]}}"), Contains("No regex specified for tag specifier and no default regex for name: 'mine'"));
  CHECK(error_of("{stats_config: {stats_tags: [{tag_name: envoy.cluster_name}]}}").empty());
  CHECK_THAT(error_of("{watchdog: {}, watchdogs: {}}"), Contains("Only one of watchdog or watchdogs should be set!"));
  CHECK_THAT(error_of("{layered_runtime: {layers: [{name: a, static_layer: {b: {c: [1]}}}]}}"), Contains("layered_runtime.layers[0].static_layer: Invalid runtime entry value for b.c"));
  CHECK_THAT(error_of("{layered_runtime: {layers: [{name: a, static_layer: {b: null}}]}}"), Contains("Invalid runtime entry value for b"));
  CHECK_THAT(error_of("{static_resources: {clusters: [{name: c, type: EDS, eds_cluster_config: {eds_config: {self: {}}}}]}}"),
             Contains("eds_cluster_config.eds_config.self: what the bootstrap holds has no config source of its own"));
  CHECK_THAT(error_of("{dynamic_resources: {cds_config: {self: {}}}}"), Contains("dynamic_resources.cds_config.self: "));
  CHECK_THAT(error_of("{dynamic_resources: {ads_config: {api_type: GRPC, grpc_services: [{envoy_grpc: {cluster_name: a}}, {envoy_grpc: {cluster_name: b}}]}}}"),
             Contains("must have no more than 1 gRPC services specified"));
  CHECK_THAT(error_of("{cluster_manager: {upstream_bind_config: {source_address: {address: 127.0.0.2, port_value: 0}}}}"), Contains("cluster_manager.upstream_bind_config: not supported"));
  CHECK_THAT(error_of("{header_prefix: x-edge}"), Contains("header_prefix") && Contains("not supported"));
  CHECK(error_of("{header_prefix: x-envoy}").empty());
  std::string unknown(full);
  unknown.replace(unknown.find("cluster: local}"), 14, "cluster: gone");
  CHECK_THAT(error_of(unknown), Contains("static_resources.listeners[0]: listener 'l'") && Contains("route: unknown cluster 'gone'"));
}

}  // namespace bootstrap_test
