// Clusters and endpoint sets: defaults, what each field becomes, and what is refused in whose words.
#include "dataplane/config/cluster.h"
#include "dataplane/config/health.h"

#include <absl/strings/str_replace.h>
#include <catch2/catch.hpp>

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace cluster_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;

namespace {

absl::StatusOr<std::shared_ptr<const ClusterConfig>> parse(std::string_view yaml) {
  return parse_cluster(test::from_yaml<envoy::config::cluster::v3::Cluster>(yaml));
}
std::shared_ptr<const ClusterConfig> good(std::string_view yaml) {
  auto cluster = parse(yaml);
  INFO(cluster.status().ToString());
  REQUIRE(cluster.ok());
  return *cluster;
}
std::string error_of(std::string_view yaml) {
  const auto cluster = parse(yaml);
  return cluster.ok() ? "" : std::string(cluster.status().message());
}
std::string with_endpoint(std::string_view address, std::string_view more = "") {
  return "{name: a, " + std::string(more) + "load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: " +
         std::string(address) + ", port_value: 80}}}}]}]}}";
}

}  // namespace

TEST_CASE("a cluster starts from Envoy's defaults") {
  const auto cluster = good(with_endpoint("127.0.0.1"));
  CHECK(cluster->discovery == ClusterConfig::Discovery::Static);
  CHECK(cluster->connect_timeout.count() == 5000);
  CHECK(cluster->per_connection_buffer_limit == 1048576);
  CHECK(cluster->lb.policy == LoadBalancing::Policy::RoundRobin);
  CHECK(cluster->lb.healthy_panic_threshold == 50.0);
  CHECK(cluster->breakers[0].max_connections == 1024);
  CHECK(cluster->breakers[1].max_retries == 3);
  CHECK(cluster->http.idle_timeout->count() == 3'600'000);
  CHECK(cluster->http.max_headers_count == 100);
  CHECK(cluster->dns_refresh_rate.count() == 5000);
  CHECK(cluster->stat_name() == "a");
  REQUIRE(cluster->endpoints->size() == 1);
  CHECK(cluster->endpoints->priorities[0][0].endpoints[0].address.text() == "127.0.0.1:80");
  CHECK(cluster->endpoints->priorities[0][0].endpoints[0].weight == 1);
  CHECK(cluster->endpoints->overprovisioning_factor == 140);
}

TEST_CASE("a cluster keeps what was configured") {
  const auto cluster = good(R"(
name: eds
type: EDS
alt_stat_name: other
eds_cluster_config: {service_name: svc, eds_config: {ads: {}, initial_fetch_timeout: 3s}}
connect_timeout: 0.25s
lb_policy: LEAST_REQUEST
least_request_lb_config: {choice_count: 3}
circuit_breakers: {thresholds: [{max_connections: 7, retry_budget: {budget_percent: {value: 25}}}, {priority: HIGH, max_requests: 9}]}
common_lb_config: {healthy_panic_threshold: {value: 0}}
upstream_connection_options: {tcp_keepalive: {keepalive_time: 30}}
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    common_http_protocol_options: {idle_timeout: 0s, max_requests_per_connection: 5}
    explicit_http_config: {http_protocol_options: {enable_trailers: true}}
)");
  CHECK(cluster->discovery == ClusterConfig::Discovery::Eds);
  CHECK(cluster->eds_service_name == "svc");
  CHECK(cluster->eds_source->kind == ConfigSource::Kind::Ads);
  CHECK(cluster->eds_source->initial_fetch_timeout.count() == 3000);
  CHECK(cluster->endpoints == nullptr);
  CHECK(cluster->connect_timeout.count() == 250);
  CHECK(cluster->lb.policy == LoadBalancing::Policy::LeastRequest);
  CHECK(cluster->lb.choice_count == 3);
  CHECK(cluster->breakers[0].max_connections == 7);
  CHECK(cluster->breakers[0].retry_budget->budget_percent == 25.0);
  CHECK(cluster->breakers[0].retry_budget->min_retry_concurrency == 3);
  CHECK(cluster->breakers[1].max_requests == 9);
  CHECK(cluster->lb.healthy_panic_threshold == 0.0);
  CHECK(cluster->keepalive->time.count() == 30);
  CHECK_FALSE(cluster->http.idle_timeout);
  CHECK(cluster->http.max_requests_per_connection == 5);
  CHECK(cluster->http.http1.enable_trailers);
  CHECK(cluster->stat_name() == "other");
}

