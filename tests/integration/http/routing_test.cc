// Requests through a whole proxy: which upstream they reach, as what, and what the proxy answers itself.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace routing_test {

using namespace fairlead::testing;

namespace {
const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";
}

TEST_CASE("a request reaches the upstream and its answer the client") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = "hello", .headers = {{"x-from", "up"}}}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/path?q=1", "X-Custom: a\r\n");
  CHECK(r.status == 200);
  CHECK(r.body == "hello");
  CHECK(r.header("x-from") == "up");
  CHECK(r.header("server") == "envoy");
  CHECK(r.has("date"));
  CHECK(r.has("x-envoy-upstream-service-time"));
  const UpstreamRequest seen = up.last();
  CHECK(seen.method == "GET");
  CHECK(seen.path == "/path?q=1");
  CHECK(seen.host == "test");
  CHECK(seen.header("x-custom") == "a");
  CHECK(seen.header("x-forwarded-proto") == "http");
  CHECK(seen.header("x-request-id").size() == 36);
  CHECK(seen.header("x-envoy-expected-rq-timeout-ms") == "15000");
  CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
  CHECK(proxy.stat("cluster.up.upstream_rq_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_200") == 1);
  CHECK(proxy.stat("cluster.up.external.upstream_rq_2xx") == 1);
  CHECK(proxy.stat("http.test.downstream_rq_2xx") == 1);
  CHECK(proxy.stat("http.test.downstream_rq_total") == 1);
}

TEST_CASE("the connection is kept and so is the upstream's") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  for (int i = 0; i < 5; ++i) {
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    CHECK(client.read_response().body == "ok");
  }
  CHECK(up.connections() == 1);
  CHECK(proxy.stat("http.test.downstream_cx_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_active") == 0);
}

TEST_CASE("pipelined requests are answered in order") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.path}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: test\r\n\r\n";
  client.send(all);
  for (int i = 0; i < 20; ++i) CHECK(client.read_response().body == "/" + std::to_string(i));
}

TEST_CASE("routes that need no upstream") {
  TestProxy proxy(listener_yaml(R"(
- match: {path: /direct}
  direct_response: {status: 418, body: {inline_string: "short and stout"}}
  response_headers_to_add: [{header: {key: x-added, value: "yes"}}]
- match: {path: /made}
  direct_response: {status: 201}
- match: {path: /redirect}
  redirect: {host_redirect: elsewhere, path_redirect: /there, response_code: FOUND}
- match: {path: /unknown-cluster}
  route: {cluster: nobody}
- match: {path: /empty}
  route: {cluster: empty}
)"), {"name: empty\ntype: STATIC\n"});
  RawResponse r = proxy.get("/direct");
  CHECK(r.status == 418);
  CHECK(r.body == "short and stout");
  CHECK(r.header("x-added") == "yes");
  CHECK(r.header("content-type") == "text/plain");
  CHECK_FALSE(r.has("location"));
  CHECK(proxy.get("/made").header("location") == "http://test/made");
  r = proxy.get("/redirect");
  CHECK(r.status == 302);
  CHECK(r.header("location") == "http://elsewhere/there");
  r = proxy.get("/unknown-cluster");
  CHECK(r.status == 503);
  CHECK(r.body.empty());
  r = proxy.get("/empty");
  CHECK(r.status == 503);
  CHECK(r.body == "no healthy upstream");
  r = proxy.get("/nowhere");
  CHECK(r.status == 404);
  CHECK(r.body.empty());
  CHECK(proxy.access_log(6) == std::vector<std::string>{"418 - direct_response", "201 - direct_response", "302 - direct_response", "503 NC cluster_not_found", "503 UH no_healthy_upstream", "404 NR route_not_found"});
  CHECK(proxy.stat("http.test.no_route") == 1);
  CHECK(proxy.stat("http.test.no_cluster") == 1);
  CHECK(proxy.stat("cluster.empty.upstream_cx_none_healthy") == 1);
}

TEST_CASE("header operations of a route count for every answer in its place") {
  RawServer silent;
  TestProxy proxy(listener_yaml(R"(
- match: {prefix: /unknown-cluster}
  route: {cluster: nobody}
- match: {prefix: /redirect}
  redirect: {host_redirect: elsewhere}
- match: {prefix: /idle}
  route: {cluster: silent, timeout: 0s, idle_timeout: 0.05s}
- match: {prefix: /}
  route: {cluster: silent}
)", "", "response_headers_to_add: [{header: {key: x-op, value: 'is %RESPONSE_CODE%'}}]\n"), {cluster_yaml("silent", {silent.port()})});
  CHECK(proxy.get("/unknown-cluster").header("x-op") == "is 503");
  CHECK(proxy.get("/redirect").header("x-op") == "is 301");
  CHECK(proxy.get("/idle").header("x-op") == "is 504");
  CHECK(proxy.get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n").header("x-op") == "is 403");
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n0x4\r\n");
  CHECK(client.read_response().header("x-op") == "is 400");
}

TEST_CASE("%RESPONSE_CODE% in a response header is the upstream's") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.status = 201}; });
  TestProxy proxy(listener_yaml(kToUp, "", "response_headers_to_add: [{header: {key: x-op, value: '%RESPONSE_CODE%'}}]\n"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/").header("x-op") == "201");
}

TEST_CASE("an answer before the end of the request says that the connection closes") {
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  direct_response: {status: 200}\n"), {});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\n");
  const RawResponse r = client.read_response();
  CHECK(r.head.find("\r\nconnection: close\r\ncontent-length: 0\r\n") != std::string::npos);
  CHECK(client.closed_by_peer());
}

