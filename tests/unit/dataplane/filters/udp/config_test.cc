// What udp_proxy understands, where datagrams go, and what is refused in whose words.
#include <catch2/catch.hpp>

#include "base/hash.h"
#include "dataplane/config/listener.h"
#include "dataplane/config/support.h"
#include "dataplane/filters/udp/builtin.h"
#include "dataplane/filters/udp/udp_proxy/config.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace fairlead::filters::udp {
namespace {

using Catch::Matchers::Contains;
using udp_proxy::Config;

config::Registry& registry() {
  static config::Registry* registry = [] {
    auto* made = new config::Registry;
    register_configs(*made);
    return made;
  }();
  return *registry;
}

absl::StatusOr<std::shared_ptr<const config::ListenerConfig>> parse(const std::string& fields, const std::string& listener = "", const std::string& protocol = "UDP") {
  const std::string yaml = "{name: l, address: {socket_address: {protocol: " + protocol + ", address: 127.0.0.1, port_value: 53}}, " + listener +
                           "listener_filters: [{name: u, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig, stat_prefix: s, " + fields + "}}]}";
  config::HcmOptions options;
  options.registry = &registry();
  return config::parse_listener(test::from_yaml<envoy::config::listener::v3::Listener>(yaml), options);
}

std::shared_ptr<const Config> good(const std::string& fields) {
  const auto parsed = parse(fields);
  INFO(parsed.status().message());
  REQUIRE(parsed.ok());
  return std::static_pointer_cast<const Config>((*parsed)->listener_filters.front().config);
}

std::string fault(const std::string& fields, const std::string& listener = "", const std::string& protocol = "UDP") {
  const auto parsed = parse(fields, listener, protocol);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

net::Address at(const std::string& text) { return *net::Address::parse(text); }

std::string input(const std::string& name) { return "{name: i, typed_config: {'@type': type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3." + name + "}}"; }
std::string route(const std::string& cluster) {
  return "{action: {name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: " + cluster + "}}}";
}

}  // namespace

TEST_CASE("udp_proxy starts from Envoy's defaults") {
  const auto parsed = parse("cluster: c");
  REQUIRE(parsed.ok());
  CHECK((*parsed)->udp);
  CHECK((*parsed)->max_datagram == 1500);
  CHECK_FALSE((*parsed)->join_datagrams);
  CHECK((*parsed)->chain_count() == 0);
  const auto config = good("cluster: c");
  CHECK(config->stat_prefix == "s");
  CHECK(config->route(at("127.0.0.1:53"), at("10.0.0.1:1")) == "c");
  CHECK(config->idle_timeout == std::chrono::seconds(60));
  CHECK_FALSE(config->per_packet);
  CHECK(config->max_datagram == 1500);
  CHECK(config->join_datagrams);
  CHECK_FALSE(config->hash(at("10.0.0.1:1")));
  CHECK_FALSE(config->log_interval);
}

TEST_CASE("udp_proxy reads every field") {
  const auto config = good("cluster: c, idle_timeout: 5s, use_per_packet_load_balancing: true, hash_policies: [{source_ip: true}], upstream_socket_config: {max_rx_datagram_size: 9000, prefer_gro: false}, "
                           "access_log_options: {access_log_flush_interval: 2s}");
  CHECK(config->idle_timeout == std::chrono::seconds(5));
  CHECK(config->per_packet);
  CHECK(config->max_datagram == 9000);
  CHECK_FALSE(config->join_datagrams);
  CHECK(config->log_interval == std::chrono::seconds(2));
  CHECK(config->hash(at("10.0.0.1:1")) == xx_hash64("10.0.0.1"));
  CHECK(config->hash(at("[::1]:1")) == xx_hash64("::1"));
  CHECK(good("cluster: c, hash_policies: [{key: k}]")->hash(at("10.0.0.1:1")) == xx_hash64("k"));
  const auto socket = parse("cluster: c", "udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: 4000, prefer_gro: true}}, ");
  REQUIRE(socket.ok());
  CHECK((*socket)->max_datagram == 4000);
  CHECK((*socket)->join_datagrams);
}

TEST_CASE("a matcher sends datagrams by their addresses") {
  const auto config = good("matcher: {matcher_tree: {input: " + input("SourceIPInput") + ", exact_match_map: {map: {10.0.0.1: " + route("one") + ", 10.0.0.2: " + route("two") + "}}}, " +
                           "on_no_match: {matcher: {matcher_list: {matchers: [{predicate: {single_predicate: {input: " + input("DestinationPortInput") + ", value_match: {exact: '53'}}}, on_match: " +
                           route("one") + "}]}}}}");
  CHECK(config->clusters == std::vector<std::string>{"one", "two"});
  CHECK(config->route(at("127.0.0.1:53"), at("10.0.0.2:1")) == "two");
  CHECK(config->route(at("127.0.0.1:53"), at("10.0.0.3:1")) == "one");
  CHECK(config->route(at("127.0.0.1:54"), at("10.0.0.3:1")).empty());
  CHECK(config->route(at("[::1]:53"), at("[::1]:1")) == "one");
}

TEST_CASE("what udp_proxy does not do is refused with its place") {
  CHECK_THAT(fault("cluster: c, use_original_src_ip: true"), Contains("listener_filters[0].typed_config.use_original_src_ip: not supported: "));
  CHECK(fault("cluster: c, use_original_src_ip: false").empty());
  CHECK_THAT(fault("cluster: c, session_filters: [{name: f, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}]"), Contains("session_filters: not supported: "));
  CHECK_THAT(fault("cluster: c, tunneling_config: {proxy_host: a, target_host: b, default_target_port: 1}"), Contains("tunneling_config: not supported: "));
  CHECK_THAT(fault(""), Contains("one of cluster, matcher is required"));
  CHECK_THAT(fault("cluster: c, hash_policies: [{key: a}, {key: b}]"), Contains("hash_policies"));
  CHECK_THAT(fault("matcher: {on_no_match: {action: {name: r, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}}"),
             Contains("matcher.on_no_match.action: Didn't find a registered implementation for 'r' with type URL: 'type.googleapis.com/google.protobuf.Empty'"));
  CHECK_THAT(fault("matcher: {matcher_tree: {input: " + input("ServerNameInput") + ", exact_match_map: {map: {a: " + route("c") + "}}}}"), Contains("matcher_tree.input: Didn't find a registered implementation"));
  CHECK_THAT(fault("matcher: {on_no_match: {action: {name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route}}}}"), Contains("cluster"));
}

TEST_CASE("UDP and TCP listeners have their own filters, and UDP has no chains") {
  CHECK_THAT(fault("cluster: c", "", "TCP"), Contains("listener_filters[0]: Didn't find a registered implementation for 'u'"));
  CHECK_THAT(fault("cluster: c", "filter_chains: [{filters: []}], "), Contains("filter_chains: 1 filter chain(s) specified for connection-less UDP listener."));
  CHECK_THAT(fault("cluster: c", "additional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: 54}}}], "), Contains("additional_addresses[0].address.socket_address.protocol: has different socket type."));
  CHECK(fault("cluster: c", "additional_addresses: [{address: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: 54}}}], ").empty());
}

}  // namespace fairlead::filters::udp