TEST_CASE("the first supported policy of a load balancing list is taken") {
  const std::string pick_first = R"({typed_extension_config: {name: pick_first, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.pick_first.v3.PickFirst}}})";
  const std::string list = "load_balancing_policy: {policies: [" + pick_first + R"(,
    {typed_extension_config: {name: lr, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest, choice_count: 4}}},
    {typed_extension_config: {name: rr, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin}}}]}, )";
  const auto cluster = good(with_endpoint("127.0.0.1", list));
  CHECK(cluster->lb.policy == LoadBalancing::Policy::LeastRequest);
  CHECK(cluster->lb.choice_count == 4);
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "load_balancing_policy: {policies: [" + pick_first + "]}, ")),
             Contains("cluster: didn't find a registered load balancer factory implementation for cluster: 'a' with names from [pick_first]"));
}

TEST_CASE("load balancing policies read the same in their old and their new form") {
  const auto typed = [](const std::string& fields) {
    return good(with_endpoint("127.0.0.1", "load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {\"@type\": "
                                           "type.googleapis.com/envoy.extensions.load_balancing_policies." + fields + "}}}]}, "))->lb;
  };
  const auto legacy = [](const std::string& fields) { return good(with_endpoint("127.0.0.1", fields + ", "))->lb; };
  for (const LoadBalancing& lb : {legacy("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 5, maximum_ring_size: 9, hash_function: MURMUR_HASH_2}, "
                                         "common_lb_config: {consistent_hashing_lb_config: {hash_balance_factor: 120}}"),
                                  typed("ring_hash.v3.RingHash, minimum_ring_size: 5, maximum_ring_size: 9, hash_function: MURMUR_HASH_2, hash_balance_factor: 120"),
                                  typed("ring_hash.v3.RingHash, minimum_ring_size: 5, maximum_ring_size: 9, hash_function: MURMUR_HASH_2, "
                                        "consistent_hashing_lb_config: {hash_balance_factor: 120}")}) {
    CHECK(lb.policy == LoadBalancing::Policy::RingHash);
    CHECK(lb.minimum_ring_size == 5);
    CHECK(lb.maximum_ring_size == 9);
    CHECK(lb.hash_function == LoadBalancing::HashFunction::Murmur2);
    CHECK(lb.hash_balance_factor == 120);
  }
  for (const LoadBalancing& lb : {legacy("lb_policy: MAGLEV, maglev_lb_config: {table_size: 13}"), typed("maglev.v3.Maglev, table_size: 13")}) {
    CHECK(lb.policy == LoadBalancing::Policy::Maglev);
    CHECK(lb.table_size == 13);
    CHECK_FALSE(lb.zone_aware());
  }
  const std::string slow = "slow_start_config: {slow_start_window: 30s, aggression: {default_value: 2, runtime_key: k}, min_weight_percent: {value: 20}}";
  for (const LoadBalancing& lb : {legacy("round_robin_lb_config: {" + slow + "}"), legacy("lb_policy: LEAST_REQUEST, least_request_lb_config: {" + slow + "}"),
                                  typed("round_robin.v3.RoundRobin, " + slow), typed("least_request.v3.LeastRequest, " + slow)}) {
    CHECK(lb.slow_start.window.count() == 30'000);
    CHECK(lb.slow_start.aggression == 2.0);
    CHECK(lb.slow_start.min_weight_percent == 20.0);
  }
  const std::string zone = "zone_aware_lb_config: {routing_enabled: {value: 50}, min_cluster_size: 3, fail_traffic_on_panic: true";
  for (const LoadBalancing& lb : {legacy("common_lb_config: {" + zone + "}}"), typed("random.v3.Random, locality_lb_config: {" + zone + "}}")}) {
    CHECK(lb.zone.routing_enabled == 50.0);
    CHECK(lb.zone.min_cluster_size == 3);
    CHECK(lb.fail_traffic_on_panic);
    CHECK(lb.zone_aware());
  }
  CHECK(typed("random.v3.Random, locality_lb_config: {" + zone + ", force_locality_direct_routing: true}}").zone.force_local_min == 1u);
  CHECK(typed("random.v3.Random, locality_lb_config: {" + zone + ", force_local_zone: {min_size: 4}, locality_basis: HEALTHY_HOSTS_WEIGHT}}").zone.force_local_min == 4u);
  CHECK(typed("least_request.v3.LeastRequest, selection_method: FULL_SCAN").full_scan);
  CHECK(legacy("common_lb_config: {override_host_status: {statuses: [HEALTHY, DRAINING]}}").override_statuses == 0b1010);
  CHECK(legacy("lb_policy: RANDOM").override_statuses == 0b100011);
}

TEST_CASE("load balancing that cannot be done is refused with Envoy's words") {
  const auto error = [](const std::string& fields) { return error_of(with_endpoint("127.0.0.1", fields + ", ")); };
  CHECK_THAT(error("lb_policy: MAGLEV, maglev_lb_config: {table_size: 4}"), Contains("maglev_lb_config.table_size: The table size of maglev must be prime number (4)"));
  CHECK_THAT(error("lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 100, maximum_ring_size: 10}"),
             Contains("ring_hash_lb_config: ring hash: minimum_ring_size (100) > maximum_ring_size (10)"));
  CHECK_THAT(error("lb_policy: MAGLEV, common_lb_config: {consistent_hashing_lb_config: {use_hostname_for_hashing: true}}"),
             Contains("Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.static'"));
  CHECK_THAT(error("lb_policy: LOAD_BALANCING_POLICY_CONFIG"), Contains("cluster: field load_balancing_policy need to be set"));
  const std::string list = R"(load_balancing_policy: {policies: [{typed_extension_config: {name: r, typed_config: {"@type": type.googleapis.com/envoy.extensions.load_balancing_policies.random.v3.Random}}}]})";
  CHECK_THAT(error(list + ", common_lb_config: {locality_weighted_lb_config: {}}"), Contains("load_balancing_policy cannot be combined with partial fields"));
  CHECK(error(list + ", common_lb_config: {healthy_panic_threshold: {value: 1}}").empty());
}

TEST_CASE("every policy of a load balancing list may weigh localities") {
  for (const std::string policy : {"round_robin.v3.RoundRobin", "least_request.v3.LeastRequest", "random.v3.Random"}) {
    const auto with = [&](const std::string& options) {
      return good(with_endpoint("127.0.0.1", "load_balancing_policy: {policies: [{typed_extension_config: {name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.load_balancing_policies." + policy + options + "}}}]}, "));
    };
    CHECK(with(", locality_lb_config: {locality_weighted_lb_config: {}}")->lb.locality_weighted);
    CHECK_FALSE(with("")->lb.locality_weighted);
  }
}

TEST_CASE("what no connection or request would heed is refused, not forgotten") {
  for (const std::string options : {"{freebind: true}", "{socket_options: [{level: 1, name: 9, int_value: 1}]}"}) {
    CHECK_THAT(error_of(with_endpoint("127.0.0.1", "upstream_bind_config: " + options + ", ")), Contains("not supported"));
  }
  CHECK(good(with_endpoint("127.0.0.1", "upstream_bind_config: {source_address: {address: 127.0.0.2, port_value: 0}, freebind: false}, "))->bind->source_address->text() == "127.0.0.2:0");
}

TEST_CASE("wrong clusters are refused with Envoy's words") {
  CHECK_THAT(error_of(with_endpoint("example.com")),
             Contains("cluster 'a': load_assignment.endpoints[0].lb_endpoints[0].endpoint.address: malformed IP address: example.com. Consider setting "
                      "resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"));
  CHECK(good(with_endpoint("example.com", "type: STRICT_DNS, "))->discovery == ClusterConfig::Discovery::StrictDns);
  CHECK_THAT(error_of("{name: a, type: EDS}"), Contains("cannot create an EDS cluster without an EDS config"));
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "eds_cluster_config: {eds_config: {ads: {}}}, ")), Contains("eds_cluster_config set in a non-EDS cluster"));
  CHECK_THAT(error_of("{name: a, type: LOGICAL_DNS, load_assignment: {cluster_name: a, endpoints: []}}"),
             Contains("LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"));
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "lb_policy: CLUSTER_PROVIDED, ")), Contains("lb_policy: cluster manager: cluster provided LB specified"));
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "typed_extension_protocol_options: {x: {'@type': type.googleapis.com/google.protobuf.Struct}}, ")),
             Contains("Didn't find a registered network or http filter or protocol options implementation for name: 'x'"));
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "typed_dns_resolver_config: {name: x, typed_config: {'@type': type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig}}, ")),
             Contains("typed_dns_resolver_config: Didn't find a registered implementation for 'x'"));
  CHECK_FALSE(error_of("{name: ''}").empty());
  const std::string back_off = "dns_failure_refresh_rate: {base_interval: 1s, max_interval: 0.5s}, ";
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "type: STRICT_DNS, " + back_off)), Contains("must have max_interval greater than or equal to the base_interval"));
  CHECK(error_of(with_endpoint("127.0.0.1", back_off)).empty());
  CHECK_THAT(error_of("{name: a, load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: " + std::string(108, 'x') + "}}}}]}]}}"),
             Contains("endpoint.address.pipe.path: Path \"xxx") && Contains("exceeds maximum UNIX domain socket path size of 108"));
}

