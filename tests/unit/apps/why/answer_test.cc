// What becomes of a request, over objects and over raw resources: each step, its origin, what nearly matched, and what is missing.
#include "apps/why/answer.h"

#include <chrono>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <catch2/catch.hpp>

#include "apps/why/scope.h"
#include "apps/why/service.h"
#include "controlplane/inspect/inspect.h"
#include "tests/unit/apps/why/world.h"

namespace answer_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;
using why::Answer;

namespace {

const std::string kRules = R"(---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /}
    backendRefs:
    - {name: v1, port: 80, weight: 90}
    - {name: v2, port: 80, weight: 10}
  - matches:
    - path: {type: PathPrefix, value: /api}
      headers: [{name: x-env, value: test}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: inner, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-from, value: edge}], remove: [x-secret]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-by, value: fairlead}]}}
    backendRefs: [{name: v1, port: 80}]
    timeouts: {request: 5s}
  - matches:
    - path: {type: Exact, value: /old}
    filters:
    - {type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301}}
)";

std::string objects() { return gateway_yaml() + service_yaml("v1") + slice_yaml("v1") + service_yaml("v2") + slice_yaml("v2", "127.0.0.2", 9002) + kRules; }

}  // namespace

TEST_CASE("a forwarded request is told step by step, each with the line it came from") {
  const Files files({{"a.yaml", objects()}});
  why::World world(files.scope("gateway:default/edge"));
  const Answer a = ask(world, "GET", "http://127.0.0.1:8080/api/items?q=1", {"x-env: test", "X-Secret: s"});
  INFO(steps(a));
  CHECK(a.kind == Answer::Kind::Forwarded);
  CHECK(a.status == 0);
  CHECK(a.summary == "forwarded to default/v1/80 as GET /items?q=1, host inner, timeout 5s");
  REQUIRE(a.steps.size() == 7);
  CHECK(a.steps[0].step == "listener");
  CHECK_THAT(a.steps[0].what, Contains("on 0.0.0.0:8080"));
  CHECK(a.steps[0].object == "Gateway default/edge: spec.listeners[0]");
  CHECK(a.steps[1].what == "number 0, takes every connection");
  CHECK_THAT(a.steps[2].what, Contains("for *, in route table"));
  CHECK(a.steps[3].step == "route");
  CHECK(a.steps[3].what == "default/shop/rule/1/match/0: separated prefix \"/api\", header x-env exact \"test\"");
  CHECK(a.steps[3].object == "HTTPRoute default/shop: spec.rules[1].matches[0]");
  CHECK_THAT(a.steps[3].place, Contains("a.yaml:"));
  CHECK(a.steps[4].what == "default/v1/80, EDS, round robin");
  CHECK(a.steps[5].what == "127.0.0.1:9001, weight 1, healthy (not said otherwise)");
  CHECK(a.steps[5].object == "Service default/v1");
  CHECK(a.steps[6].step == "answer");
  CHECK(a.path == "/items?q=1");
  CHECK(a.host == "inner");
  std::string headers;
  for (const auto& [name, value] : a.request_headers) absl::StrAppend(&headers, name, "=", value, " ");
  CHECK_THAT(headers, Contains("x-from=edge"));
  CHECK_THAT(headers, !Contains("x-secret"));
  CHECK(a.response_headers == std::vector<std::pair<std::string, std::string>>{{"x-by", "fairlead"}});
}

TEST_CASE("shares of a weighted route are shown, none is chosen, and what nearly matched is told") {
  const Files files({{"a.yaml", objects()}});
  why::World world(files.scope("gateway:default/edge"));
  const Answer a = ask(world, "GET", "http://127.0.0.1:8080/api/items");
  INFO(steps(a));
  CHECK(a.summary == "forwarded to 90 % default/v1/80, 10 % default/v2/80 as GET /api/items, timeout 15s");
  CHECK_THAT(steps(a), Contains("cluster: 90 % (weight 90 of 100) default/v1/80, EDS, round robin\nendpoint: 127.0.0.1:9001"));
  CHECK_THAT(steps(a), Contains("cluster: 10 % (weight 10 of 100) default/v2/80, EDS, round robin\nendpoint: 127.0.0.2:9002"));
  REQUIRE_FALSE(a.near.empty());
  CHECK(a.near[0].route == "default/shop/rule/1/match/0");
  CHECK(a.near[0].unmet == std::vector<std::string>{"header x-env exact \"test\" (there is none)"});
  CHECK(a.near[0].object == "HTTPRoute default/shop: spec.rules[1].matches[0]");
}

