// What a route table decides: virtual hosts, path matchers, conditions, actions, explanations and refusals.
#include "dataplane/router/route_table.h"

#include <catch2/catch.hpp>

#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;
using test::Headers;
using test::request;

namespace {

absl::StatusOr<std::shared_ptr<const RouteTable>> compile(std::string_view yaml, const CompileOptions& options = {}) {
  return RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(yaml), options);
}

std::shared_ptr<const RouteTable> table_of(std::string_view routes) {
  auto table = compile("{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [" + std::string(routes) + "]}]}");
  INFO(table.status().ToString());
  REQUIRE(table.ok());
  return *table;
}

// The name of the route chosen, and always the same by the plain scan.
std::string pick(const RouteTable& table, Headers headers, RequestFacts facts = {}) {
  const Match match = table.match(*headers, facts);
  const Match scanned = table.match_by_scan(*headers, facts);
  CHECK(match.route == scanned.route);
  CHECK(match.virtual_host == scanned.virtual_host);
  CHECK(match.outcome == scanned.outcome);
  CHECK(match.cluster == scanned.cluster);
  return match.route == nullptr ? "-" : std::string(match.route->name);
}

std::string error_of(std::string_view yaml, const CompileOptions& options = {}) {
  const auto table = compile(yaml, options);
  return table.ok() ? "" : std::string(table.status().message());
}

std::string route_error(std::string_view route) {
  return error_of("{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [" + std::string(route) + "]}]}");
}

}  // namespace

TEST_CASE("virtual hosts: exact, longest suffix, longest prefix, any; in any case") {
  const auto table = compile(R"(
name: t
virtual_hosts:
- {name: any, domains: ["*"], routes: [{name: any, match: {prefix: /}, route: {cluster: c}}]}
- {name: exact, domains: [www.Foo.com], routes: [{name: exact, match: {prefix: /}, route: {cluster: c}}]}
- {name: suffix, domains: ["*.foo.com", "*-bar.foo.com"], routes: [{name: suffix, match: {prefix: /}, route: {cluster: c}}]}
- {name: longer, domains: ["*.b.foo.com"], routes: [{name: longer, match: {prefix: /}, route: {cluster: c}}]}
- {name: prefix, domains: ["foo.*"], routes: [{name: prefix, match: {prefix: /}, route: {cluster: c}}]}
- {name: port, domains: ["with.port:81"], routes: [{name: port, match: {prefix: /}, route: {cluster: c}}]}
)").value();
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"www.foo.com", "exact"}, {"WWW.FOO.COM", "exact"}, {"a.foo.com", "suffix"}, {".foo.com", "any"}, {"a.b.foo.com", "longer"},
      {"x-bar.foo.com", "suffix"}, {"foo.org", "prefix"}, {"foo.", "any"}, {"foo.com", "prefix"}, {"other", "any"}, {"", "any"},
      {"www.foo.com:80", "any"}, {"with.port:81", "port"}, {"with.port", "any"},
      {std::string_view("a234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456.FOO.com"), "suffix"},
  };
  for (const auto& [host, expected] : cases) {
    INFO(host);
    CHECK(pick(*table, request("/", host)) == expected);
  }
}

TEST_CASE("no virtual host, no route") {
  const auto table = compile("{name: t, virtual_hosts: [{name: v, domains: [a], routes: [{match: {path: /x}, route: {cluster: c}}]}]}").value();
  CHECK(table->match(*request("/x", "b"), {}).outcome == Match::Outcome::NoVirtualHost);
  CHECK(table->match(*request("/y", "a"), {}).outcome == Match::Outcome::NoRoute);
  CHECK(table->match(*request("/x", "a"), {}).outcome == Match::Outcome::Route);
}

TEST_CASE("the port of the authority can be left out of matching") {
  const auto table = compile(
      "{name: t, ignore_port_in_host_matching: true, virtual_hosts: [{name: v, domains: [a, '[::1]'], routes: [{name: r, match: {prefix: /}, route: {cluster: c}}]}]}").value();
  CHECK(pick(*table, request("/", "a:8080")) == "r");
  CHECK(pick(*table, request("/", "A")) == "r");
  CHECK(pick(*table, request("/", "[::1]:80")) == "r");
  CHECK(pick(*table, request("/", "a:x")) == "-");
}