TEST_CASE("the TLS of a cluster is read beside its protocol, without the files when nobody reads files") {
  const std::string yaml = R"(
name: xds
type: STRICT_DNS
typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}}
transport_socket:
  name: tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
    sni: control.example
    common_tls_context: {tls_certificates: [{certificate_chain: {filename: /c}, private_key: {filename: /k}}], validation_context: {trusted_ca: {filename: /ca}}}
load_assignment: {cluster_name: xds, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: control, port_value: 18000}}}}]}]}
)";
  CHECK(good(yaml)->tls->server_name == "control.example");
  CHECK(good(yaml)->tls->context() == nullptr);
  CHECK(good(yaml)->http.http2.keepalive_interval.count() == 30'000);
}

TEST_CASE("clusters speak the protocol of their options, and HTTP/1 without any") {
  const auto with = [](const std::string& options) {
    return R"({name: a, typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {"@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, )" + options + "}}}";
  };
  CHECK(good("{name: a}")->http.protocol == UpstreamProtocol::Http1);
  CHECK(good("{name: a, http2_protocol_options: {}}")->http.protocol == UpstreamProtocol::Http2);
  CHECK(good("{name: a, http2_protocol_options: {}, protocol_selection: USE_DOWNSTREAM_PROTOCOL}")->http.protocol == UpstreamProtocol::Downstream);
  const auto http2 = good(with("explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 7, initial_stream_window_size: 65535, connection_keepalive: {interval: 30s, timeout: 5s, interval_jitter: {value: 3}, connection_idle_interval: 2s}}}"));
  CHECK(http2->http.protocol == UpstreamProtocol::Http2);
  CHECK(http2->http.http2.max_concurrent_streams == 7);
  CHECK(http2->http.http2.initial_stream_window_size == 65535);
  CHECK(http2->http.http2.keepalive_interval.count() == 30'000);
  CHECK(http2->http.http2.keepalive_timeout.count() == 5'000);
  CHECK(http2->http.http2.keepalive_jitter_percent == 3);
  CHECK(http2->http.http2.keepalive_idle_interval.count() == 2'000);
  const auto follow = good(with("use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {max_concurrent_streams: 9}}"));
  CHECK(follow->http.protocol == UpstreamProtocol::Downstream);
  CHECK(follow->http.http2.max_concurrent_streams == 9);
  CHECK(good(with("explicit_http_config: {http_protocol_options: {}}"))->http.protocol == UpstreamProtocol::Http1);
  const auto named = good(with("explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true, override_auto_sni_header: X-Name}"));
  CHECK(named->http.auto_sni);
  CHECK(named->http.auto_san_validation);
  CHECK(named->http.auto_sni_header == "x-name");
  CHECK_THAT(error_of(with("explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_san_validation: true}}}, transport_socket: {name: tls, typed_config: {\"@type\": "
                           "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext")),
             Contains("auto_san_validation is set, and no certificate would be verified without one"));
  CHECK_FALSE(error_of(with("explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 30s}}}")).empty());  // no timeout
}

TEST_CASE("endpoints: priorities, localities, weights, health") {
  const auto set = parse_endpoints(test::from_yaml<envoy::config::endpoint::v3::ClusterLoadAssignment>(R"(
cluster_name: a
policy: {overprovisioning_factor: 120}
endpoints:
- locality: {region: r, zone: z1}
  load_balancing_weight: 3
  lb_endpoints:
  - {endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 1}}, hostname: one}, load_balancing_weight: 5}
  - {endpoint: {address: {socket_address: {address: 10.0.0.2, port_value: 2}}}, health_status: DRAINING}
- priority: 1
  lb_endpoints: [{endpoint: {address: {pipe: {path: /run/x.sock}}}, health_status: DEGRADED}]
)")).value();
  REQUIRE(set->priorities.size() == 2);
  CHECK(set->size() == 3);
  CHECK(set->overprovisioning_factor == 120);
  const Locality& first = set->priorities[0][0];
  CHECK(first.zone == "z1");
  CHECK(first.weight == 3);
  CHECK(first.endpoints[0].hostname == "one");
  CHECK(first.endpoints[0].weight == 5);
  CHECK(first.endpoints[0].usable());
  CHECK_FALSE(first.endpoints[1].usable());
  CHECK(set->priorities[1][0].endpoints[0].address.text() == "/run/x.sock");
  CHECK(set->priorities[1][0].endpoints[0].usable());
}

