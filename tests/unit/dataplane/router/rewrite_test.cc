// Path and host rewrites, redirects and header operations.
#include "dataplane/router/rewrite.h"

#include <catch2/catch.hpp>

#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;
using test::Headers;
using test::request;

namespace {

std::shared_ptr<const RouteTable> table_of(std::string_view route) {
  auto table = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [" + std::string(route) + "]}]}"));
  INFO(table.status().ToString());
  REQUIRE(table.ok());
  return *table;
}

std::string rewritten(std::string_view route, std::string_view path) {
  const auto table = table_of(route);
  Headers headers = request(path);
  const Match match = table->match(*headers, {});
  REQUIRE(match.route != nullptr);
  std::string out = "(unchanged)";
  rewrite_path(*match.route, path, out);
  return out;
}

std::string location(std::string_view redirect, Headers headers, std::string_view scheme = "http", std::string_view match = "prefix: /") {
  const auto table = table_of("{match: {" + std::string(match) + "}, redirect: {" + std::string(redirect) + "}}");
  return redirect_location(table->match(*headers, {}), *headers, scheme);
}

// All headers but pseudo ones, "name: value" in order.
std::vector<std::string> lines(const http::HeaderMap& headers) {
  std::vector<std::string> out;
  for (const auto& header : headers) {
    if (!header.is_pseudo()) out.push_back(std::string(header.name()) + ": " + std::string(header.value()));
  }
  return out;
}

}  // namespace

TEST_CASE("path rewrites keep the query") {
  CHECK(rewritten("{match: {prefix: /p/}, route: {cluster: c, prefix_rewrite: /}}", "/p/x?q=1") == "/x?q=1");
  CHECK(rewritten("{match: {prefix: /p}, route: {cluster: c, prefix_rewrite: /new}}", "/pq") == "/newq");
  CHECK(rewritten("{match: {path_separated_prefix: /p}, route: {cluster: c, prefix_rewrite: /new}}", "/p?q") == "/new?q");
  CHECK(rewritten("{match: {prefix: /P, case_sensitive: false}, route: {cluster: c, prefix_rewrite: /n}}", "/p/x") == "/n/x");
  CHECK(rewritten("{match: {path: /exact}, route: {cluster: c, prefix_rewrite: /other}}", "/exact?q") == "/other?q");
  CHECK(rewritten("{match: {safe_regex: {regex: '/r/.*'}}, route: {cluster: c, prefix_rewrite: /all}}", "/r/a/b?q") == "/all?q");
  CHECK(rewritten("{match: {prefix: /}, route: {cluster: c, regex_rewrite: {pattern: {regex: '^/service/([^/]+)(/.*)$'}, substitution: '\\2/instance/\\1'}}}",
                  "/service/foo/v1/api?q=/service/") == "/v1/api/instance/foo?q=/service/");
  CHECK(rewritten("{match: {prefix: /}, route: {cluster: c, regex_rewrite: {pattern: {regex: one}, substitution: two}}}", "/xxx/one/yyy/one/zzz") ==
        "/xxx/two/yyy/two/zzz");
  CHECK(rewritten("{match: {prefix: /}, route: {cluster: c}}", "/a") == "(unchanged)");
}

TEST_CASE("host rewrites") {
  const auto host = [](std::string_view action, Headers headers, std::string_view upstream = "") {
    const auto table = table_of("{match: {prefix: /}, route: {" + std::string(action) + "}}");
    std::string out = "(unchanged)";
    rewrite_host(table->match(*headers, {}), *headers, upstream, out);
    return out;
  };
  CHECK(host("cluster: c, host_rewrite_literal: new", request("/")) == "new");
  CHECK(host("cluster: c, auto_host_rewrite: true", request("/"), "upstream.example") == "upstream.example");
  CHECK(host("cluster: c, auto_host_rewrite: true", request("/")) == "(unchanged)");
  CHECK(host("cluster: c, host_rewrite_header: X-Host", request("/", "h", {{"x-host", "from-header"}})) == "from-header");
  CHECK(host("cluster: c, host_rewrite_header: X-Host", request("/")) == "(unchanged)");
  CHECK(host("cluster: c, host_rewrite_path_regex: {pattern: {regex: '^/(.+)/.+$'}, substitution: '\\1'}", request("/host/path?q")) == "host");
  CHECK(host("weighted_clusters: {clusters: [{name: c, weight: 1, host_rewrite_literal: w}]}, host_rewrite_literal: r", request("/")) == "r");
}