TEST_CASE("OPTIONS * is not found and its connection stays") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().status == 404);
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().status == 200);
  CHECK(proxy.access_log(2)[0] == "404 - absolute_path_rejected");
}

TEST_CASE("an absolute URL where none is allowed is not found, logged, and its connection stays") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp, "http_protocol_options: {allow_absolute_url: false}\n"), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("GET http://other/x HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().status == 404);
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().status == 200);
  CHECK(proxy.access_log(2)[0] == "404 - absolute_path_rejected");
  CHECK(proxy.stat("http.test.downstream_rq_non_relative_path") == 1);
}

TEST_CASE("a second x-forwarded-for line cannot hide from who trusts the last hop") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp, "use_remote_address: true\n", "request_headers_to_add: [{header: {key: via, value: b}}]\n"), {cluster_yaml("up", {up.port()})});
  proxy.get("/", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nVia: a\r\n");
  CHECK(up.last().header("x-forwarded-for").starts_with("1.1.1.1,2.2.2.2,"));  // then the hop before us
  CHECK(up.last().header("via") == "a,b");
}

TEST_CASE("what a cluster's membership and breakers tell at rest") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, "circuit_breakers: {thresholds: [{max_requests: 0, max_retries: 0}]}\n")});
  CHECK(proxy.stat("cluster.up.membership_change") == 1);
  CHECK(proxy.stat("cluster.up.max_host_weight") == 0);
  CHECK(proxy.stat("cluster.up.circuit_breakers.default.rq_open") == 0);
  CHECK(proxy.stat("cluster.up.circuit_breakers.default.rq_retry_open") == 0);
}

TEST_CASE("a rewritten host is told twice, the original first") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, host_rewrite_literal: inner, append_x_forwarded_host: true}\n"), {cluster_yaml("up", {up.port()})});
  proxy.get("/", "x-envoy-original-host: fake\r\n");
  std::string order;
  for (const auto& [name, value] : up.last().headers) {
    if (name == "x-envoy-original-host" || name == "x-forwarded-host") order += name + "=" + value + ",";
  }
  CHECK(order == "x-envoy-original-host=test,x-forwarded-host=test,");
}

TEST_CASE("paths and hosts are rewritten and headers changed in order") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(R"(
- match: {prefix: /api/}
  route: {cluster: up, prefix_rewrite: /, host_rewrite_literal: inner.example}
  request_headers_to_add: [{header: {key: x-level, value: route}}]
  request_headers_to_remove: [x-secret]
  response_headers_to_remove: [x-gone]
)", "", "request_headers_to_add: [{header: {key: x-level, value: host}}]\ninclude_request_attempt_count: true\n"), {cluster_yaml("up", {up.port()})});
  proxy.get("/api/v1?x", "x-secret: 1\r\n");
  const UpstreamRequest seen = up.last();
  CHECK(seen.path == "/v1?x");
  CHECK(seen.host == "inner.example");
  CHECK(seen.header("x-envoy-original-path") == "/api/v1?x");
  CHECK(seen.header("x-envoy-attempt-count") == "1");
  CHECK_FALSE(seen.has("x-secret"));
  std::string levels;
  for (const auto& [name, value] : seen.headers) {
    if (name == "x-level") levels += value + ",";
  }
  CHECK(levels == "route,host,");
}