TEST_CASE("a redirect is the answer, with its Location") {
  const Files files({{"a.yaml", objects()}});
  why::World world(files.scope("gateway:default/edge"));
  const Answer a = ask(world, "GET", "http://shop.example.com:8080/old");
  CHECK(a.kind == Answer::Kind::Redirect);
  CHECK(a.status == 301);
  CHECK(a.location == "http://shop.example.com:8080/new");
  CHECK(ask(world, "GET", "http://a:8080/%6fld").kind == Answer::Kind::Redirect);  // the Gateway's connection manager normalises paths
  CHECK_THAT(ask(world, "GET", "http://a:8080/x/../old").notes, Catch::Matchers::VectorContains(std::string("the path is normalised to /old")));
}

TEST_CASE("what cannot be answered says what there is: port, virtual host, cluster, endpoints") {
  const std::string hosts = "[{name: shop, domains: [shop.example.com], routes: [{match: {path: /ok}, direct_response: {status: 200, body: {inline_string: fine}}}, {match: {prefix: /gone}, route: {cluster: none}}]}]";
  const Files files({{"a.yaml", raw_yaml("mine", listener_yaml("edge", "127.0.0.1", 8080, hosts))}});
  why::World world(files.scope("raw:default/mine"));
  CHECK(ask(world, "GET", "http://shop.example.com:81/").summary == "no listener on port 81 of shop.example.com; there are: 127.0.0.1:8080");
  CHECK(ask(world, "GET", "http://10.0.0.1:8080/").summary == "no listener on port 8080 of 10.0.0.1; there are: 127.0.0.1:8080");
  const Answer other = ask(world, "GET", "http://127.0.0.1:8080/", {"host: shup.example.com"});
  CHECK(other.kind == Answer::Kind::NotFound);
  CHECK(other.status == 404);
  CHECK(other.summary == "404: no virtual host of route table inline is for \"shup.example.com\"; there are: shop.example.com");
  const Answer nothing = ask(world, "GET", "http://127.0.0.1:8080/ok/", {"host: shop.example.com"});
  CHECK(nothing.summary == "404: no route of virtual host shop matches");
  REQUIRE(nothing.near.size() == 1);
  CHECK(nothing.near[0].unmet == std::vector<std::string>{"path \"/ok\" (it is \"/ok/\")"});
  CHECK(nothing.near[0].object == "EnvoyResources default/mine: spec.resources[0].filter_chains[0].filters[0].typed_config.route_config.virtual_hosts[0].routes[0]");
  const Answer gone = ask(world, "GET", "http://127.0.0.1:8080/gone", {"host: shop.example.com"});
  CHECK(gone.kind == Answer::Kind::Refused);
  CHECK(gone.status == 503);
  CHECK_THAT(gone.summary, Contains("knows no cluster none"));
  const Answer direct = ask(world, "GET", "http://127.0.0.1:8080/ok", {"host: shop.example.com"});
  CHECK(direct.kind == Answer::Kind::Direct);
  CHECK(direct.body == "fine");
  CHECK_THAT(ask(world, "GET", "https://127.0.0.1:8080/").summary, Contains("the chain is plain, the request is https"));
}

