// Listeners and connection managers: defaults, what each field becomes, and what is refused in whose words.
#include "dataplane/config/listener.h"

#include <catch2/catch.hpp>

#include "dataplane/config/route.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/config/filters.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace listener_test {

using namespace fairlead;
using namespace fairlead::config;
using Catch::Matchers::Contains;

namespace {

constexpr std::string_view router_filter = "{name: envoy.filters.http.router, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}";
constexpr std::string_view routes = "route_config: {name: inline, virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}";

std::string hcm(std::string_view fields, std::string_view filters = router_filter) {
  return "{\"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: s, "
         "http_filters: [" + std::string(filters) + "], " + std::string(fields) + "}";
}
std::string listener(std::string_view typed_config, std::string_view more = "") {
  return "{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 8080}}, " + std::string(more) +
         "filter_chains: [{filters: [{name: hcm, typed_config: " + std::string(typed_config) + "}]}]}";
}
absl::StatusOr<std::shared_ptr<const ListenerConfig>> parse(std::string_view yaml, HcmOptions options = {}) {
  options.registry = &test::filters();
  return parse_listener(test::from_yaml<envoy::config::listener::v3::Listener>(yaml), options);
}
std::shared_ptr<const ListenerConfig> good(std::string_view yaml) {
  auto parsed = parse(yaml);
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  return *parsed;
}
std::string error_of(std::string_view yaml, HcmOptions options = {}) {
  const auto parsed = parse(yaml, std::move(options));
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

}  // namespace

TEST_CASE("a listener starts from Envoy's defaults") {
  const auto parsed = good(listener(hcm(routes)));
  CHECK(parsed->addresses.front().text() == "127.0.0.1:8080");
  CHECK(parsed->per_connection_buffer_limit == 1048576);
  CHECK(parsed->reuse_port);
  CHECK(parsed->bind_to_port);
  const HcmConfig& manager = *parsed->chains[0]->hcm;
  CHECK(manager.idle_timeout.count() == 3'600'000);
  CHECK(manager.stream_idle_timeout.count() == 300'000);
  CHECK(manager.request_timeout.count() == 0);
  CHECK(manager.delayed_close_timeout.count() == 1000);
  CHECK(manager.max_request_headers_kb == 60);
  CHECK(manager.max_headers_count == 100);
  CHECK(manager.server_name == "envoy");
  CHECK(manager.generate_request_id);
  CHECK_FALSE(manager.use_remote_address);
  CHECK(manager.allow_absolute_url);
  CHECK(manager.routes.inline_table->name() == "inline");
  REQUIRE(manager.http_filters.size() == 1);
  CHECK(manager.http_filters[0].type->canonical == "envoy.filters.http.router");
}

TEST_CASE("a connection manager keeps what was configured") {
  const auto parsed = good(listener(hcm(R"(rds: {route_config_name: r, config_source: {ads: {}}},
    codec_type: HTTP1, common_http_protocol_options: {idle_timeout: 7s, max_headers_count: 50, headers_with_underscores_action: REJECT_REQUEST},
    http_protocol_options: {accept_http_10: true, enable_trailers: true}, stream_idle_timeout: 0s, max_request_headers_kb: 30,
    server_name: edge, server_header_transformation: PASS_THROUGH, use_remote_address: true, xff_num_trusted_hops: 2,
    internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}, normalize_path: true, merge_slashes: true,
    path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD, strip_any_host_port: true, via: edge,
    upgrade_configs: [{upgrade_type: WebSocket}],
    access_log: [{name: f, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null,
      log_format: {json_format: {code: "%RESPONSE_CODE%"}}}, filter: {status_code_filter: {comparison: {op: GE, value: {default_value: 400, runtime_key: k}}}}}],
    local_reply_config: {mappers: [{filter: {response_flag_filter: {flags: [NR]}}, status_code: 418, body: {inline_string: gone}}], body_format: {text_format_source: {inline_string: "%LOCAL_REPLY_BODY%"}}})"),
                                    "socket_options: [{level: 1, name: 9, int_value: 1, state: STATE_LISTENING}], transparent: false, enable_reuse_port: false, tcp_backlog_size: 9, "));
  CHECK_FALSE(parsed->reuse_port);
  CHECK(parsed->tcp_backlog == 9u);
  CHECK(parsed->transparent == false);
  CHECK_FALSE(parsed->freebind);
  CHECK(parsed->socket_options[0].state == SocketOption::State::Listening);
  const HcmConfig& manager = *parsed->chains[0]->hcm;
  CHECK(manager.routes.rds_name == "r");
  CHECK(manager.routes.rds_source->kind == ConfigSource::Kind::Ads);
  CHECK(manager.codec == HcmConfig::Codec::Http1);
  CHECK(manager.idle_timeout.count() == 7000);
  CHECK(manager.stream_idle_timeout.count() == 0);
  CHECK(manager.headers_with_underscores == HcmConfig::HeadersWithUnderscores::RejectRequest);
  CHECK(manager.accept_http_10);
  CHECK(manager.server_header == HcmConfig::ServerHeader::PassThrough);
  CHECK(manager.xff_num_trusted_hops == 2);
  CHECK(manager.internal_cidrs[0].contains_text("10.1.1.1"));
  CHECK(manager.escaped_slashes == HcmConfig::EscapedSlashes::UnescapeAndForward);
  CHECK(manager.upgrades[0].type == "websocket");
  REQUIRE(manager.access_logs.size() == 1);
  format::FormatContext context;
  context.response_code = 404;
  std::string line;
  manager.access_logs[0].render(context, line);
  CHECK(line == "{\"code\":404}\n");
  CHECK(manager.access_logs[0].filter->match({&context}));
  context.response_code = 200;
  CHECK_FALSE(manager.access_logs[0].filter->match({&context}));
  REQUIRE(manager.local_reply);
  CHECK(manager.local_reply->mappers[0].status_code == 418u);
  CHECK(*manager.local_reply->mappers[0].body == "gone");
  CHECK(manager.local_reply->content_type == "text/plain");
}