TEST_CASE("wrong endpoints are refused with their path") {
  const auto error = [](std::string_view yaml) {
    return std::string(parse_endpoints(test::from_yaml<envoy::config::endpoint::v3::ClusterLoadAssignment>(yaml)).status().message());
  };
  CHECK_THAT(error("{cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: name, port_value: 1}}}}]}]}"),
             Contains("endpoints of 'a': endpoints[0].lb_endpoints[0].endpoint.address: malformed IP address: name"));
  CHECK_THAT(error("{cluster_name: a, endpoints: [{lb_endpoints: [{endpoint_name: x}]}]}"), Contains("endpoints[0].lb_endpoints[0].endpoint_name: not supported"));
  CHECK_THAT(error("{endpoints: []}"), Contains("cluster_name"));
}

TEST_CASE("one category of drop overload is read as a share of a million") {
  const auto build = [](std::string_view policy) {
    return build_endpoints(test::from_yaml<envoy::config::endpoint::v3::ClusterLoadAssignment>("{cluster_name: a, policy: {drop_overloads: [" + std::string(policy) + "]}}"), false, "");
  };
  const auto five = build("{category: x, drop_percentage: {numerator: 5}}");
  REQUIRE(five.ok());
  CHECK((*five)->drop_overload->category == "x");
  CHECK((*five)->drop_overload->per_million == 50'000);
  CHECK((*build("{category: x, drop_percentage: {numerator: 7, denominator: TEN_THOUSAND}}"))->drop_overload->per_million == 700);
  CHECK_THAT(std::string(build("{category: x}, {category: y}").status().message()), Contains("policy.drop_overloads: Cluster drop_overloads config has 2 categories"));
  CHECK_THAT(std::string(build("{category: x, drop_percentage: {numerator: 101}}").status().message()), Contains("above 1 (101 / 100)"));
}

TEST_CASE("an unchanged cluster has the same content hash") {
  CHECK(good(with_endpoint("127.0.0.1"))->content_hash == good(with_endpoint("127.0.0.1"))->content_hash);
  CHECK(good(with_endpoint("127.0.0.1"))->content_hash != good(with_endpoint("127.0.0.2"))->content_hash);
}

TEST_CASE("health checks and outlier detection start from Envoy's defaults") {
  const auto cluster = good(with_endpoint("127.0.0.1", "health_checks: [{timeout: 1s, interval: 2s, unhealthy_threshold: 3, healthy_threshold: 4, no_traffic_interval: 7s, "
                                                       "http_health_check: {path: /ok}}], outlier_detection: {base_ejection_time: 400s}, "));
  REQUIRE(cluster->health_check);
  const HealthCheck& check = *cluster->health_check;
  CHECK(check.kind == HealthCheck::Kind::Http);
  CHECK(check.path == "/ok");
  CHECK(check.method == "GET");
  CHECK(check.timeout.count() == 1000);
  CHECK(check.unhealthy_threshold == 3);
  CHECK(check.healthy_threshold == 4);
  CHECK(check.no_traffic_healthy_interval.count() == 7000);
  CHECK(check.unhealthy_edge_interval.count() == 2000);
  CHECK(in_ranges(check.expected, 200));
  CHECK_FALSE(in_ranges(check.expected, 201));
  CHECK(check.reuse_connection);
  REQUIRE(cluster->outlier);
  CHECK(cluster->outlier->consecutive_5xx == 5);
  CHECK(cluster->outlier->enforcing_gateway == 0);
  CHECK(cluster->outlier->max_ejection_time.count() == 400'000);
  CHECK(cluster->outlier->max_ejection_percent == 10);
}

TEST_CASE("health checks that cannot be are refused") {
  const auto with = [](const std::string& check) {
    return error_of(with_endpoint("127.0.0.1", "health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, " + check + "}], "));
  };
  CHECK(with("tcp_health_check: {}") == "");
  CHECK_THAT(with("grpc_health_check: {service_name: s}"), Contains("must support HTTP/2 for gRPC healthchecking"));
  CHECK_THAT(with("tcp_health_check: {send: {text: 0g}}"), Contains("health_checks[0].tcp_health_check.send.text: invalid hex string '0g'"));
  CHECK_THAT(with("http_health_check: {path: /, expected_statuses: [{start: 200, end: 200}]}"), Contains("expecting start < end"));
  CHECK_THAT(with("http_health_check: {path: /}, event_service: {grpc_service: {envoy_grpc: {cluster_name: x}}}"), Contains("event_service: not supported"));
  CHECK_THAT(with("tcp_health_check: {}, event_logger: [{name: x, typed_config: {\"@type\": type.googleapis.com/envoy.config.core.v3.Locality}}]"),
             Contains("event_logger[0]: Didn't find a registered implementation for 'x'"));
  const std::string one = "{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}}";
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "health_checks: [" + one + ", " + one + "], ")), Contains("Multiple health checks not supported"));
  CHECK_THAT(error_of(with_endpoint("127.0.0.1", "outlier_detection: {base_ejection_time: 2s, max_ejection_time: 1s}, ")), Contains("max_ejection_time"));
}