TEST_CASE("of several listeners the one at the address is taken, and a path alone asks the only one") {
  const auto hosts = [](const std::string& name) { return "[{name: " + name + ", domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]"; };
  const Files files({{"a.yaml", raw_yaml("mine", listener_yaml("one", "127.0.0.1", 8080, hosts("one")) + listener_yaml("two", "127.0.0.2", 8080, hosts("two")) + listener_yaml("any", "0.0.0.0", 8081, hosts("any")))}});
  why::World world(files.scope("raw:default/mine"));
  CHECK(ask(world, "GET", "http://127.0.0.2:8080/").virtual_host == "two");
  CHECK(ask(world, "GET", "http://127.0.0.1:8080/").virtual_host == "one");
  CHECK(ask(world, "GET", "http://10.1.2.3:8081/").virtual_host == "any");
  const Answer either = ask(world, "GET", "http://a.example.com:8080/");
  CHECK(either.kind == Answer::Kind::Direct);
  CHECK_THAT(either.notes, Catch::Matchers::VectorContains(std::string("1 other listener fits as well: say the address and the port in the URL")));
}

TEST_CASE("a filter chain is chosen by the URL's server name") {
  const std::string tls = absl::StrCat("transport_socket: {name: tls, typed_config: {\"@type\": ", kTypes,
                                       ".extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {tls_certificates: [{certificate_chain: {filename: /nowhere/a.pem}, private_key: {filename: /nowhere/a.key}}]}}}");
  const auto chain = [&](const std::string& name) {
    return absl::StrCat("    - filter_chain_match: {server_names: [\"", name, "\"]}\n      ", tls, "\n      filters:\n      - name: hcm\n        typed_config: {\"@type\": ", kTypes,
                        ".extensions.filters.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: a, route_config: {name: t, virtual_hosts: [{name: \"", name,
                        "\", domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}, http_filters: [{name: router, typed_config: {\"@type\": ", kTypes, ".extensions.filters.http.router.v3.Router}}]}\n");
  };
  const auto listener = [&](const std::string& inspector) {
    return absl::StrCat("  - \"@type\": ", kTypes, ".config.listener.v3.Listener\n    name: edge\n    address: {socket_address: {address: 0.0.0.0, port_value: 443}}\n", inspector, "    filter_chains:\n",
                        chain("a.example.com"), chain("*.example.com"));
  };
  const std::string inspector = absl::StrCat("    listener_filters: [{name: tls, typed_config: {\"@type\": ", kTypes, ".extensions.filters.listener.tls_inspector.v3.TlsInspector}}]\n");
  const Files files({{"a.yaml", raw_yaml("mine", listener(inspector)) + raw_yaml("blind", listener(""), "clusters: [b]")}});
  why::World world(files.scope("raw:default/mine")), blind(files.scope("raw:default/blind"));
  const Answer a = ask(world, "GET", "https://a.example.com/");
  INFO(steps(a));
  CHECK(a.virtual_host == "a.example.com");
  CHECK_THAT(a.steps[1].what, Contains("number 0, for {\"server_names\":[\"a.example.com\"]}, TLS"));
  CHECK(a.steps[1].object == "EnvoyResources default/mine: spec.resources[0].filter_chains[0]");
  CHECK(ask(world, "GET", "https://b.example.com/").virtual_host == "*.example.com");
  const Answer none = ask(world, "GET", "https://example.org/");
  CHECK(none.kind == Answer::Kind::NoConnection);
  CHECK_THAT(none.summary, Contains("no filter chain takes the connection, it is closed; there are chains for: {\"server_names\":[\"a.example.com\"]}, "));
  const Answer without = ask(blind, "GET", "https://a.example.com/");
  CHECK(without.kind == Answer::Kind::NoConnection);
  CHECK_THAT(without.notes, Catch::Matchers::VectorContains(std::string("the listener has no tls_inspector: server names are not looked at")));
}