TEST_CASE("early header mutation takes all of its extensions in order, and not what would change the target") {
  const auto extension = [](const std::string& mutations) {
    return "{name: e, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, mutations: [" + mutations + "]}}";
  };
  const auto with = [&](const std::string& extensions) { return listener(hcm(std::string(routes) + ", early_header_mutation_extensions: [" + extensions + "]")); };
  const std::string set = "{append: {header: {key: a, value: b}}}";
  const auto parsed = good(with(extension(set + ", {remove: c}") + ", " + extension("{remove_on_match: {key_matcher: {prefix: x-}}}")));
  const router::HeaderChanges& changes = parsed->chains[0]->hcm->early_header_changes;
  REQUIRE(changes.size() == 3);
  CHECK_FALSE(changes[1].remove_matching);
  CHECK(changes[2].remove_matching);
  CHECK_THAT(error_of(with(extension(set) + ", " + extension("{append: {header: {key: ':path', value: /}}}"))),
             Contains("early_header_mutation_extensions[1].typed_config.mutations[0]") && Contains(":-prefixed or host headers may not be modified"));
  CHECK_THAT(error_of(with(extension("{remove: host}"))), Contains("early_header_mutation_extensions[0].typed_config.mutations[0]"));
  CHECK_THAT(error_of(with(extension(""))), Contains("early_header_mutation_extensions[0].typed_config.mutations"));
  CHECK_THAT(error_of(with("{name: e, typed_config: {\"@type\": type.googleapis.com/google.protobuf.StringValue, value: x}}")), Contains("early_header_mutation_extensions[0]"));
}