TEST_CASE("redirects build the location Envoy builds") {
  CHECK(location("https_redirect: true", request("/a?b")) == "https://example.com/a?b");
  CHECK(location("https_redirect: true", request("/", "example.com:80", {{"x-forwarded-proto", "http"}})) == "https://example.com/");
  CHECK(location("https_redirect: true", request("/", "example.com:8080", {{"x-forwarded-proto", "http"}})) == "https://example.com:8080/");
  CHECK(location("https_redirect: true", request("/", "[::1]:80", {{"x-forwarded-proto", "http"}})) == "https://[::1]/");
  CHECK(location("scheme_redirect: http", request("/", "example.com:443", {{"x-forwarded-proto", "https"}}), "https") == "http://example.com/");
  CHECK(location("https_redirect: true, port_redirect: 8443", request("/redir", "127.0.0.1:28080")) == "https://127.0.0.1:8443/redir");
  CHECK(location("host_redirect: new.example", request("/a", "example.com:8080")) == "http://new.example/a");
  CHECK(location("path_redirect: /new", request("/a?b=1")) == "http://example.com/new?b=1");
  CHECK(location("path_redirect: new", request("/a?b=1")) == "http://example.com/new?b=1");
  CHECK(location("prefix_rewrite: new", request("/old/a"), "http", "prefix: /old/") == "http://example.com/newa");
  CHECK(location("path_redirect: /new, strip_query: true", request("/a?b=1")) == "http://example.com/new");
  CHECK(location("path_redirect: '/new?own=1', strip_query: true", request("/a?b=1")) == "http://example.com/new?own=1");
  CHECK(location("strip_query: true", request("/a?b=1")) == "http://example.com/a");
  CHECK(location("prefix_rewrite: /new", request("/old/a?b"), "http", "prefix: /old") == "http://example.com/new/a?b");
  CHECK(location("regex_rewrite: {pattern: {regex: '^/old/(.*)$'}, substitution: '/new/\\1'}", request("/old/a?b")) == "http://example.com/new/a?b");
  const auto tls = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
                                           "{name: t, virtual_hosts: [{name: v, domains: ['*'], require_tls: ALL}]}"))
                       .value();
  Headers headers = request("/x?y", "h:80");
  CHECK(redirect_location(tls->match(*headers, {}), *headers, "http") == "https://h:80/x?y");
}

TEST_CASE("header operations: removal first, four ways to add, formatters, empty values") {
  const auto table = table_of(R"({match: {prefix: /}, route: {cluster: c},
  request_headers_to_remove: [X-Gone],
  request_headers_to_add: [
    {header: {key: X-Gone, value: back}},
    {header: {key: X-Append, value: new}},
    {header: {key: X-Absent, value: new}, append_action: ADD_IF_ABSENT},
    {header: {key: X-Fresh, value: new}, append_action: ADD_IF_ABSENT},
    {header: {key: X-Over, value: new}, append_action: OVERWRITE_IF_EXISTS_OR_ADD},
    {header: {key: X-Over2, value: new}, append_action: OVERWRITE_IF_EXISTS},
    {header: {key: X-Over3, value: new}, append_action: OVERWRITE_IF_EXISTS},
    {header: {key: X-Old, value: new}, append: false},
    {header: {key: X-Format, value: "m=%REQ(:METHOD)% 100%%"}},
    {header: {key: X-Empty, value: "%REQ(x-none)%"}},
    {header: {key: X-Kept, value: ""}, keep_empty_value: true}]})");
  Headers headers = request("/", "h", {{"x-gone", "1"}, {"x-append", "old"}, {"x-absent", "old"}, {"x-over", "old"}, {"x-over2", "old"}, {"x-old", "old"}});
  format::FormatContext context;
  context.request_headers = headers.get();
  const Match match = table->match(*headers, {});
  table->apply_request_headers(match, *headers, context);
  CHECK(lines(*headers) == std::vector<std::string>{"x-append: old", "x-absent: old", "x-over: new", "x-over2: new", "x-old: new", "x-gone: back",
                                                    "x-append: new", "x-fresh: new", "x-format: m=GET 100%", "x-kept: "});
}

TEST_CASE("within a level conditions and values see the headers as they came, and overwriting comes before adding") {
  const auto table = table_of(R"({match: {prefix: /}, route: {cluster: c},
  request_headers_to_add: [
    {header: {key: x-a, value: one}},
    {header: {key: x-a, value: two}, append_action: OVERWRITE_IF_EXISTS_OR_ADD},
    {header: {key: x-b, value: one}, append_action: ADD_IF_ABSENT},
    {header: {key: x-b, value: two}, append_action: ADD_IF_ABSENT},
    {header: {key: x-c, value: "[%REQ(x-b)%]"}}]})");
  Headers headers = request("/");
  format::FormatContext context;
  context.request_headers = headers.get();
  table->apply_request_headers(table->match(*headers, {}), *headers, context);
  CHECK(lines(*headers) == std::vector<std::string>{"x-a: two", "x-a: one", "x-b: one", "x-b: two", "x-c: []"});
}

TEST_CASE("a rendered value cannot end its header") {
  const auto table = table_of("{match: {prefix: /}, route: {cluster: c}, request_headers_to_add: [{header: {key: x-q, value: '%QUERY_PARAM(q)%'}}]}");
  Headers headers = request("/?q=a%0d%0aevil:%201%00");
  format::FormatContext context;
  context.request_headers = headers.get();
  table->apply_request_headers(table->match(*headers, {}), *headers, context);
  CHECK(lines(*headers) == std::vector<std::string>{"x-q: a  evil: 1 "});
}

TEST_CASE("levels apply from the most specific, or the other way round when told") {
  const auto order = [](std::string_view flag) {
    const auto table = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(R"(
name: t
most_specific_header_mutations_wins: )" + std::string(flag) + R"(
response_headers_to_add: [{header: {key: x, value: table}}]
virtual_hosts:
- name: v
  domains: ["*"]
  response_headers_to_add: [{header: {key: x, value: host}}]
  routes:
  - match: {prefix: /}
    response_headers_to_add: [{header: {key: x, value: route}}]
    route: {weighted_clusters: {clusters: [{name: c, weight: 1, response_headers_to_add: [{header: {key: x, value: weighted}}]}]}}
)")).value();
    Headers headers = request("/");
    const Match match = table->match(*headers, {});
    Headers response{{":status", "200"}};
    table->apply_response_headers(match, *response, {});
    return lines(*response);
  };
  CHECK(order("false") == std::vector<std::string>{"x: weighted", "x: route", "x: host", "x: table"});
  CHECK(order("true") == std::vector<std::string>{"x: table", "x: host", "x: route", "x: weighted"});
}
