// What network filters understand, what they refuse and where they say the fault is; the rules of rbac.
#include <catch2/catch.hpp>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/config/support.h"
#include "dataplane/filters/network/builtin.h"
#include "dataplane/filters/network/connection_limit/config.h"
#include "dataplane/filters/network/local_ratelimit/config.h"
#include "dataplane/filters/network/rbac/rules.h"
#include "dataplane/filters/network/tcp_proxy/config.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/config/rbac/v3/rbac.pb.h"

namespace fairlead::filters::network {
namespace {

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const std::string& message, const std::string& fields) {
  static config::Registry registry;
  if (registry.network_filter(tcp_proxy::kTypeUrl) == nullptr) register_configs(registry);
  envoy::config::listener::v3::Filter filter;
  const std::string yaml = "name: f\ntyped_config: {'@type': type.googleapis.com/envoy.extensions.filters.network." + message + (fields.empty() ? "}" : ", " + fields + "}");
  const auto doc = doc::parse_one(yaml, "test.yaml");
  REQUIRE(doc.ok());
  const absl::Status read = doc::to_message(*doc, &filter);
  if (!read.ok()) return read;
  return registry.network_filter(filter.typed_config().type_url())->parse(filter.typed_config(), "typed_config");
}

std::string fault(const std::string& message, const std::string& fields) {
  const auto parsed = parse(message, fields);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

rbac::Rules rules(const std::string& yaml) {
  envoy::config::rbac::v3::RBAC proto;
  const auto doc = doc::parse_one(yaml, "test.yaml");
  REQUIRE(doc.ok());
  REQUIRE(doc::to_message(*doc, &proto).ok());
  auto out = rbac::Rules::compile(proto, "rules");
  INFO(out.status().message());
  REQUIRE(out.ok());
  return *std::move(out);
}

bool matches(const std::string& permission, const std::string& principal, const rbac::Facts& facts) {
  return rules("{policies: {p: {permissions: [" + permission + "], principals: [" + principal + "]}}}").judge(facts).allowed;
}

}  // namespace

TEST_CASE("tcp_proxy reads its defaults and every field") {
  auto plain = parse("tcp_proxy.v3.TcpProxy", "stat_prefix: t, cluster: c");
  REQUIRE(plain.ok());
  const auto& defaults = static_cast<const tcp_proxy::Config&>(**plain);
  CHECK(defaults.pick(12345) == "c");
  CHECK(defaults.idle_timeout == std::chrono::hours(1));
  CHECK(defaults.max_connect_attempts == 1);
  CHECK_FALSE(defaults.back_off);
  CHECK_FALSE(defaults.max_duration);
  CHECK_FALSE(defaults.max_early_data);
  CHECK_FALSE(defaults.log_interval);
  auto full = parse("tcp_proxy.v3.TcpProxy",
                    "stat_prefix: t, weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 2}]}, idle_timeout: 0s, max_connect_attempts: 5, backoff_options: {base_interval: 1s}, "
                    "max_downstream_connection_duration: 2s, max_downstream_connection_duration_jitter_percentage: {value: 50}, hash_policy: [{source_ip: {}}], "
                    "upstream_connect_mode: ON_DOWNSTREAM_DATA, max_early_data_bytes: 7, access_log_options: {access_log_flush_interval: 3s, flush_access_log_on_connected: true, flush_access_log_on_start: true}");
  INFO(full.status().message());
  REQUIRE(full.ok());
  const auto& config = static_cast<const tcp_proxy::Config&>(**full);
  CHECK(config.pick(0) == "a");
  CHECK(config.pick(1) == "b");
  CHECK(config.pick(2) == "b");
  CHECK(config.pick(3) == "a");
  CHECK(config.idle_timeout.count() == 0);
  CHECK(config.max_connect_attempts == 5);
  CHECK(config.back_off->max == std::chrono::seconds(10));
  CHECK(*config.max_duration == std::chrono::seconds(2));
  CHECK(config.max_duration_jitter == 50);
  CHECK(config.hash_policy.size() == 1);
  CHECK(config.connect_on_data);
  CHECK(config.max_early_data == 7u);
  CHECK(*config.log_interval == std::chrono::seconds(3));
  CHECK(config.log_on_connected);
  CHECK(config.log_on_start);
}

TEST_CASE("faults of network filters name the field") {
  CHECK(fault("tcp_proxy.v3.TcpProxy", "stat_prefix: t") == "typed_config.cluster_specifier: one of cluster, weighted_clusters must be set");
  CHECK(fault("tcp_proxy.v3.TcpProxy", "stat_prefix: t, cluster: c, backoff_options: {base_interval: 2s, max_interval: 1s}") == "typed_config.backoff_options: max_backoff_interval must be greater or equal to base_backoff_interval");
  CHECK(fault("tcp_proxy.v3.TcpProxy", "stat_prefix: t, cluster: c, flush_access_log_on_connected: true, access_log_options: {}") ==
        "typed_config.flush_access_log_on_connected: Only one of flush_access_log_on_connected or access_log_options can be specified.");
  CHECK(fault("tcp_proxy.v3.TcpProxy", "stat_prefix: t, cluster: c, upstream_connect_mode: ON_DOWNSTREAM_DATA").find("typed_config.max_early_data_bytes: ") == 0);
  CHECK(fault("connection_limit.v3.ConnectionLimit", "stat_prefix: c") == "typed_config.max_connections: must be set");
  CHECK(fault("local_ratelimit.v3.LocalRateLimit", "stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 0.049s}") ==
        "typed_config.token_bucket.fill_interval: local rate limit token bucket fill timer must be >= 50ms");
  CHECK(fault("local_ratelimit.v3.LocalRateLimit", "stat_prefix: l, token_bucket: {max_tokens: 1, fill_interval: 0.05s}") == "");
  const auto rbac_fault = [](const std::string& permission, const std::string& principal) {
    return fault("rbac.v3.RBAC", "stat_prefix: r, rules: {policies: {p: {permissions: [" + permission + "], principals: [" + principal + "]}}}");
  };
  CHECK(rbac_fault("{any: true}", "{any: true}") == "");
  CHECK(rbac_fault("{header: {name: a}}", "{any: true}") == "typed_config.rules.policies['p'].permissions[0].header: not supported by RBAC network filter");
  CHECK(rbac_fault("{any: true}", "{not_id: {header: {name: a}}}") == "typed_config.rules.policies['p'].principals[0].not_id.header: not supported by RBAC network filter");
  CHECK(rbac_fault("{or_rules: {rules: [{any: true}, {destination_port_range: {start: 5, end: 5}}]}}", "{any: true}") ==
        "typed_config.rules.policies['p'].permissions[0].or_rules.rules[1].destination_port_range: range start 5 cannot be greater or equal than range end 5");
  CHECK(rbac_fault("{}", "{any: true}") == "typed_config.rules.policies['p'].permissions[0]: a rule must be set");
  CHECK(rbac_fault("{any: true}", "{remote_ip: {address_prefix: nonsense}}").find("typed_config.rules.policies['p'].principals[0].remote_ip: ") == 0);
}

TEST_CASE("rbac conditions look at what is known of the connection") {
  stream::ConnectionInfo info;
  info.direct_remote = *net::Address::from_ip("10.0.0.1", 1000);
  info.remote = *net::Address::from_ip("192.0.2.7", 2000);
  info.local = *net::Address::from_ip("127.0.0.1", 5432);
  info.server_name = "db.example.com";
  info.filter_state["k"] = "v";
  info.dynamic_metadata = std::make_unique<envoy::config::core::v3::Metadata>();
  auto& fields = *(*info.dynamic_metadata->mutable_filter_metadata())["f"].mutable_fields();
  fields["text"].set_string_value("t");
  fields["number"].set_number_value(5);
  (*fields["deep"].mutable_struct_value()->mutable_fields())["yes"].set_bool_value(true);
  fields["list"].mutable_list_value()->add_values()->set_string_value("one");
  const rbac::Facts facts{info};
  const std::string any = "{any: true}";
  const auto permits = [&](const std::string& permission) { return matches(permission, any, facts); };
  const auto admits = [&](const std::string& principal) { return matches(any, principal, facts); };
  CHECK(permits("{destination_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}"));
  CHECK_FALSE(permits("{destination_ip: {address_prefix: 10.0.0.0, prefix_len: 8}}"));
  CHECK(permits("{destination_port: 5432}"));
  CHECK_FALSE(permits("{destination_port: 5433}"));
  CHECK(permits("{destination_port_range: {start: 5432, end: 5433}}"));
  CHECK_FALSE(permits("{destination_port_range: {start: 5000, end: 5432}}"));
  CHECK(permits("{requested_server_name: {suffix: .example.com}}"));
  CHECK_FALSE(permits("{requested_server_name: {exact: example.com}}"));
  CHECK(permits("{and_rules: {rules: [{destination_port: 5432}, {not_rule: {destination_port: 1}}]}}"));
  CHECK_FALSE(permits("{or_rules: {rules: [{destination_port: 1}, {destination_port: 2}]}}"));
  CHECK(admits("{direct_remote_ip: {address_prefix: 10.0.0.1, prefix_len: 32}}"));
  CHECK(admits("{remote_ip: {address_prefix: 192.0.2.0, prefix_len: 24}}"));
  CHECK(admits("{source_ip: {address_prefix: 192.0.2.0, prefix_len: 24}}"));
  CHECK_FALSE(admits("{remote_ip: {address_prefix: 10.0.0.1, prefix_len: 32}}"));
  CHECK_FALSE(admits("{remote_ip: {address_prefix: '::', prefix_len: 0}}"));
  CHECK(admits("{filter_state: {key: k, string_match: {exact: v}}}"));
  CHECK_FALSE(admits("{filter_state: {key: other, string_match: {prefix: ''}}}"));
  const auto value = [](const std::string& path, const std::string& match) { return "{metadata: {filter: f, path: [" + path + "], value: {" + match + "}}}"; };
  CHECK(permits(value("{key: text}", "string_match: {exact: t}")));
  CHECK_FALSE(permits(value("{key: text}", "null_match: {}")));
  CHECK(permits(value("{key: number}", "double_match: {range: {start: 5, end: 6}}")));
  CHECK_FALSE(permits(value("{key: number}", "double_match: {range: {start: 4, end: 5}}")));
  CHECK(permits(value("{key: number}", "double_match: {exact: 5}")));
  CHECK(permits(value("{key: deep}, {key: yes}", "bool_match: true")));
  CHECK_FALSE(permits(value("{key: text}, {key: yes}", "bool_match: true")));
  CHECK(permits(value("{key: list}", "list_match: {one_of: {string_match: {exact: one}}}")));
  CHECK_FALSE(permits(value("{key: none}", "present_match: false")));
  CHECK(permits(value("{key: text}", "or_match: {value_matchers: [{bool_match: true}, {present_match: true}]}")));
  CHECK(permits("{metadata: {filter: f, path: [{key: none}], value: {present_match: true}, invert: true}}"));

  CHECK_FALSE(admits("{authenticated: {}}"));
  const rbac::Facts known{info, true, {"spiffe://a/b"}};
  CHECK(matches(any, "{authenticated: {}}", known));
  CHECK(matches(any, "{authenticated: {principal_name: {prefix: 'spiffe://a/'}}}", known));
  CHECK_FALSE(matches(any, "{authenticated: {principal_name: {exact: 'spiffe://a/c'}}}", known));
}

TEST_CASE("an action says what a match means, and the first policy by name decides") {
  stream::ConnectionInfo info;
  const rbac::Facts facts{info};
  const std::string two = "policies: {b: {permissions: [{any: true}], principals: [{any: true}]}, a: {permissions: [{any: true}], principals: [{any: true}]}, "
                          "'0': {permissions: [{destination_port: 1}], principals: [{any: true}]}}";
  const auto allow = rules("{" + two + "}").judge(facts);
  CHECK(allow.allowed);
  CHECK(rules("{" + two + "}").judge(facts).policy.size() == 1);
  const rbac::Rules deny = rules("{action: DENY, " + two + "}");
  CHECK_FALSE(deny.judge(facts).allowed);
  CHECK(deny.judge(facts).policy == "a");
  CHECK(rules("{action: LOG, " + two + "}").judge(facts).allowed);
  CHECK_FALSE(rules("{}").judge(facts).allowed);
  CHECK(rules("{action: DENY}").judge(facts).allowed);
  CHECK(rules("{action: LOG}").judge(facts).allowed);
}

}  // namespace fairlead::filters::network