TEST_CASE("filters: unknown, optional, terminal where they should not be") {
  const std::string unknown = "{name: x, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault}}";
  CHECK_THAT(error_of(listener(hcm(routes, unknown + "," + std::string(router_filter)))),
             Contains("listener 'l': filter_chains[0].filters[0].typed_config.http_filters[0]: Didn't find a registered implementation for 'x' with type URL: "
                      "'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault'"));
  std::vector<std::string> warnings;
  HcmOptions options;
  options.warnings = &warnings;
  std::string optional = unknown;
  optional.insert(1, "is_optional: true, ");
  CHECK(error_of(listener(hcm(routes, optional + "," + std::string(router_filter))), options).empty());
  CHECK(warnings.size() == 1);
  const std::string plain = "{name: p, typed_config: {\"@type\": type.googleapis.com/google.protobuf.Struct, value: {}}}";
  CHECK_THAT(error_of(listener(hcm(routes, plain))),
             Contains("Error: non-terminal filter named p of type test.plain is the last filter in a http filter chain."));
  CHECK_THAT(error_of(listener(hcm(routes, std::string(router_filter) + "," + plain))),
             Contains("Error: terminal filter named envoy.filters.http.router of type envoy.filters.http.router must be the last filter in a http filter chain."));
}

TEST_CASE("what Envoy refuses of listeners, filters and virtual hosts") {
  std::string off(router_filter);
  off.insert(1, "disabled: true, ");
  CHECK_THAT(error_of(listener(hcm(routes, off))), Contains("http_filters[0]: Error: the last (terminal) filter (envoy.filters.http.router) in the chain cannot be disabled by default."));
  CHECK_THAT(error_of("{name: l, address: {socket_address: {address: 127.0.0.1, port_value: 1, ipv4_compat: true}}}"),
             Contains("address.socket_address.ipv4_compat: Only IPv6 address '::' or valid IPv4-mapped IPv6 address can set ipv4_compat: 127.0.0.1:1"));
  CHECK_THAT(error_of(listener(hcm("route_config: {name: r, virtual_hosts: [{name: v, domains: [a], virtual_clusters: [{name: c}]}]}"))),
             Contains("virtual_hosts[0].virtual_clusters[0].headers: virtual clusters must define 'headers'"));
  CHECK(error_of(listener(hcm("route_config: {name: r, virtual_hosts: [{name: v, domains: [a]}, {name: v, domains: [b]}]}"))).empty());
}

TEST_CASE("wrong listeners are refused, every problem at once") {
  CHECK_THAT(error_of("{name: l, address: {socket_address: {address: name, port_value: 1}}}"),
             Contains("malformed IP address: name") && Contains("no filter chains specified"));
  CHECK_THAT(error_of(listener(hcm(std::string(routes) + ", strip_any_host_port: true, strip_matching_host_port: true"))),
             Contains("Error: Only one of `strip_matching_host_port` or `strip_any_host_port` can be set."));
  CHECK_THAT(error_of(listener(hcm(std::string(routes) + ", codec_type: HTTP3"))), Contains("codec_type: HTTP3 is not supported"));
  CHECK_THAT(error_of(listener("{\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: s, cluster: c}")),
             Contains("Didn't find a registered implementation for 'hcm' with type URL: 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy'"));
  CHECK_THAT(error_of(listener(hcm(std::string(routes) + ", access_log: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: \"%NOPE%\"}}}}]"))),
             Contains("access_log[0].typed_config.log_format.text_format_source.inline_string: Not supported field in StreamInfo: NOPE"));
  CHECK_THAT(error_of(listener(hcm("route_config: {name: r, virtual_hosts: [{name: v, domains: [a, A]}]}"))),
             Contains("route configuration 'r': virtual_hosts[0].domains[1]: Only unique values for domains are permitted."));
}