TEST_CASE("path matchers look at the path without its query, and the first match wins") {
  const auto table = table_of(R"(
{name: exact, match: {path: /exact}, route: {cluster: c}},
{name: any-case, match: {path: /AnyCase, case_sensitive: false}, route: {cluster: c}},
{name: separated, match: {path_separated_prefix: /sep/a}, route: {cluster: c}},
{name: dead, match: {prefix: /dead}, route: {cluster: c}},
{name: shadowed, match: {prefix: /deadlong}, route: {cluster: c}},
{name: long, match: {prefix: /api/v1}, route: {cluster: c}},
{name: short, match: {prefix: /api}, route: {cluster: c}},
{name: folded, match: {prefix: /FOLD, case_sensitive: false}, route: {cluster: c}},
{name: regex, match: {safe_regex: {regex: '/r/[0-9]+'}}, route: {cluster: c}},
{name: connect, match: {connect_matcher: {}}, route: {cluster: c}})");
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"/exact", "exact"},     {"/exact?q", "exact"}, {"/exact#f", "exact"},  {"/exact/", "-"},        {"/anycase", "any-case"},
      {"/sep/a", "separated"}, {"/sep/a/b", "separated"}, {"/sep/a?x", "separated"}, {"/sep/ab", "-"}, {"/deadlong", "dead"},
      {"/api/v1/x", "long"},   {"/api/v2", "short"},  {"/apiary", "short"},   {"/fOLd/x", "folded"},   {"/r/12", "regex"},
      {"/r/12/", "-"},         {"/r/12?x", "regex"},  {"", "-"},              {"*", "-"},
  };
  for (const auto& [path, expected] : cases) {
    INFO(path);
    CHECK(pick(*table, request(path)) == expected);
  }
  Headers connect{{":method", "CONNECT"}, {":authority", "example.com:443"}};
  CHECK(pick(*table, std::move(connect)) == "connect");
}

TEST_CASE("many regexes are tried together and keep their order") {
  std::string routes;
  for (int i = 0; i < 40; ++i) {
    routes += "{name: r" + std::to_string(i) + ", match: {safe_regex: {regex: '/x" + std::to_string(i % 20) + "/.*'}}, route: {cluster: c}},";
    if (i == 10) routes += "{name: prefix, match: {prefix: /x15}, route: {cluster: c}},";
  }
  const auto table = table_of(routes);
  CHECK(pick(*table, request("/x7/a")) == "r7");
  CHECK(pick(*table, request("/x15/a")) == "prefix");
  CHECK(pick(*table, request("/x19/a?q")) == "r19");
  CHECK(pick(*table, request("/x20/a")) == "-");
}

TEST_CASE("headers, query, method, gRPC and fraction must all hold") {
  const auto table = table_of(R"(
{name: post, match: {prefix: /, headers: [{name: ":method", string_match: {exact: POST}}]}, route: {cluster: c}},
{name: both, match: {prefix: /, headers: [{name: x-a, string_match: {exact: "1"}}, {name: x-b}]}, route: {cluster: c}},
{name: query, match: {prefix: /, query_parameters: [{name: q, string_match: {prefix: v}}]}, route: {cluster: c}},
{name: grpc, match: {prefix: /, grpc: {}}, route: {cluster: c}},
{name: half, match: {prefix: /, runtime_fraction: {default_value: {numerator: 50}, runtime_key: half}}, route: {cluster: c}},
{name: rest, match: {prefix: /}, route: {cluster: c}})");
  RequestFacts out;
  out.random = 70;
  CHECK(pick(*table, request("/", "h", {{"x-a", "1"}, {"x-b", ""}}), out) == "both");
  CHECK(pick(*table, request("/", "h", {{"x-a", "1"}}), out) == "rest");
  CHECK(pick(*table, request("/?q=value"), out) == "query");
  CHECK(pick(*table, request("/?q=other"), out) == "rest");
  CHECK(pick(*table, request("/", "h", {{"content-type", "application/grpc"}}), out) == "grpc");
  CHECK(pick(*table, request("/", "h", {{"content-type", "application/grpc+proto"}}), out) == "grpc");
  CHECK(pick(*table, request("/", "h", {{"content-type", "application/grpc-web"}}), out) == "rest");
  CHECK(pick(*table, request("/"), {.random = 149}) == "half");
  matching::Runtime runtime;
  runtime.set("half", {"0", 0.0, {}});
  CHECK(pick(*table, request("/"), {.random = 149, .runtime = &runtime}) == "rest");
  Headers post{{":method", "POST"}, {":path", "/"}, {":authority", "h"}};
  CHECK(pick(*table, std::move(post), out) == "post");
}