TEST_CASE("weights split traffic") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b"));
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {weighted_clusters: {clusters: [{name: a, weight: 75}, {name: b, weight: 25}]}}\n"),
                  {cluster_yaml("a", {a.port()}), cluster_yaml("b", {b.port()})});
  RawSocket client = proxy.connect();
  int of_a = 0;
  for (int i = 0; i < 400; ++i) {
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    of_a += client.read_response().body == "a";
  }
  CHECK(of_a == Approx(300).margin(45));
}

TEST_CASE("hosts take turns") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b"));
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {a.port(), b.port()})});
  for (int i = 0; i < 10; ++i) proxy.get("/");
  CHECK(a.count() == 5);
  CHECK(b.count() == 5);
}

TEST_CASE("a published route table reaches live connections at their next request") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b"));
  const std::vector<std::string> clusters = {cluster_yaml("a", {a.port()}), cluster_yaml("b", {b.port()})};
  TestProxy proxy(listener_yaml("", "rds: {route_config_name: table, config_source: {ads: {}}}\n"), clusters);
  const auto table = [](const std::string& cluster) { return "name: table\nvirtual_hosts: [{name: all, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: " + cluster + "}}]}]\n"; };
  RawSocket client = proxy.connect();
  const auto ask = [&] {
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    return client.read_response();
  };
  CHECK(ask().status == 404);
  proxy.publish(clusters, {table("a")});
  CHECK(ask().body == "a");
  proxy.publish(clusters, {table("b")});
  CHECK(ask().body == "b");
}

TEST_CASE("a removed cluster finishes its requests and then its connections") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  proxy.publish({});
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlast");
  CHECK(client.read_response().body == "last");
  CHECK(upstream.closed_by_peer());
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response().status == 503);
}

TEST_CASE("an unchanged cluster keeps its connections over a publication") {
  FakeUpstream up;
  const std::string cluster = cluster_yaml("up", {up.port()});
  TestProxy proxy(listener_yaml(kToUp), {cluster});
  proxy.get("/");
  proxy.publish({cluster_yaml("up", {up.port()}), "name: other\ntype: STATIC\n"});
  proxy.get("/");
  CHECK(proxy.stat("cluster.up.upstream_rq_total") == 2);
}

TEST_CASE("mirrored requests reach the shadow and its answer nobody") {
  FakeUpstream up(FakeUpstream::named("up")), shadow([](const UpstreamRequest&) { return UpstreamReply{.status = 500, .body = "shadow"}; });
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up, request_mirror_policies: [{cluster: shadow}]}\n"), {cluster_yaml("up", {up.port()}), cluster_yaml("shadow", {shadow.port()})});
  const RawResponse r = proxy.get("/m", "", "POST", "body to copy");
  CHECK(r.status == 200);
  CHECK(r.body == "up");
  REQUIRE(shadow.wait_for(1));
  CHECK(shadow.last().host == "test-shadow");
  CHECK(shadow.last().body == "body to copy");
  CHECK(shadow.last().path == "/m");
}

