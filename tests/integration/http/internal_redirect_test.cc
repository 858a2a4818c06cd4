// Redirects that the proxy follows itself, seen from the client and from the upstream.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/http2_client.h"
#include "tests/integration/support/test_proxy.h"

namespace internal_redirect_test {

using namespace fairlead::testing;

namespace {

std::string route(const std::string& name, const std::string& more = "", const std::string& cluster = "up") {
  return "- name: " + name + "\n  match: {prefix: /" + name + "}\n  route: {cluster: " + cluster + more + "}\n";
}

std::string following(const std::string& policy = "") { return ", internal_redirect_policy: {" + policy + "}"; }

// Redirects /old to `location` and answers everything else with "here <method> <body>".
FakeUpstream::Handler redirecting(const std::string& location, int status = 302) {
  return [location, status](const UpstreamRequest& r) {
    if (r.path.starts_with("/old")) return UpstreamReply{.status = status, .body = "", .headers = {{"location", location}, {"x-seen", "1"}, {"x-seen", "2"}}};
    return UpstreamReply{.body = "here " + r.method + " " + r.body};
  };
}

}  // namespace

TEST_CASE("a redirect is followed inside the proxy") {
  FakeUpstream up(redirecting("http://other.test/new?a=b#c"));
  TestProxy proxy(listener_yaml(route("old", following("response_headers_to_copy: [x-seen, x-gone]")) + route("new")), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/old?q", "x-gone: mine\r\nx-envoy-original-url: mine\r\n");
  CHECK(r.status == 200);
  CHECK(r.body == "here GET ");
  REQUIRE(up.count() == 2);
  const UpstreamRequest first = up.requests()[0], second = up.requests()[1];
  CHECK_FALSE(first.has("x-envoy-original-url"));
  CHECK(first.has("x-gone"));
  CHECK(second.path == "/new?a=b");
  CHECK(second.host == "other.test");
  CHECK(second.header("x-envoy-original-url") == "http://test/old?q");
  CHECK(second.header("x-seen") == "1");
  CHECK_FALSE(second.has("x-gone"));
  CHECK(second.header("x-request-id") == first.header("x-request-id"));
  CHECK(up.connections() == 1);
  CHECK(proxy.access_log(2) == std::vector<std::string>{"302 - internal_redirect", "200 - via_upstream"});
  CHECK(proxy.stat("cluster.up.upstream_internal_redirect_succeeded_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_302") == 0);
  CHECK(proxy.stat("http.test.downstream_rq_total") == 2);
  CHECK(proxy.stat("http.test.downstream_rq_completed") == 1);
  CHECK(proxy.wait_for_stat("http.test.downstream_rq_active", 0));
}

TEST_CASE("the body goes along, but for a 303 that makes a GET of a POST") {
  const int status = GENERATE(302, 303, 307);
  CAPTURE(status);
  FakeUpstream up(redirecting("http://test/new", status));
  TestProxy proxy(listener_yaml(route("old", following("redirect_response_codes: [302, 303, 307]")) + route("new")), {cluster_yaml("up", {up.port()})});
  const std::string body(100'000, 'b');
  const RawResponse r = proxy.get("/old", "", "POST", body);
  CHECK(r.status == 200);
  CHECK(r.body == (status == 303 ? "here GET " : "here POST " + body));
  CHECK(up.last().has("content-length") == (status != 303));
}

TEST_CASE("the next route says where it goes and what is done on the way") {
  FakeUpstream up(redirecting("http://test/new")), there(FakeUpstream::named("there"));
  std::string listener = listener_yaml(route("old", following()) + route("new", ", prefix_rewrite: /renewed", "there"));
  listener.insert(listener.find("      - name: envoy.filters.http.router"), R"(      - name: change
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
          mutations:
            request_mutations: [{append: {header: {key: x-pass, value: "%ROUTE_NAME%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]
            response_mutations: [{append: {header: {key: x-pass, value: "%ROUTE_NAME%"}}}]
)");
  TestProxy proxy(listener, {cluster_yaml("up", {up.port()}), cluster_yaml("there", {there.port()})});
  const RawResponse r = proxy.get("/old");
  CHECK(r.body == "there");
  CHECK(r.headers.count("x-pass") == 1);
  CHECK(r.header("x-pass") == "new");
  CHECK(up.last().header("x-pass") == "old");
  CHECK(there.last().header("x-pass") == "new");
  CHECK(there.last().path == "/renewed");
}

TEST_CASE("a redirect may lead to an answer of the proxy's own") {
  FakeUpstream up(redirecting("http://test/new"));
  TestProxy proxy(listener_yaml(route("old", following()) + "- match: {prefix: /new}\n  direct_response: {status: 200, body: {inline_string: direct}}\n"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/old").body == "direct");
  CHECK(proxy.access_log(2)[1] == "200 - direct_response");
}

TEST_CASE("what a policy does not follow goes to the client, and is counted by its reason") {
  struct Case {
    std::string location, policy, reason;
    int max_followed = 0;
  };
  const std::string extension = "{name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.internal_redirect.";
  const Case c = GENERATE_COPY(values<Case>({
      {"/new", "", "bad_location"}, {"", "", "bad_location"}, {"http://a b/new", "", "bad_location"}, {"http://test:99999/new", "", "bad_location"},
      {"https://test/new", "", "unsafe_scheme"}, {"ftp://test/new", "", "unsafe_scheme"}, {"http://test/new", "max_internal_redirects: 0", "too_many_redirects"},
      {"http://test/nowhere", "", "no_route"},
      {"https://test/new", "allow_cross_scheme_redirect: true, predicates: [" + extension + "safe_cross_scheme.v3.SafeCrossSchemeConfig}}]", "predicate"},
      {"http://test/new", "predicates: [" + extension + "allow_listed_routes.v3.AllowListedRoutesConfig, allowed_route_names: [old]}}]", "predicate"},
      {"http://test/old", "max_internal_redirects: 9, predicates: [" + extension + "previous_routes.v3.PreviousRoutesConfig}}]", "predicate", 1},
      {"http://test/old", "max_internal_redirects: 4", "too_many_redirects", 4},
  }));
  CAPTURE(c.location, c.policy);
  FakeUpstream up(redirecting(c.location));
  TestProxy proxy(listener_yaml(route("old", following(c.policy)) + route("new")), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/old");
  CHECK(r.status == 302);
  CHECK(r.header("location") == c.location);
  CHECK(up.count() == static_cast<size_t>(c.max_followed) + 1);
  CHECK(proxy.stat("http.test.passthrough_internal_redirect_" + c.reason) == 1);
  CHECK(proxy.stat("cluster.up.upstream_internal_redirect_failed_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_302") == 1);
}

TEST_CASE("only the codes of the policy are followed") {
  FakeUpstream up(redirecting("http://test/new", 301));
  TestProxy proxy(listener_yaml(route("old", following()) + route("new")), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/old").status == 301);
  CHECK(proxy.stat("cluster.up.upstream_internal_redirect_failed_total") == 0);
}

TEST_CASE("a request that is still coming, or that is too large to be kept, is not sent elsewhere") {
  FakeUpstream up(redirecting("http://test/new"));
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up" + following() + "}\n  request_body_buffer_limit: 1000\n"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/old", "", "POST", std::string(5000, 'x')).status == 302);
  CHECK(up.count() == 1);
  CHECK(proxy.stat("cluster.up.retry_or_shadow_abandoned") == 1);
  RawServer server;
  TestProxy early(listener_yaml(route("old", following())), {cluster_yaml("up", {server.port()})});
  RawSocket client = early.connect();
  client.send("POST /old HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf");
  RawSocket upstream = server.accept();
  upstream.read_until("half");
  upstream.send("HTTP/1.1 302 Found\r\nlocation: http://test/new\r\ncontent-length: 0\r\n\r\n");
  CHECK(client.read_response().status == 302);
  CHECK(early.stat("cluster.up.upstream_internal_redirect_failed_total") == 1);
}

TEST_CASE("a redirect whose body is slow is not waited for") {
  RawServer server;
  TestProxy proxy(listener_yaml(route("old", following()) + route("new")), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET /old HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket first = server.accept();
  first.read_until("\r\n\r\n");
  first.send("HTTP/1.1 302 Found\r\nlocation: http://test/new\r\ncontent-length: 5\r\n\r\n");
  RawSocket second = server.accept();  // what is left of the first connection belongs to the answer
  CHECK(first.closed_by_peer());
  second.read_until("\r\n\r\n");
  second.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  CHECK(client.read_response().body == "ok");
}

TEST_CASE("a client that goes away behind a redirect takes the second pass with it") {
  RawServer server;
  TestProxy proxy(listener_yaml(route("old", following()) + route("new")), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET /old HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  upstream.send("HTTP/1.1 302 Found\r\nlocation: http://test/new\r\ncontent-length: 0\r\n\r\n");
  upstream.read_until("\r\n\r\n");
  client.reset();
  CHECK(upstream.closed_by_peer());
  CHECK(proxy.access_log(2) == std::vector<std::string>{"302 - internal_redirect", "0 DC downstream_remote_disconnect"});
  CHECK(proxy.wait_for_stat("http.test.downstream_rq_active", 0));
}

TEST_CASE("redirects over HTTP/2 leave other streams alone", "[http2]") {
  FakeUpstream up(redirecting("http://test/new"), true);
  TestProxy proxy(listener_yaml(route("old", following()) + route("new")), {cluster_yaml("up", {up.port()}, R"(typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {}})")});
  Http2Client client(proxy.port());
  std::vector<size_t> requests;
  for (int i = 0; i < 20; ++i) requests.push_back(client.start("POST", i % 2 == 0 ? "/old" : "/new", {}, "b" + std::to_string(i)));
  for (int i = 0; i < 20; ++i) CHECK(client.await(requests[static_cast<size_t>(i)]).body == "here POST b" + std::to_string(i));
  CHECK(proxy.stat("cluster.up.upstream_internal_redirect_succeeded_total") == 10);
  CHECK(up.connections() == 1);
}

}  // namespace internal_redirect_test