TEST_CASE("cookies and the client's certificate are conditions too") {
  const auto table = table_of(R"(
{name: cookie, match: {prefix: /, cookies: [{name: a, string_match: {exact: '1'}}, {name: b, string_match: {prefix: x}}]}, route: {cluster: c}},
{name: valid, match: {prefix: /, tls_context: {presented: true, validated: true}}, route: {cluster: c}},
{name: invalid, match: {prefix: /, tls_context: {validated: false, presented: true}}, route: {cluster: c}},
{name: none, match: {prefix: /, tls_context: {presented: false}}, route: {cluster: c}})");
  CHECK(pick(*table, request("/", "h", {{"cookie", "b=xy; a=1"}})) == "cookie");
  CHECK(pick(*table, request("/", "h", {{"cookie", "a=1"}})) == "none");
  CHECK(pick(*table, request("/"), {.certificate_presented = true, .certificate_validated = true}) == "valid");
  CHECK(pick(*table, request("/"), {.certificate_presented = true}) == "invalid");
  CHECK(table->virtual_hosts()[0].routes[0].describe() == "prefix \"/\", cookie a exact \"1\", cookie b prefix \"x\"");
  CHECK(table->virtual_hosts()[0].routes[2].describe() == "prefix \"/\", client certificate presented, not validated");
}

TEST_CASE("metadata of the request is a condition, and a missing value one that only some conditions match") {
  const auto table = table_of(R"(
{name: both, match: {prefix: /, dynamic_metadata: [
  {filter: f, path: [{key: tier}], value: {string_match: {exact: gold}}}, {filter: f, path: [{key: deep}, {key: n}], value: {double_match: {exact: 7}}}]}, route: {cluster: c}},
{name: gold, match: {prefix: /, dynamic_metadata: [{filter: f, path: [{key: tier}], value: {string_match: {exact: gold}}}]}, route: {cluster: c}},
{name: known, match: {prefix: /, dynamic_metadata: [{filter: f, path: [{key: tier}], value: {present_match: true}}]}, route: {cluster: c}},
{name: rest, match: {prefix: /}, route: {cluster: c}})");
  const auto with = [](std::string_view fields) {
    return test::from_yaml<envoy::config::core::v3::Metadata>("{filter_metadata: {f: " + std::string(fields) + "}}");
  };
  const auto both = with("{tier: gold, deep: {n: 7}}"), gold = with("{tier: gold, deep: 7}"), other = with("{tier: tin}"), none = with("{}");
  CHECK(pick(*table, request("/"), {.dynamic_metadata = &both}) == "both");
  CHECK(pick(*table, request("/"), {.dynamic_metadata = &gold}) == "gold");
  CHECK(pick(*table, request("/"), {.dynamic_metadata = &other}) == "known");
  CHECK(pick(*table, request("/"), {.dynamic_metadata = &none}) == "rest");
  CHECK(pick(*table, request("/")) == "rest");
  CHECK(table->virtual_hosts()[0].routes[0].describe() == "prefix \"/\", metadata f[tier], metadata f[deep][n]");
  CHECK_THAT(route_error("{match: {prefix: /, dynamic_metadata: [{filter: f, path: [{key: a}], value: {string_match: {safe_regex: {regex: '('}}}}]}, route: {cluster: c}}"),
             Catch::Contains("routes[0].match.dynamic_metadata[0].value.string_match"));
}

TEST_CASE("weighted clusters follow the stream's random number or a header") {
  const auto table = table_of(R"(
{name: w, match: {prefix: /w}, route: {weighted_clusters: {clusters: [{name: a, weight: 1}, {name: zero, weight: 0}, {name: b, weight: 3}, {cluster_header: X-C, weight: 1}]}}},
{name: h, match: {prefix: /h}, route: {weighted_clusters: {header_name: X-R, clusters: [{name: a, weight: 1}, {name: b, weight: 1}]}}})");
  const auto cluster = [&](Headers headers, uint64_t random) { return std::string(table->match(*headers, {.random = random}).cluster); };
  CHECK(cluster(request("/w"), 0) == "a");
  CHECK(cluster(request("/w"), 1) == "b");
  CHECK(cluster(request("/w"), 3) == "b");
  CHECK(cluster(request("/w"), 5) == "a");
  Headers with = request("/w", "h", {{"x-c", "dynamic"}});
  CHECK(table->match(*with, {.random = 4}).cluster == "dynamic");
  CHECK(cluster(request("/w"), 4) == "");
  CHECK(cluster(request("/h", "h", {{"x-r", "1"}}), 0) == "b");
  CHECK(cluster(request("/h", "h", {{"x-r", "junk"}}), 1) == "b");
  CHECK(table->cluster_names() == std::vector<std::string>{"a", "b", "zero"});
}