TEST_CASE("client addresses, forwarded protocol and hops") {
  FakeUpstream up;
  SECTION("not trusted with the remote address: x-forwarded-for is left alone") {
    TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
    proxy.get("/", "x-forwarded-for: 1.2.3.4\r\nx-envoy-retry-on: 5xx\r\nx-envoy-internal: true\r\n");
    CHECK(up.last().header("x-forwarded-for") == "1.2.3.4");
    CHECK_FALSE(up.last().has("x-envoy-retry-on"));
    CHECK_FALSE(up.last().has("x-envoy-internal"));
  }
  SECTION("with use_remote_address the peer is appended and the request id replaced") {
    TestProxy proxy(listener_yaml(kToUp, "use_remote_address: true\n"), {cluster_yaml("up", {up.port()})});
    proxy.get("/", "x-forwarded-for: 9.9.9.9\r\nx-request-id: mine\r\nx-forwarded-proto: https\r\n");
    const std::string chain = up.last().header("x-forwarded-for");
    CHECK(chain.substr(0, 8) == "9.9.9.9,");
    CHECK(chain.size() > 8);
    CHECK(up.last().header("x-request-id") != "mine");
    CHECK(up.last().header("x-forwarded-proto") == "http");
    CHECK(up.last().has("x-envoy-external-address"));
  }
  SECTION("internal addresses may use control headers") {
    TestProxy proxy(listener_yaml(kToUp, "internal_address_config: {cidr_ranges: [{address_prefix: 10.0.0.0, prefix_len: 8}]}\n"), {cluster_yaml("up", {up.port()})});
    proxy.get("/", "x-forwarded-for: 10.0.0.1\r\nx-envoy-upstream-rq-timeout-ms: 1234\r\n");
    CHECK(up.last().header("x-envoy-internal") == "true");
    CHECK(up.last().header("x-envoy-expected-rq-timeout-ms") == "1234");
  }
  SECTION("via, server and hop-by-hop headers") {
    TestProxy proxy(listener_yaml(kToUp, "via: fairlead\nserver_name: mine\n"), {cluster_yaml("up", {up.port()})});
    const RawResponse r = proxy.get("/", "Connection: keep-alive, x-hop\r\nx-hop: 1\r\nKeep-Alive: 5\r\nTE: trailers, deflate\r\nProxy-Connection: x\r\n");
    CHECK(up.last().header("via") == "fairlead");
    CHECK(r.header("via") == "fairlead");
    CHECK(r.header("server") == "mine");
    CHECK(up.last().header("te") == "trailers");
    for (const char* name : {"x-hop", "keep-alive", "proxy-connection", "connection"}) CHECK_FALSE(up.last().has(name));
  }
}

TEST_CASE("paths are normalised before routes see them") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml("- match: {path: /secret}\n  direct_response: {status: 403}\n- match: {prefix: /}\n  route: {cluster: up}\n", "normalize_path: true\nmerge_slashes: true\n"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/a/../secret").status == 403);
  CHECK(proxy.get("//secret").status == 403);
  CHECK(proxy.get("/b/./c").status == 200);
  CHECK(up.last().path == "/b/c");
  CHECK(proxy.get("/x#y").status == 400);
}

TEST_CASE("formatters read the metadata of listener, virtual host, route and cluster, the time and the stream's id") {
  FakeUpstream up;
  const auto metadata = [](const std::string& value) { return "metadata: {filter_metadata: {a: {b: " + value + "}}}\n"; };
  const auto header = [](const std::string& name, const std::string& value) { return "{header: {key: " + name + ", value: '" + value + "'}}"; };
  const std::string route = "- match: {prefix: /}\n  route: {cluster: up}\n  " + metadata("of-route") + "  response_headers_to_add: [" + header("x-route", "%METADATA(ROUTE:a:b)%") + ", " +
                            header("x-host", "%METADATA(VIRTUAL_HOST:a:b)%") + ", " + header("x-cluster", "%METADATA(CLUSTER:a:b)%") + ", " + header("x-listener", "%METADATA(LISTENER:a:b)%") + ", " +
                            header("x-start", "%START_TIME(%Y)%") + ", " + header("x-emit", "%EMIT_TIME(%Y)%") + ", " + header("x-stream", "%STREAM_ID%") + "]\n";
  TestProxy proxy(listener_yaml(route, "", metadata("of-host")) + metadata("of-listener"), {cluster_yaml("up", {up.port()}, metadata("of-cluster"))});
  const RawResponse r = proxy.get("/");
  CHECK(r.header("x-route") == "of-route");
  CHECK(r.header("x-host") == "of-host");
  CHECK(r.header("x-cluster") == "of-cluster");
  CHECK(r.header("x-listener") == "of-listener");
  CHECK(r.header("x-start").starts_with("20"));
  CHECK(r.header("x-emit") == r.header("x-start"));
  CHECK(r.header("x-stream") == up.last().header("x-request-id"));
  CHECK(r.header("x-stream").size() == 36);
}

}  // namespace routing_test