TEST_CASE("options that exclude each other or stand where they mean nothing are refused") {
  const auto error = [](std::string_view more) { return error_of(listener(hcm(std::string(routes) + ", " + std::string(more)))); };
  CHECK_THAT(error("access_log_flush_interval: 1s, access_log_options: {}"), Contains("Only one of access_log_flush_interval or access_log_options can be specified."));
  CHECK_THAT(error("flush_access_log_on_new_request: true, access_log_options: {}"), Contains("Only one of flush_access_log_on_new_request or access_log_options"));
  CHECK_THAT(error("common_http_protocol_options: {max_response_headers_kb: 8}"), Contains("common_http_protocol_options.max_response_headers_kb: cannot be set on http_connection_manager"));
  const std::string type = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
  CHECK_THAT(error("request_id_extension: {typed_config: {\"@type\": " + type + "}}"), Contains("request_id_extension: Didn't find a registered implementation for type: 'envoy.extensions.filters.http.router.v3.Router'"));
  CHECK(error("request_id_extension: {typed_config: {\"@type\": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig, pack_trace_reason: false}}").empty());
  CHECK_THAT(error("tracing: {provider: {name: x, typed_config: {\"@type\": " + type + "}}}"), Contains("tracing.provider: Didn't find a registered implementation for 'x'"));
  CHECK(error("tracing: {provider: {name: x, typed_config: {\"@type\": type.googleapis.com/envoy.config.trace.v3.ZipkinConfig, collector_cluster: c, collector_endpoint: /, collector_endpoint_version: HTTP_JSON}}}").empty());
  CHECK_THAT(error_of(listener(hcm(routes), "connection_balance_config: {extend_balance: {name: x, typed_config: {\"@type\": " + type + "}}}, ")), Contains("connection_balance_config.extend_balance: not supported"));
  CHECK(error_of(listener(hcm(routes), "connection_balance_config: {exact_balance: {}}, ")).empty());
}

TEST_CASE("log_type_filter takes the named types, or all but these, or none") {
  const auto logged = [](std::string_view filter, format::LogType type) {
    const auto compiled = AccessLogFilter::compile(test::from_yaml<envoy::config::accesslog::v3::AccessLogFilter>("{log_type_filter: {" + std::string(filter) + "}}"), "f");
    REQUIRE(compiled.ok());
    format::FormatContext context;
    context.log_type = type;
    return compiled->match({.context = &context});
  };
  using format::LogType;
  for (const auto& [name, type] : {std::pair("DownstreamStart", LogType::DownstreamStart), std::pair("DownstreamPeriodic", LogType::DownstreamPeriodic),
                                   std::pair("DownstreamEnd", LogType::DownstreamEnd), std::pair("TcpConnectionStart", LogType::TcpConnectionStart),
                                   std::pair("UdpSessionEnd", LogType::UdpSessionEnd)}) {
    INFO(name);
    CHECK(logged("types: [" + std::string(name) + "]", type));
    CHECK_FALSE(logged("types: [" + std::string(name) + "], exclude: true", type));
    CHECK_FALSE(logged("types: [" + std::string(name) + "]", LogType::UpstreamEnd));
    CHECK(logged("types: [" + std::string(name) + "], exclude: true", LogType::UpstreamEnd));
  }
  CHECK_FALSE(logged("", LogType::DownstreamEnd));
  CHECK(logged("exclude: true", LogType::DownstreamEnd));
}

TEST_CASE("metadata_filter takes lines whose metadata match, and by default those that have none") {
  const auto metadata = test::from_yaml<envoy::config::core::v3::Metadata>("{filter_metadata: {f: {tier: gold}}}");
  const auto logged = [](std::string_view filter, const envoy::config::core::v3::Metadata* metadata) {
    const auto compiled = AccessLogFilter::compile(test::from_yaml<envoy::config::accesslog::v3::AccessLogFilter>("{metadata_filter: {" + std::string(filter) + "}}"), "f");
    INFO(compiled.status().ToString());
    REQUIRE(compiled.ok());
    format::FormatContext context;
    context.dynamic_metadata = metadata;
    return compiled->match({.context = &context});
  };
  const std::string gold = "matcher: {filter: f, path: [{key: tier}], value: {string_match: {exact: gold}}}", tin = "matcher: {filter: f, path: [{key: tier}], value: {string_match: {exact: tin}}}";
  CHECK(logged(gold, &metadata));
  CHECK_FALSE(logged(tin, &metadata));
  CHECK(logged(tin, nullptr));
  CHECK_FALSE(logged(gold + ", match_if_key_not_found: false", nullptr));
  CHECK(logged(gold + ", match_if_key_not_found: false", &metadata));
  CHECK(logged("", &metadata));
  CHECK_FALSE(logged("match_if_key_not_found: false", &metadata));
}