TEST_CASE("a cluster may be named by a header") {
  const auto table = table_of("{name: r, match: {prefix: /}, route: {cluster_header: X-Cluster, cluster_not_found_response_code: NOT_FOUND}}");
  Headers headers = request("/", "h", {{"x-cluster", "blue"}});
  CHECK(table->match(*headers, {}).cluster == "blue");
  Headers none = request("/");
  const Match match = table->match(*none, {});
  CHECK(match.cluster.empty());
  CHECK(match.route->forward.cluster_not_found_code == 404);
}

TEST_CASE("require_tls redirects plain requests") {
  const auto table = compile(R"(
name: t
virtual_hosts:
- {name: all, domains: [all], require_tls: ALL, routes: [{name: r, match: {prefix: /}, route: {cluster: c}}]}
- {name: ext, domains: [ext], require_tls: EXTERNAL_ONLY, routes: [{name: r, match: {prefix: /}, route: {cluster: c}}]}
)").value();
  CHECK(table->match(*request("/", "all"), {}).outcome == Match::Outcome::RedirectToTls);
  CHECK(table->match(*request("/", "all"), {.scheme = "https"}).outcome == Match::Outcome::Route);
  CHECK(table->match(*request("/", "ext"), {}).outcome == Match::Outcome::RedirectToTls);
  CHECK(table->match(*request("/", "ext"), {.internal = true}).outcome == Match::Outcome::Route);
}