TEST_CASE("event logs of health checks: the old path, then the sinks") {
  const std::string sink = "type.googleapis.com/envoy.extensions.health_check.event_sinks.file.v3.HealthCheckEventFileSink";
  const auto cluster = good(with_endpoint("127.0.0.1", "health_checks: [{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, tcp_health_check: {}, event_log_path: /a, "
                                                       "event_logger: [{name: file, typed_config: {\"@type\": " + sink + ", event_log_path: /b}}], always_log_health_check_failures: true}], "));
  CHECK(cluster->health_check->event_logs == std::vector<std::string>{"/a", "/b"});
  CHECK(cluster->health_check->always_log_failures);
  CHECK_FALSE(cluster->health_check->always_log_successes);
}

TEST_CASE("the runtime's keys outlier_detection.* come before the configuration") {
  const auto cluster = good(with_endpoint("127.0.0.1", "outlier_detection: {interval: 7s, consecutive_5xx: 3}, "));
  matching::Runtime runtime;
  const auto set = [&](const char* key, double value) { runtime.set(key, {.text = "", .number = value, .fraction = {}}); };
  set("outlier_detection.consecutive_5xx", 4);
  set("outlier_detection.interval_ms", 500);
  set("outlier_detection.enforcing_failure_percentage_local_origin", 40);
  set("outlier_detection.max_ejection_percent", 90);
  const auto changed = with_runtime(cluster->outlier, &runtime);
  CHECK(changed->consecutive_5xx == 4);
  CHECK(changed->interval.count() == 500);
  CHECK(changed->enforcing_local_failure_percentage == 40);
  CHECK(changed->max_ejection_percent == 90);
  CHECK(changed->base_ejection_time.count() == 30'000);
  CHECK(with_runtime(cluster->outlier, nullptr) == cluster->outlier);
  CHECK(with_runtime(nullptr, &runtime) == nullptr);
}

TEST_CASE("an endpoint's further addresses, and how connects to them are raced") {
  const std::string more = "additional_addresses: [{address: {socket_address: {address: \"::1\", port_value: 81}}}]";
  const auto yaml = [&](const std::string& type, const std::string& extra) {
    return "{name: a, type: " + type + ", load_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 80}}, " + extra + "}}]}]}}";
  };
  const auto cluster = good(yaml("STATIC", more));
  const Endpoint& endpoint = cluster->endpoints->priorities[0][0].endpoints[0];
  REQUIRE(endpoint.additional.size() == 1);
  CHECK(endpoint.additional[0].text() == "[::1]:81");
  CHECK(cluster->happy_eyeballs.first == HappyEyeballs::Family::OfFirst);
  CHECK(cluster->happy_eyeballs.count == 1);
  CHECK(good(yaml("STRICT_DNS", more))->endpoints->priorities[0][0].endpoints[0].additional.empty());
  CHECK_THAT(error_of(yaml("STATIC", "additional_addresses: [{address: {socket_address: {address: name, port_value: 81}}}]")), Contains("additional_addresses[0].address: malformed IP address: name"));
  const auto chosen = good(with_endpoint("127.0.0.1", "upstream_connection_options: {happy_eyeballs_config: {first_address_family_version: V6, first_address_family_count: 2}}, "));
  CHECK(chosen->happy_eyeballs.first == HappyEyeballs::Family::V6);
  CHECK(chosen->happy_eyeballs.count == 2);
}

TEST_CASE("the PROXY protocol of upstream connections") {
  const auto with = [](const std::string& config, const std::string& inner) {
    return with_endpoint("127.0.0.1", "transport_socket: {name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {" + config +
                                          "}, transport_socket: {name: inner, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets." + inner + "}}}}, ");
  };
  CHECK_FALSE(good(with("", "raw_buffer.v3.RawBuffer"))->proxy_protocol->v2);
  const auto two = good(with("version: V2, added_tlvs: [{type: 240, value: YQ==}, {type: 240, value: Yg==}, {type: 241, value: Yw==}]", "raw_buffer.v3.RawBuffer"));
  CHECK(two->proxy_protocol->v2);
  CHECK(two->proxy_protocol->tlvs == std::vector<std::pair<uint8_t, std::string>>{{240, "a"}, {240, "b"}, {241, "c"}});
  CHECK_THAT(error_of(with("version: V2, added_tlvs: [{type: 240, value: " + std::string(87'400, 'A') + "}]", "raw_buffer.v3.RawBuffer")), Contains("config.added_tlvs: more than a header of the PROXY protocol holds"));
  const auto tls = good(with("", "tls.v3.UpstreamTlsContext"));
  CHECK(tls->proxy_protocol);
  CHECK(tls->tls->context() != nullptr);
}

TEST_CASE("clusters of original destinations") {
  const auto with = [](const std::string& more) { return "{name: a, type: ORIGINAL_DST, " + more + "}"; };
  const auto plain = good(with("lb_policy: CLUSTER_PROVIDED, outlier_detection: {}"));
  REQUIRE(plain->original_dst);
  CHECK(plain->original_dst->header.empty());
  CHECK(plain->original_dst->cleanup_interval.count() == 5000);
  CHECK(plain->endpoints->size() == 0);
  CHECK_FALSE(plain->outlier);
  const auto full = good(with("lb_policy: CLUSTER_PROVIDED, cleanup_interval: 1s, original_dst_lb_config: {use_http_header: true, upstream_port_override: 8, metadata_key: {key: f, path: [{key: a}, {key: b}]}}"));
  CHECK(full->original_dst->header == "x-envoy-original-dst-host");
  CHECK(full->original_dst->port == 8);
  CHECK(full->original_dst->metadata_filter == "f");
  CHECK(full->original_dst->metadata_path == std::vector<std::string>{"a", "b"});
  CHECK(full->original_dst->cleanup_interval.count() == 1000);
  CHECK(good(with("lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {use_http_header: true, http_header_name: X-To}"))->original_dst->header == "x-to");
  CHECK_THAT(error_of(with("lb_policy: RANDOM")), Contains("Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'"));
  CHECK_THAT(error_of(with("lb_policy: CLUSTER_PROVIDED, load_assignment: {cluster_name: a}")), Contains("ORIGINAL_DST clusters must have no load assignment configured"));
  CHECK_THAT(error_of(with("lb_policy: CLUSTER_PROVIDED, original_dst_lb_config: {http_header_name: x}")), Contains("http_header_name=x and use_http_header is false"));
}

}  // namespace cluster_test