TEST_CASE("a listener's access log, and how its connections are balanced") {
  const std::string log = "access_log: [{name: f, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}}], ";
  CHECK(good(listener(hcm(routes), log))->access_logs.size() == 1);
  CHECK(good(listener(hcm(routes)))->access_logs.empty());
  CHECK(good(listener(hcm(routes), log))->outer_hash != good(listener(hcm(routes)))->outer_hash);
  CHECK_THAT(error_of(listener(hcm(routes), "access_log: [{name: f, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {inline_string: \"%NOPE%\"}}}}], ")),
             Contains("listener 'l': access_log[0]"));
  CHECK(good(listener(hcm(routes), "connection_balance_config: {exact_balance: {}}, "))->exact_balance);
  CHECK_FALSE(good(listener(hcm(routes)))->exact_balance);
}

TEST_CASE("the host of a type URL does not matter") {
  CHECK(error_of(listener(hcm(routes, "{name: r, typed_config: {\"@type\": example.com/any/envoy.extensions.filters.http.router.v3.Router}}"))).empty());
}

TEST_CASE("texts from files and the environment are read by whoever runs, and only there") {
  HcmOptions options;
  const auto body = [](std::string_view source) {
    return listener(hcm("route_config: {name: r, virtual_hosts: [{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {" + std::string(source) + "}}}]}]}"));
  };
  CHECK(error_of(body("filename: /absent"), options).empty());  // judged only: the file is another machine's
  options.read_file = [](const std::string& path) -> absl::StatusOr<std::string> {
    return path == "/there" ? absl::StatusOr<std::string>("from file %PROTOCOL%") : absl::NotFoundError(path + ": no such file");
  };
  auto parsed = parse(body("filename: /there"), options);
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  CHECK((*parsed)->chains[0]->hcm->routes.inline_table->virtual_hosts()[0].routes[0].extras.direct.body == "from file %PROTOCOL%");
  CHECK_THAT(error_of(body("filename: /absent"), options), Contains("direct_response.body.filename: /absent: no such file"));
  CHECK_THAT(error_of(body("filename: /dev/zero"), options), Contains("body.filename: Invalid path: /dev/zero"));
  CHECK_THAT(error_of(body("environment_variable: NO_SUCH_VARIABLE_HERE"), options), Contains("Environment variable doesn't exist: NO_SUCH_VARIABLE_HERE"));
  CHECK(error_of(body("environment_variable: PATH"), options).empty());
  const auto log = [](std::string_view source) {
    return listener(hcm(std::string(routes) + ", access_log: [{name: a, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog, log_format: {text_format_source: {" +
                        std::string(source) + "}}}}]"));
  };
  parsed = parse(log("filename: /there"), options);
  REQUIRE(parsed.ok());
  CHECK(std::get<format::Formatter>((*parsed)->chains[0]->hcm->access_logs[0].format).render({}) == "from file -");
  CHECK_THAT(error_of(log("filename: /absent"), options), Contains("log_format.text_format_source.filename: /absent: no such file"));
  const std::string reply = ", local_reply_config: {mappers: [{filter: {not_health_check_filter: {}}, body: {filename: /there}}]}";
  parsed = parse(listener(hcm(std::string(routes) + reply)), options);
  REQUIRE(parsed.ok());
  CHECK((*parsed)->chains[0]->hcm->local_reply->mappers[0].body == "from file %PROTOCOL%");
}

TEST_CASE("inline routes are checked against the clusters, RDS tables are not") {
  HcmOptions options;
  options.knows_cluster = [](std::string_view) { return false; };
  CHECK_THAT(error_of(listener(hcm(routes)), options), Contains("route: unknown cluster 'c'"));
  const auto table = test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}");
  CHECK(parse_route_table(table, options).ok());
}

TEST_CASE("an RDS table is validated, checked for support and compiled") {
  const auto error = [](std::string_view yaml) {
    return std::string(parse_route_table(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(yaml)).status().message());
  };
  CHECK_THAT(error("{name: r, vhds: {config_source: {ads: {}}}}"), Contains("route configuration 'r': vhds: not supported"));
  CHECK_THAT(error("{name: r, virtual_hosts: [{name: v, domains: []}]}"), Contains("virtual_hosts[0].domains"));
}

}  // namespace listener_test