TEST_CASE("actions keep Envoy's defaults and what was configured") {
  const auto table = table_of(R"(
{name: plain, match: {prefix: /plain}, route: {cluster: c}},
{name: full, match: {prefix: /full}, route: {cluster: c, timeout: 0s, idle_timeout: 7s, priority: HIGH,
   max_stream_duration: {max_stream_duration: 3s, grpc_timeout_header_max: 0s, grpc_timeout_header_offset: 1s},
   retry_policy: {retry_on: "5xx, connect-failure,unavailable", num_retries: 4, per_try_timeout: 0.25s, retry_back_off: {base_interval: 0.1s},
     retriable_status_codes: [500], retry_host_predicate: [{name: p, typed_config: {"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 5},
   request_mirror_policies: [{cluster: shadow, runtime_fraction: {default_value: {numerator: 10}}}],
   upgrade_configs: [{upgrade_type: WebSocket, enabled: false}]}},
{name: redirect, match: {prefix: /redirect}, redirect: {response_code: PERMANENT_REDIRECT, host_redirect: h, port_redirect: 8443}},
{name: direct, match: {prefix: /direct}, direct_response: {status: 418, body: {inline_string: teapot}}})");
  const auto& routes = table->virtual_hosts()[0].routes;
  CHECK(routes[0].forward.timeout.count() == 15'000);
  CHECK_FALSE(routes[0].forward.retry_policy);
  CHECK(routes[0].forward.cluster_not_found_code == 503);
  const RouteAction& full = routes[1].forward;
  CHECK(full.timeout.count() == 0);
  CHECK(full.idle_timeout->count() == 7000);
  CHECK(full.high_priority);
  CHECK(full.max_stream_duration.max_stream_duration->count() == 3000);
  CHECK(full.max_stream_duration.grpc_timeout_header_max->count() == 0);
  REQUIRE(full.retry_policy);
  CHECK(full.retry_policy->has(RetryOn::FiveXx));
  CHECK(full.retry_policy->has(RetryOn::ConnectFailure));
  CHECK(full.retry_policy->has(RetryOn::GrpcUnavailable));
  CHECK_FALSE(full.retry_policy->has(RetryOn::Reset));
  CHECK(full.retry_policy->num_retries == 4);
  CHECK(full.retry_policy->per_try_timeout.count() == 250);
  CHECK(full.retry_policy->base_interval.count() == 100);
  CHECK(full.retry_policy->max_interval.count() == 1000);
  CHECK(full.retry_policy->previous_hosts_predicate);
  CHECK(full.retry_policy->host_selection_max_attempts == 5);
  REQUIRE(full.mirrors.size() == 1);
  CHECK(full.mirrors[0].cluster == "shadow");
  CHECK(full.upgrades[0].type == "websocket");
  CHECK_FALSE(full.upgrades[0].enabled);
  CHECK(routes[2].extras.redirect.code == 308);
  CHECK(routes[3].extras.direct.status == 418);
  CHECK(routes[3].extras.direct.body == "teapot");
  CHECK(table->cluster_names() == std::vector<std::string>{"c", "shadow"});
}

TEST_CASE("retry policies and mirrors are inherited whole, never merged") {
  const auto table = compile(R"(
name: t
request_mirror_policies: [{cluster: table-mirror}]
virtual_hosts:
- name: a
  domains: [a]
  retry_policy: {retry_on: 5xx, num_retries: 7}
  request_mirror_policies: [{cluster: host-mirror}]
  routes:
  - {match: {prefix: /own}, route: {cluster: c, retry_policy: {retry_on: reset}, request_mirror_policies: [{cluster: own-mirror}]}}
  - {match: {prefix: /}, route: {cluster: c}}
- {name: b, domains: [b], routes: [{match: {prefix: /}, route: {cluster: c}}]}
)").value();
  const auto& a = table->virtual_hosts()[0].routes;
  CHECK(a[0].forward.retry_policy->num_retries == 1);
  CHECK(a[0].forward.mirrors[0].cluster == "own-mirror");
  CHECK(a[1].forward.retry_policy->num_retries == 7);
  CHECK(a[1].forward.mirrors[0].cluster == "host-mirror");
  CHECK_FALSE(table->virtual_hosts()[1].routes[0].forward.retry_policy);
  CHECK(table->virtual_hosts()[1].routes[0].forward.mirrors[0].cluster == "table-mirror");
}

TEST_CASE("routes whose configurations differ in the cluster alone share what forwarding takes") {
  auto table = compile(R"(
name: t
virtual_hosts:
- name: a
  domains: [a]
  routes:
  - {match: {prefix: /1}, route: {cluster: one, timeout: 1s}}
  - {match: {prefix: /2}, route: {cluster: two, timeout: 1s}}
  - {match: {prefix: /3}, route: {cluster: one, timeout: 2s}}
  - {match: {prefix: /4}, route: {cluster: one, timeout: 1s, prefix_rewrite: /one}}
- name: b
  domains: [b]
  retry_policy: {retry_on: reset, num_retries: 7}
  routes:
  - {match: {prefix: /}, route: {cluster: one, timeout: 1s}}
- name: c
  domains: [c]
  request_mirror_policies: [{cluster: mirror}]
  routes:
  - {match: {prefix: /}, route: {cluster: one, timeout: 1s}}
- name: d
  domains: [d]
  routes:
  - {match: {prefix: /}, redirect: {host_redirect: x}}
  - {match: {prefix: /}, route: {cluster: three, timeout: 1s}}
)");
  const auto routes = [&](size_t host) { return (*table)->virtual_hosts()[host].routes; };
  CHECK(routes(0)[0].cluster == "one");
  CHECK(routes(0)[1].cluster == "two");
  CHECK(routes(3)[1].cluster == "three");
  CHECK(&routes(0)[0].forward == &routes(0)[1].forward);
  CHECK(&routes(0)[0].forward == &routes(3)[1].forward);
  CHECK(routes(0)[2].forward.timeout.count() == 2'000);
  CHECK(routes(0)[3].forward.path_rewrite.prefix == "/one");
  CHECK(routes(0)[0].forward.path_rewrite.kind == PathRewrite::Kind::None);
  CHECK_FALSE(routes(0)[0].forward.retry_policy);
  CHECK(routes(1)[0].forward.retry_policy->num_retries == 7);  // the virtual host's, so not that of others
  CHECK(routes(1)[0].forward.mirrors.empty());
  CHECK(routes(2)[0].forward.mirrors[0].cluster == "mirror");
  CHECK(routes(3)[0].extras.redirect.host == "x");
}

TEST_CASE("wrong tables are refused with the field's path and Envoy's text") {
  using Catch::Matchers::Contains;
  CHECK_THAT(error_of("{name: t, virtual_hosts: [{name: a, domains: [x]}, {name: b, domains: [X]}]}"),
             Contains("virtual_hosts[1].domains[0]: Only unique values for domains are permitted. Duplicate entry of domain X in route t"));
  CHECK_THAT(error_of("{name: t, virtual_hosts: [{name: a, domains: ['*']}, {name: b, domains: ['*']}]}"),
             Contains("Only a single wildcard domain is permitted in route t"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: a, weight: 0}]}}}"),
             Contains("routes[0].route.weighted_clusters: Sum of weights in the weighted_cluster must be greater than 0."));
  CHECK_THAT(route_error("{match: {safe_regex: {regex: '('}}, route: {cluster: c}}"), Contains("routes[0].match.safe_regex.regex: missing )"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c, prefix_rewrite: /a, regex_rewrite: {pattern: {regex: a}, substitution: b}}}"),
             Contains("Specify only one of prefix_rewrite, regex_rewrite or path_rewrite_policy"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c, regex_rewrite: {pattern: {regex: a}, substitution: '\\1'}}}"),
             Contains("regex_rewrite.substitution"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: ':path', value: x}}]}"),
             Contains("routes[0].request_headers_to_add[0]: :-prefixed or host headers may not be modified"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c}, response_headers_to_remove: [Host]}"),
             Contains(":-prefixed or host headers may not be removed"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: a, value: '%BOGUS%'}}]}"),
             Contains("header.value: Not supported field in StreamInfo: BOGUS"));
  CHECK_THAT(route_error("{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: '" + std::string(4097, 'x') + "'}}}"),
             Contains("response body size is 4097 bytes; maximum is 4096"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_back_off: {base_interval: 1s, max_interval: 0.5s}}}}"),
             Contains("retry_policy.max_interval must greater than or equal to the base_interval"));
  CHECK(route_error("{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_back_off: {base_interval: 0.0001s, max_interval: 0.0005s}}}}").empty());
  CHECK(error_of("{name: t, max_direct_response_body_size_bytes: 0, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: '" +
                 std::string(9000, 'x') + "'}}}]}]}").empty());
  CHECK_THAT(route_error("{match: {safe_regex: {google_re2: {max_program_size: 3}, regex: '/abc[a-z]+'}}, route: {cluster: c}}"),
             Contains("routes[0].match.safe_regex.regex: regex '/abc[a-z]+' RE2 program size of ") && Contains(" > max program size of 3"));
  CHECK(route_error("{match: {safe_regex: {google_re2: {max_program_size: 1000}, regex: '/abc[a-z]+'}}, route: {cluster: c}}").empty());
  CHECK_THAT(error_of("{name: t, virtual_hosts: [{name: v, domains: ['*'], virtual_clusters: [{name: a, headers: [{name: b, string_match: {safe_regex: {regex: '('}}}]}]}]}"),
             Contains("virtual_hosts[0].virtual_clusters[0].headers[0]") && Contains("missing )"));
  const auto per_filter = [&](std::string_view config) { return route_error("{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {f: " + std::string(config) + "}}"); };
  CHECK_THAT(per_filter("{'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig}"), Contains("Empty route/virtual host per filter configuration for f filter"));
  CHECK_THAT(per_filter("{'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, is_optional: true}"), Contains("Empty route/virtual host per filter configuration for f filter"));
  CHECK(per_filter("{'@type': type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}").empty());
  CHECK_THAT(per_filter("{}"), Contains("Didn't find a registered implementation for 'f' with type URL: ''"));
  CHECK_THAT(route_error("{match: {prefix: /}}"), Contains("routes[0].action"));
  CHECK_THAT(route_error("{match: {}, route: {}}"), Contains("path_specifier") && Contains("cluster_specifier"));
  CHECK_THAT(route_error("{match: {prefix: /a}, route: {cluster: c}}, {match: {prefix: /}, route: {}}"), Contains("routes[1].route.cluster_specifier"));
  CHECK_THAT(route_error("{match: {prefix: /}, route: {cluster: c}, typed_per_filter_config: {f: {'@type': type.googleapis.com/envoy.config.cluster.v3.Cluster}}}"),
             Contains("typed_per_filter_config[\"f\"]"));
}