TEST_CASE("a route for a share of the requests tells where the others go; filters and mirrors are named") {
  const std::string hosts =
      "[{name: v, domains: ['*'], routes: [{name: some, match: {prefix: /, runtime_fraction: {default_value: {numerator: 30}}}, route: {cluster: a, request_mirror_policies: [{cluster: b}]}}, {name: rest, match: {prefix: /}, route: "
      "{cluster: b}}]}]";
  const Files files({{"a.yaml", raw_yaml("mine", listener_yaml("edge", "0.0.0.0", 80, hosts) + static_cluster_yaml("a", 1) + static_cluster_yaml("b", 2))}});
  why::World world(files.scope("raw:default/mine"));
  const Answer a = ask(world, "GET", "http://x/");
  INFO(steps(a));
  CHECK(a.route == "some");
  CHECK_THAT(a.notes, Catch::Matchers::VectorContains(std::string("the route is for 30 in 100 requests; the others go to route rest: prefix \"/\"")));
  CHECK_THAT(steps(a), Contains("cluster: a, static, round robin\nendpoint: 127.0.0.1:1, weight 1, healthy (not said otherwise)\nmirror: b\n"));
}

TEST_CASE("requests that are none are refused with the word that is wrong") {
  const auto wrong = [](const std::string& method, const std::string& url, const std::vector<std::string>& headers = {}) { return std::string(why::make_request(method, url, headers).status().message()); };
  CHECK_THAT(wrong("G ET", "/"), Contains("method \"G ET\" is none"));
  CHECK_THAT(wrong("GET", "ftp://a/"), Contains("is neither http nor https"));
  CHECK_THAT(wrong("GET", "http://a:99999/"), Contains("has \"99999\" as its port"));
  CHECK_THAT(wrong("GET", "example.com"), Contains("is neither http://HOST/PATH nor https://HOST/PATH nor a path"));
  CHECK_THAT(wrong("GET", "http:///x"), Contains("names no host"));
  CHECK_THAT(wrong("GET", "/", {"x"}), Contains("header \"x\" is not \"name: value\""));
  CHECK_THAT(wrong("GET", "/", {":path: /x"}), Contains("is made of the method and the URL"));
  const auto good = why::make_request("POST", "https://[::1]:8443/a?b#c", {"Host: other", "X-A:  1 "}).value();
  CHECK(good.host == "::1");
  CHECK(good.port == 8443);
  CHECK(good.path == "/a?b");
  CHECK(good.authority == "other");
  CHECK(good.headers == std::vector<std::pair<std::string, std::string>>{{"x-a", "1"}});
  CHECK(why::make_request("GET", "https://a?b", {}).value().path == "/?b");
  CHECK(why::make_request("GET", "https://a", {}).value().port == 443);
}

TEST_CASE("whose configuration: a Gateway by name, a proxy by node id or cluster, else the only one there is") {
  Files files({{"a.yaml", objects()}});
  CHECK((*why::choose(files.catalog(), {}))->scope == "gateway:default/edge");
  CHECK((*why::choose(files.catalog(), {"default/edge", ""}))->scope == "gateway:default/edge");
  CHECK((*why::choose(files.catalog(), {"", "edge"}))->scope == "gateway:default/edge");
  CHECK_THAT(std::string(why::choose(files.catalog(), {"default/egde", ""}).status().message()), Contains("no Gateway \"default/egde\"") && Contains("gateway:default/edge"));
  CHECK_THAT(std::string(why::choose(files.catalog(), {"", "other"}).status().message()), Contains("a proxy whose node id or cluster is \"other\" has no configuration here"));
}

