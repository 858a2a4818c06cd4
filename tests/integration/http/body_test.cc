// Bodies in both directions: large, chunked, slow, cut short; upgrades; 100-continue; bytes that are no HTTP at all.
#include <catch2/catch.hpp>

#include <sys/socket.h>

#include <random>
#include <thread>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace body_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

std::string pattern(size_t size) {
  std::string out(size, 0);
  for (size_t i = 0; i < size; ++i) out[i] = static_cast<char>('a' + (i * 7 + i / 1000) % 26);
  return out;
}

}  // namespace

TEST_CASE("large bodies pass unchanged") {
  const std::string big = pattern(5'000'000);
  FakeUpstream up([&](const UpstreamRequest& r) { return UpstreamReply{.body = r.body.empty() ? big : r.body == big ? "same" : "different", .chunked = r.has("x-chunked")}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/").body == big);
  CHECK(proxy.get("/", "x-chunked: 1\r\n").body == big);
  CHECK(proxy.get("/", "", "POST", big).body == "same");
}

TEST_CASE("a chunked upload arrives whole") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.body}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
  client.send("6\r\n world\r\n0\r\n\r\n");
  CHECK(client.read_response().body == "hello world");
}

TEST_CASE("trailers pass when both sides enable them") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = "b", .trailers = {{"x-sum", "1"}}}; });
  const std::string options = R"(typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http_protocol_options: {enable_trailers: true}})";
  TestProxy proxy(listener_yaml(kToUp, "http_protocol_options: {enable_trailers: true}\n"), {cluster_yaml("up", {up.port()}, options)});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-in: 2\r\n\r\n");
  const RawResponse r = client.read_response();
  CHECK(r.body == "b");
  CHECK(r.header("trailer:x-sum") == "1");
  REQUIRE(up.last().trailers.size() == 1);
  CHECK(up.last().trailers[0].second == "2");
}

TEST_CASE("a slow client holds the upstream back") {
  RawServer server;
  std::string listener = listener_yaml(kToUp);
  listener.insert(listener.find("filter_chains:"), "per_connection_buffer_limit_bytes: 65536\n");
  TestProxy proxy(listener, {cluster_yaml("up", {server.port()}, "per_connection_buffer_limit_bytes: 65536")});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  const std::string big = pattern(60'000'000);
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(big.size()) + "\r\n\r\n");
  const size_t taken = upstream.send_some(big, 200ms);  // until the kernel's buffers and the proxy's are full
  CHECK(taken < big.size());
  CHECK(proxy.stat("cluster.up.upstream_flow_control_paused_reading_total") >= 1);
  std::thread rest([&] { upstream.send(std::string_view(big).substr(taken)); });
  const RawResponse r = client.read_response();
  rest.join();
  CHECK((r.body == big));
}

TEST_CASE("a slow upstream holds the client back") {
  RawServer server;
  std::string listener = listener_yaml(kToUp);
  listener.insert(listener.find("filter_chains:"), "per_connection_buffer_limit_bytes: 65536\n");
  TestProxy proxy(listener, {cluster_yaml("up", {server.port()}, "per_connection_buffer_limit_bytes: 65536")});
  RawSocket client = proxy.connect();
  const std::string big = pattern(60'000'000);
  client.send("POST / HTTP/1.1\r\nHost: test\r\ncontent-length: " + std::to_string(big.size()) + "\r\n\r\n");
  RawSocket upstream = server.accept();
  const size_t taken = client.send_some(big, 200ms);
  CHECK(taken < big.size());
  CHECK(proxy.stat("cluster.up.upstream_flow_control_backed_up_total") >= 1);
  std::thread rest([&] { client.send(std::string_view(big).substr(taken)); });
  upstream.read_until("\r\n\r\n");
  const std::string got = upstream.read_exactly(big.size());
  rest.join();
  CHECK((got == big));
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  CHECK(client.read_response().status == 200);
}

TEST_CASE("an answer before the end of the request closes the connection after it") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\ncontent-length: 100000\r\n\r\nsome");
  RawSocket upstream = server.accept();
  upstream.read_until("some");
  upstream.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 3\r\n\r\nbig");
  const RawResponse r = client.read_response();
  CHECK(r.status == 413);
  CHECK(r.body == "big");
  CHECK(r.header("connection") == "close");
  CHECK(client.closed_by_peer());
  CHECK(proxy.stat("http.test.downstream_rq_response_before_rq_complete") == 1);
}