TEST_CASE("clusters are checked where that is asked for") {
  CompileOptions options;
  options.knows_cluster = [](std::string_view name) { return name == "known"; };
  const std::string_view yaml = "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: nope}}]}]}";
  CHECK(error_of(yaml, options).empty());
  options.validate_clusters_default = true;
  CHECK_THAT(error_of(yaml, options), Catch::Matchers::Contains("virtual_hosts[0].routes[0].route.cluster: route: unknown cluster 'nope'"));
  CHECK(error_of("{name: t, validate_clusters: false, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: nope}}]}]}", options).empty());
}

TEST_CASE("an unknown retry_on token is a warning") {
  std::vector<std::string> warnings;
  CompileOptions options;
  options.warnings = &warnings;
  CHECK(error_of("{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c, retry_policy: {retry_on: 'reset,bogus'}}}]}]}", options).empty());
  REQUIRE(warnings.size() == 1);
  CHECK_THAT(warnings[0], Catch::Matchers::Contains("virtual_hosts[0].routes[0].route.retry_policy.retry_on: unknown condition 'bogus'"));
}

TEST_CASE("per-filter entries: the most specific level wins, disabled is kept") {
  struct Config : PerFilterConfig {
    explicit Config(std::string v) : value(std::move(v)) {}
    std::string value;
  };
  CompileOptions options;
  options.per_filter = [](std::string_view, const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const PerFilterConfig>> {
    return std::make_shared<const Config>(any.type_url());
  };
  const auto table = compile(R"(
name: t
typed_per_filter_config: {f: {"@type": type.googleapis.com/google.protobuf.Int32Value, value: 1}, g: {"@type": type.googleapis.com/google.protobuf.Int32Value, value: 1}}
virtual_hosts:
- name: v
  domains: ["*"]
  typed_per_filter_config: {f: {"@type": type.googleapis.com/google.protobuf.Int64Value, value: "1"}}
  routes:
  - {match: {prefix: /a}, route: {cluster: c}, typed_per_filter_config: {f: {"@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true}}}
  - {match: {prefix: /}, route: {weighted_clusters: {clusters: [{name: c, weight: 1, typed_per_filter_config: {f: {"@type": type.googleapis.com/google.protobuf.BoolValue, value: true}}}]}}}
)", options).value();
  const auto value = [](const PerFilter* entry) { return static_cast<const Config&>(*entry->config).value; };
  const Match a = table->match(*request("/a"), {});
  CHECK(table->per_filter("f", a)->disabled);
  CHECK(value(table->per_filter("g", a)) == "type.googleapis.com/google.protobuf.Int32Value");
  const Match rest = table->match(*request("/"), {});
  CHECK(value(table->per_filter("f", rest)) == "type.googleapis.com/google.protobuf.BoolValue");
  CHECK(table->per_filter("h", rest) == nullptr);
}

TEST_CASE("an explanation names the virtual host, near misses and the choice") {
  struct Sink : ExplainSink {
    std::vector<std::string> lines;
    void virtual_host(std::string_view host, const VirtualHost* chosen, std::string_view domain) override {
      lines.push_back(std::string(host) + " -> " + std::string(chosen ? chosen->name : "none") + " by " + std::string(domain));
    }
    void rejected(const Route& route, std::string_view reason) override { lines.push_back(std::string(route.name) + " " + std::string(reason)); }
    void chosen(const Route& route, const Match& match) override { lines.push_back(std::string(route.name) + " to " + std::string(match.cluster)); }
  };
  const auto table = table_of(R"(
{name: elsewhere, match: {prefix: /b}, route: {cluster: c}},
{name: beta, match: {prefix: /a, headers: [{name: x-user, string_match: {exact: beta}}]}, route: {cluster: c}},
{name: stable, match: {prefix: /a}, route: {cluster: blue}})");
  Sink sink;
  table->explain(*request("/a"), {}, sink);
  CHECK(sink.lines == std::vector<std::string>{"example.com -> v by *", "beta does not satisfy: header x-user exact \"beta\"", "stable to blue"});
  CHECK(table->virtual_hosts()[0].routes[1].describe() == "prefix \"/a\", header x-user exact \"beta\"");
}

TEST_CASE("equal tables have equal hashes") {
  const std::string_view yaml = "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c}}]}]}";
  CHECK(compile(yaml).value()->content_hash() == compile(yaml).value()->content_hash());
  CHECK(compile(yaml).value()->content_hash() != compile("{name: u}").value()->content_hash());
}
