// What streams and files are made of: gRPC targets from clusters, responses from files, back-off, names.
#include <catch2/catch.hpp>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "base/file.h"
#include "dataplane/xds/file_subscription.h"
#include "dataplane/xds/grpc_target.h"
#include "dataplane/xds/sources.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

namespace fairlead::xds::sources_test {
namespace {

using Catch::Matchers::Contains;
using namespace std::chrono_literals;

absl::StatusOr<GrpcEndpoints> parse(const std::string& yaml) {
  auto value = doc::parse_one("name: x\n" + yaml, "c");
  REQUIRE(value.ok());
  envoy::config::cluster::v3::Cluster cluster;
  const absl::Status read = doc::to_message(*value, &cluster);
  INFO(read.message());
  REQUIRE(read.ok());
  return parse_grpc_cluster(cluster, "clusters[0]");
}
std::string endpoint(const std::string& address, const std::string& priority = "0") {
  return "{priority: " + priority + ", lb_endpoints: [{endpoint: {address: " + address + "}}]}";
}
std::string assignment(const std::string& endpoints) { return "load_assignment: {cluster_name: x, endpoints: [" + endpoints + "]}\n"; }
const std::string kCa = "text before\n-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
const std::string kV4 = endpoint("{socket_address: {address: 10.0.0.1, port_value: 1}}");

TEST_CASE("targets: IPv4, IPv6, names, Unix sockets; several endpoints by priority") {
  auto e = parse("type: STRICT_DNS\n" + assignment(endpoint("{socket_address: {address: cp.example, port_value: 5}}", "1") + "," + kV4 + "," +
                                                   endpoint("{socket_address: {address: '::1', port_value: 2}}") + "," + endpoint("{pipe: {path: /run/x.sock}}") + "," +
                                                   endpoint("{pipe: {path: '@abstract'}}")));
  REQUIRE(e.ok());
  CHECK(e->targets == std::vector<std::string>{"ipv4:10.0.0.1:1", "ipv6:[::1]:2", "unix:/run/x.sock", "unix-abstract:abstract", "dns:///cp.example:5"});
  CHECK_FALSE(e->tls.has_value());
  const std::string two = "{socket_address: {address: 10.0.0.1, port_value: 1}}, additional_addresses: [{address: {socket_address: {address: '::1', port_value: 2}}}]";
  CHECK(parse(assignment(endpoint(two)))->targets == std::vector<std::string>{"ipv4:10.0.0.1:1", "ipv6:[::1]:2"});
  CHECK(parse("type: STRICT_DNS\n" + assignment(endpoint(two)))->targets == std::vector<std::string>{"ipv4:10.0.0.1:1"});
}

TEST_CASE("keepalive from HTTP/2 pings or from TCP, connect timeout") {
  auto e = parse("connect_timeout: 2s\nhttp2_protocol_options: {connection_keepalive: {interval: 30s, timeout: 5s}}\n" + assignment(kV4));
  REQUIRE(e.ok());
  CHECK(e->keepalive_interval == 30s);
  CHECK(e->keepalive_timeout == 5s);
  CHECK(e->connect_timeout == 2s);
  e = parse("upstream_connection_options: {tcp_keepalive: {keepalive_time: 600}}\n" + assignment(kV4));
  REQUIRE(e.ok());
  CHECK(e->keepalive_interval == 600s);
  // pings in place of TCP's probes never come faster than a gRPC server takes them
  e = parse("upstream_connection_options: {tcp_keepalive: {keepalive_time: 10, keepalive_interval: 5, keepalive_probes: 3}}\n" + assignment(kV4));
  REQUIRE(e.ok());
  CHECK(e->keepalive_interval == 300s);
  CHECK_THAT(std::string(parse("http2_protocol_options: {connection_keepalive: {timeout: 5s, connection_idle_interval: 1s}}\n" + assignment(kV4)).status().message()),
             Contains("clusters[0].http2_protocol_options.connection_keepalive.connection_idle_interval"));
}

TEST_CASE("TLS from files; an unverified server and unknown options are refused by name") {
  TemporaryDirectory dir;
  const std::string ca = dir.write("ca.pem", kCa);
  const std::string lead = "transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext, ";
  auto e = parse(lead + "sni: cp, common_tls_context: {validation_context: {trusted_ca: {filename: " + ca + "}}}}}\n" + assignment(kV4));
  REQUIRE(e.ok());
  CHECK(e->tls->roots == kCa);
  CHECK(e->tls->server_name == "cp");
  CHECK_THAT(std::string(parse(lead + "sni: cp}}\n" + assignment(kV4)).status().message()), Contains("validation_context") && Contains("trusted_ca"));
  CHECK_THAT(std::string(parse(lead + "allow_renegotiation: true}}\n" + assignment(kV4)).status().message()), Contains("clusters[0].transport_socket.typed_config.allow_renegotiation"));
  const auto with_ca = [&](const std::string& source) { return std::string(parse(lead + "common_tls_context: {validation_context: {trusted_ca: {" + source + "}}}}}\n" + assignment(kV4)).status().message()); };
  CHECK_THAT(with_ca("inline_string: nonsense"), Contains("trusted_ca: holds no PEM block of a certificate"));
  CHECK_THAT(with_ca("environment_variable: NO_SUCH_VARIABLE_HERE"), Contains("Environment variable doesn't exist: NO_SUCH_VARIABLE_HERE"));
  CHECK_THAT(std::string(parse(lead + "common_tls_context: {validation_context: {trusted_ca: {filename: /absent}}}}}\n" + assignment(kV4)).status().message()), Contains("/absent"));
}

TEST_CASE("what a channel cannot be is refused by name") {
  CHECK_THAT(std::string(parse("type: EDS\n" + assignment(kV4)).status().message()), Contains("clusters[0].type") && Contains("EDS"));
  CHECK_THAT(std::string(parse("outlier_detection: {}\n" + assignment(kV4)).status().message()), Contains("clusters[0].outlier_detection"));
  CHECK_THAT(std::string(parse("type: STATIC\n").status().message()), Contains("no endpoints"));
  CHECK_THAT(std::string(parse("typed_extension_protocol_options: {h: {'@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http_protocol_options: {}}}}\n" + assignment(kV4)).status().message()),
             Contains("gRPC needs http2_protocol_options"));
}

TEST_CASE("what a channel cannot follow is told; limits below what it needs are refused; unfit endpoints come last") {
  auto e = parse("lb_policy: RANDOM\ndns_lookup_family: V4_ONLY\nrespect_dns_ttl: true\n" + assignment(kV4));
  REQUIRE(e.ok());
  REQUIRE(e->ignored.size() == 3);
  CHECK(e->ignored[0].path == "clusters[0].lb_policy");
  CHECK(e->ignored[0].row == "envoy.config.cluster.v3.Cluster.lb_policy");
  CHECK_THAT(e->ignored[1].reason, Contains("both families"));
  CHECK(parse("lb_policy: ROUND_ROBIN\n" + assignment(kV4))->ignored.empty());
  CHECK(parse("circuit_breakers: {thresholds: [{max_requests: 100, max_connections: 1}]}\n" + assignment(kV4)).ok());
  CHECK_THAT(std::string(parse("circuit_breakers: {thresholds: [{max_requests: 1}]}\n" + assignment(kV4)).status().message()),
             Contains("clusters[0].circuit_breakers.thresholds[0].max_requests: not supported"));
  e = parse(assignment("{lb_endpoints: [{health_status: UNHEALTHY, endpoint: {address: {socket_address: {address: 10.0.0.9, port_value: 1}}}}]}, " + kV4));
  REQUIRE(e.ok());
  CHECK(e->targets == std::vector<std::string>{"ipv4:10.0.0.1:1", "ipv4:10.0.0.9:1"});
}

TEST_CASE("a response file in YAML, JSON and binary; errors carry file and line") {
  const std::string yaml = "version_info: '3'\nresources:\n- {'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster, name: a}\n";
  auto u = read_response(Type::cluster, yaml, "f.yaml");
  REQUIRE(u.ok());
  CHECK(u->version == "3");
  REQUIRE(u->resources.size() == 1);
  CHECK(u->resources[0].type_url == type_url(Type::cluster));
  u = read_response(Type::cluster, R"({"version_info":"4","resources":[{"@type":"type.googleapis.com/envoy.service.discovery.v3.Resource","name":"a","version":"9","resource":{"@type":"type.googleapis.com/envoy.config.cluster.v3.Cluster","name":"a"}}]})", "f.json");
  REQUIRE(u.ok());
  CHECK(u->resources[0].name == "a");
  CHECK(u->resources[0].version == "9");
  envoy::service::discovery::v3::DiscoveryResponse response;
  response.set_version_info("5");
  u = read_response(Type::cluster, response.SerializeAsString(), "f.pb");
  REQUIRE(u.ok());
  CHECK(u->version == "5");
  CHECK_THAT(std::string(read_response(Type::cluster, "version_info: '1'\nresourcez: []\n", "f.yaml").status().message()), Contains("f.yaml:2") && Contains("resourcez"));
  CHECK_THAT(std::string(read_response(Type::cluster, "\xff\xff", "f.pb").status().message()), Contains("f.pb"));
}

TEST_CASE("an emptied response file is an error, not the removal of everything") {
  for (const std::string text : {"", "\n", "# nothing\n", "---\n"}) CHECK_THAT(std::string(read_response(Type::listener, text, "f.yaml").status().message()), Contains("f.yaml") && Contains("empty"));
  CHECK_FALSE(read_response(Type::listener, "", "f.pb").ok());
  CHECK(read_response(Type::listener, "{}", "f.yaml").ok());  // Envoy 1.40: a response without resources
}

TEST_CASE("back-off doubles from 500 ms to 30 s, jittered, and starts anew after a message") {
  BackOff b(1);
  auto limit = 500ms;
  for (int i = 0; i < 12; ++i) {
    const auto wait = b.next();
    CHECK(wait >= limit / 2);
    CHECK(wait <= limit);
    limit = std::min<std::chrono::milliseconds>(limit * 2, 30s);
  }
  b.reset();
  CHECK(b.next() <= 500ms);
  CHECK(BackOff(1).next() != BackOff(2).next());
}

TEST_CASE("methods and types") {
  CHECK(ads_grpc_method(true) == "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
  CHECK(grpc_method(Type::endpoint, false) == "/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints");
  CHECK(grpc_method(Type::route, true) == "/envoy.service.route.v3.RouteDiscoveryService/DeltaRoutes");
  CHECK(type_of("type.googleapis.com/envoy.config.listener.v3.Listener") == Type::listener);
  CHECK_FALSE(type_of("type.googleapis.com/other").has_value());
}

}  // namespace
}  // namespace fairlead::xds::sources_test