TEST_CASE("a client that goes away ends its upstream request") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  SECTION("with a reset") { client.reset(); }
  SECTION("with a FIN, which HTTP/1 takes for the same") { client.shut_write(); }
  CHECK(upstream.closed_by_peer());
  CHECK(proxy.access_log(1) == std::vector<std::string>{"0 DC downstream_remote_disconnect"});
  CHECK(proxy.stat("cluster.up.upstream_rq_active") == 0);
}

TEST_CASE("Expect: 100-continue is answered here") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.body}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
  CHECK(client.read_until("\r\n\r\n").substr(0, 12) == "HTTP/1.1 100");
  client.send("body");
  CHECK(client.read_response().body == "body");
  CHECK_FALSE(up.last().has("expect"));
}

TEST_CASE("HEAD has headers and no body") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = "12345"}; });
  TestProxy proxy(listener_yaml(std::string("- match: {path: /none}\n  direct_response: {status: 404, body: {inline_string: nothing}}\n") + kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\nHEAD /none HTTP/1.1\r\nHost: test\r\n\r\nGET / HTTP/1.1\r\nHost: test\r\n\r\n");
  CHECK(client.read_response(true).header("content-length") == "5");
  const RawResponse local = client.read_response(true);
  CHECK(local.status == 404);
  CHECK(local.header("content-length") == "7");
  CHECK(client.read_response().body == "12345");
}

TEST_CASE("an answer stays whole for a slow reader when its upstream closes behind it") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {server.port()}, "per_connection_buffer_limit_bytes: 16384")});
  RawSocket client = proxy.connect();
  const int small = 65536;
  ::setsockopt(client.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
  RawSocket upstream = server.accept();
  upstream.read_until("\r\n\r\n");
  const std::string body(6'000'000, 'x');
  const bool counted = GENERATE(true, false);
  upstream.send("HTTP/1.1 200 OK\r\n" + (counted ? "content-length: " + std::to_string(body.size()) + "\r\n" : std::string()) + "connection: close\r\n\r\n" + body);
  upstream.close();
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (proxy.stat("cluster.up.upstream_flow_control_paused_reading_total") == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  const RawResponse r = client.read_response();
  CHECK(r.body.size() == body.size());
  CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
}

TEST_CASE("WebSocket upgrades become tunnels") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp, "upgrade_configs: [{upgrade_type: websocket}]\n"), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("GET /chat HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  RawSocket upstream = server.accept();
  const std::string head = upstream.read_until("\r\n\r\n");
  CHECK(head.find("upgrade: websocket\r\n") != std::string::npos);
  CHECK(head.find("connection: Upgrade\r\n") != std::string::npos);
  CHECK(upstream.quiet_for(30ms));  // bytes of the tunnel wait for the upstream's consent
  upstream.send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\nwelcome");
  const std::string answer = client.read_until("\r\n\r\n");
  CHECK(answer.substr(0, 12) == "HTTP/1.1 101");
  CHECK(answer.find("upgrade: websocket") != std::string::npos);
  CHECK(client.read_exactly(7) == "welcome");
  CHECK(upstream.read_exactly(5) == "early");
  client.send("ping");
  CHECK(upstream.read_exactly(4) == "ping");
  upstream.send("pong");
  CHECK(client.read_exactly(4) == "pong");
  upstream.close();
  CHECK(client.closed_by_peer());
  CHECK(proxy.wait_for_stat("http.test.downstream_cx_upgrades_active", 0));
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_total") == 1);
  CHECK(proxy.access_log(1) == std::vector<std::string>{"101 UC upstream_reset_after_response_started{connection_termination}"});
}

TEST_CASE("upgrades that are not enabled are refused, and an upstream may refuse them") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.status = 400, .body = "no"}; });
  const std::string upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  TestProxy without(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  const RawResponse forbidden = without.get("/", upgrade);
  CHECK(forbidden.status == 403);
  CHECK(forbidden.header("connection") == "close");
  CHECK(without.access_log(1) == std::vector<std::string>{"403 - upgrade_failed"});
  TestProxy with(listener_yaml(kToUp, "upgrade_configs: [{upgrade_type: websocket}]\n"), {cluster_yaml("up", {up.port()})});
  const RawResponse refused = with.get("/", upgrade);
  CHECK(refused.status == 400);
  CHECK(refused.body == "no");
}