TEST_CASE("what a client of the mesh gets is told by the Service that it calls, by name or cluster IP, and what is none goes on") {
  const std::string route = R"(---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: mesh}
spec:
  parentRefs: [{group: "", kind: Service, name: v1}]
  rules:
  - matches: [{path: {value: /api.Cart}}]
    backendRefs: [{name: v2, port: 80}]
)";
  std::string v1 = service_yaml("v1");
  v1.insert(v1.find("  ports:"), "  clusterIP: 10.96.0.1\n");
  Files files({{"a.yaml", v1 + slice_yaml("v1") + service_yaml("v2") + slice_yaml("v2", "127.0.0.2", 9002) + route}});
  CHECK(files.catalog().scopes() == std::vector<std::string>{"mesh-grpc:*", "mesh:*"});
  why::World proxy(files.scope("mesh:*")), grpc(files.scope("mesh-grpc:*"));
  for (const char* url : {"http://v1.default/api.Cart/x", "http://v1.default.svc.cluster.local:80/api.Cart/x", "http://10.96.0.1/api.Cart/x"}) {
    const Answer a = ask(proxy, "GET", url);
    INFO(steps(a));
    CHECK(a.kind == Answer::Kind::Forwarded);
    CHECK(a.listener == "default/v1/80");
    CHECK(a.shares.at(0).cluster == "default/v2/80");
  }
  CHECK(ask(proxy, "GET", "http://v1.default/other").status == 404);
  for (const char* url : {"http://v2.default/", "http://v1.default:81/", "http://192.0.2.1:5432/"}) {
    const Answer a = ask(proxy, "GET", url);
    INFO(steps(a));
    CHECK(a.kind == Answer::Kind::Tcp);
    CHECK(a.listener == "fairlead/outbound");
  }
  const Answer call = ask(grpc, "POST", "http://v1.default.svc.cluster.local:80/api.Cart/x");
  INFO(steps(call));
  CHECK(call.kind == Answer::Kind::Forwarded);
  CHECK(call.listener == "v1.default.svc.cluster.local:80");
  CHECK(call.shares.at(0).cluster == "default/v2/80");
  CHECK(ask(grpc, "POST", "http://v2.default:80/").kind == Answer::Kind::NoConnection);
}

TEST_CASE("a snapshot as the debug address prints it gives the same answers when it is read again") {
  const Files files({{"a.yaml", objects()}});
  const snapshot::SnapshotPtr original = files.scope("gateway:default/edge");
  const auto printed = doc::parse_json(doc::to_json(inspect::config(*original, std::nullopt), true), "answer").value();
  const auto again = why::snapshot_from_doc("edge", printed);
  INFO(again.status().ToString());
  REQUIRE(again.ok());
  why::World one(original), two(*again);
  for (const char* path : {"/", "/api/x", "/old", "/old/"}) {
    const Answer a = ask(one, "GET", absl::StrCat("http://a:8080", path), {"x-env: test"}), b = ask(two, "GET", absl::StrCat("http://a:8080", path), {"x-env: test"});
    CHECK(a.same(b));
    CHECK(steps(a) == steps(b));
    for (size_t i = 0; i < a.steps.size(); ++i) {
      CHECK(a.steps[i].place == b.steps[i].place);
      CHECK(a.steps[i].object == b.steps[i].object);
    }
  }
}

TEST_CASE("a running server's answers keep the models of the scopes last asked about") {
  const Files files({{"a.yaml", objects()}});
  why::Service service;
  for (int i = 0; i < 3; ++i) {
    const auto answer = service.ask(files.scope("gateway:default/edge"), "", "http://a:8080/old", {});
    REQUIRE(answer.ok());
    CHECK(answer->find("kind")->as_string() == "redirect");
    CHECK(answer->find("scope")->as_string() == "gateway:default/edge");
  }
  CHECK(absl::IsInvalidArgument(service.ask(files.scope("gateway:default/edge"), "GET", "nonsense", {}).status()));
}

TEST_CASE("ten thousand routes are explained in an instant") {
  std::string routes;
  for (int i = 0; i < 10'000; ++i) absl::StrAppend(&routes, i == 0 ? "" : ", ", "{name: r", i, ", match: {path_separated_prefix: /service-", i, "/v1}, route: {cluster: a}}");
  const Files files({{"a.yaml", raw_yaml("mine", listener_yaml("edge", "0.0.0.0", 80, "[{name: v, domains: ['*'], routes: [" + routes + "]}]") + static_cluster_yaml("a", 1))}});
  why::World world(files.scope("raw:default/mine"));
  CHECK(ask(world, "GET", "http://x/service-9999/v1/a").route == "r9999");
  const auto begin = std::chrono::steady_clock::now();
  const Answer a = ask(world, "GET", "http://x/service-9999/v2/a");
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(1));  // some 15 ms in a release build
  CHECK(a.kind == Answer::Kind::NotFound);
  REQUIRE(a.near.size() == 5);
  CHECK(a.near[0].route == "r9999");
}

}  // namespace answer_test