TEST_CASE("an upgrade without a route for it is 404, whether enabled or not") {
  const std::string more = GENERATE("", "upgrade_configs: [{upgrade_type: websocket}]\n");
  FakeUpstream up;
  TestProxy proxy(listener_yaml("- match: {prefix: /only}\n  route: {cluster: up}\n", more), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
  CHECK(r.status == 404);
  CHECK(r.header("connection") == "close");
  CHECK(proxy.access_log(1) == std::vector<std::string>{"404 NR route_not_found"});
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_total") == (more.empty() ? 0 : 1));
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_active") == 0);
  CHECK(proxy.stat("http.test.downstream_rq_ws_on_non_ws_route") == 0);
}

TEST_CASE("a refused head of an upgrade leaves no upgrade counted") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp, "upgrade_configs: [{upgrade_type: websocket}]\npath_with_escaped_slashes_action: REJECT_REQUEST\n"), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/a%2fb", "Connection: Upgrade\r\nUpgrade: websocket\r\n").status == 400);
  CHECK(proxy.wait_for_stat("http.test.downstream_rq_active", 0));
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_active") == 0);
}

TEST_CASE("CONNECT without a route for it is 404") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n");
  const RawResponse r = client.read_response();
  CHECK(r.status == 404);
  CHECK(r.header("connection") == "close");
  CHECK(client.closed_by_peer());
}

TEST_CASE("gRPC requests get gRPC answers from the proxy") {
  TestProxy proxy(listener_yaml("- match: {prefix: /none}\n  route: {cluster: none}\n"), {"name: none\ntype: STATIC\n"});
  const RawResponse r = proxy.get("/none", "content-type: application/grpc\r\n", "POST");
  CHECK(r.status == 200);
  CHECK(r.header("content-type") == "application/grpc");
  CHECK(r.header("grpc-status") == "14");
  CHECK(r.header("grpc-message") == "no healthy upstream");
  CHECK(r.body.empty());
}

TEST_CASE("local replies can be mapped and formatted") {
  TestProxy proxy(listener_yaml("- match: {prefix: /none}\n  route: {cluster: none}\n", R"(local_reply_config:
  mappers:
  - filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 503, runtime_key: k}}}}
    status_code: 500
    body: {inline_string: "sorry"}
    headers_to_add: [{header: {key: x-mapped, value: "1"}}]
  body_format: {text_format_source: {inline_string: "%RESPONSE_CODE%: %LOCAL_REPLY_BODY%"}}
)"), {"name: none\ntype: STATIC\n"});
  const RawResponse r = proxy.get("/none");
  CHECK(r.status == 500);
  CHECK(r.body == "500: sorry");
  CHECK(r.header("x-mapped") == "1");
}

TEST_CASE("a flood of garbage disturbs nobody else") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket good = proxy.connect();
  std::mt19937 random(7);
  for (int i = 0; i < 200; ++i) {
    RawSocket bad = proxy.connect();
    std::string bytes(1 + random() % 4000, 0);
    for (char& c : bytes) c = static_cast<char>(random());
    if (i % 3 == 0) bytes = "GET / HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + bytes;
    bad.send_some(bytes, 10ms);
    if (i % 2 == 0) bad.reset();
    if (i % 20 == 0) {
      good.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
      CHECK(good.read_response().status == 200);
    }
  }
  CHECK(proxy.get("/").status == 200);
  CHECK(proxy.stat("http.test.downstream_cx_protocol_error") > 0);
  CHECK(proxy.wait_for_stat("http.test.downstream_rq_active", 0));
}

TEST_CASE("a malformed request gets its answer and the end of the connection") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx");
  const RawResponse r = client.read_response();
  CHECK(r.status == 400);
  CHECK(r.body == "Bad Request");
  CHECK(r.header("connection") == "close");
  CHECK(client.closed_by_peer());
  CHECK(proxy.access_log(1) == std::vector<std::string>{"400 DPE http1.codec_error"});
}

}  // namespace body_test
