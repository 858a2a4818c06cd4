// HTTP/2 on either side of the proxy: translation in every combination, multiplexing, trailers, resets, GOAWAY, upgrades, protocol choice.
#include <catch2/catch.hpp>

#include <algorithm>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/http2_client.h"
#include "tests/integration/support/test_proxy.h"

namespace http2_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

std::string options(const std::string& protocol, const std::string& common = "") {
  return "typed_extension_protocol_options:\n  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"
         "    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n" +
         (common.empty() ? "" : "    common_http_protocol_options: " + common + "\n") + "    " + protocol;
}
const std::string kHttp2 = options("explicit_http_config: {http2_protocol_options: {}}");
const std::string kFollow = options("use_downstream_protocol_config: {http_protocol_options: {}, http2_protocol_options: {}}");

FakeUpstream::Handler echo() {
  return [](const UpstreamRequest& r) {
    return UpstreamReply{.status = 201, .body = r.method + " " + r.host + r.path + " " + r.body, .headers = {{"x-from", "upstream"}}, .chunked = true};
  };
}

}  // namespace

TEST_CASE("the log line of a client that has gone still says where it came to", "[http2]") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.never = true}; });
  std::string listener = listener_yaml(kToUp);
  const std::string last = "%RESPONSE_CODE_DETAILS%";
  listener.insert(listener.find(last) + last.size(), " %DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%");
  TestProxy proxy(listener, {cluster_yaml("up", {up.port()})});
  {
    Http2Client client(proxy.port());
    client.start("GET", "/");
    REQUIRE(up.wait_for(1));
  }
  CHECK(proxy.access_log(1) == std::vector<std::string>{"0 DC downstream_remote_disconnect 127.0.0.1"});
}

TEST_CASE("a request over HTTP/2 reaches an HTTP/1.1 upstream whole, and its answer comes back", "[http2]") {
  FakeUpstream up(echo());
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  Http2Client client(proxy.port());
  const Http2Response r = client.await(client.start("POST", "/a?b=c", {{"x-one", "1"}, {"cookie", "a=b"}, {"cookie", "c=d"}}, "hello"));
  CHECK(r.status == 201);
  CHECK(r.body == "POST test/a?b=c hello");
  CHECK(r.header("x-from") == "upstream");
  CHECK(r.header("connection").empty());
  CHECK(r.header("transfer-encoding").empty());
  CHECK(up.last().header("x-one") == "1");
  CHECK(up.last().header("cookie") == "a=b; c=d");
  CHECK(up.last().header("x-forwarded-proto") == "http");
  CHECK(proxy.stat("http.test.downstream_cx_http2_total") == 1);
  CHECK(proxy.stat("http.test.downstream_rq_http2_total") == 1);
  CHECK(proxy.stat("http.test.downstream_cx_http1_total") == 0);
}

TEST_CASE("many requests share one HTTP/2 connection on both sides", "[http2]") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.body = r.path, .delay = 50ms}; }, true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  std::vector<size_t> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(client.start("GET", "/" + std::to_string(i)));
  for (int i = 0; i < 50; ++i) {
    const Http2Response r = client.await(requests[i]);
    CHECK(r.status == 200);
    CHECK(r.body == "/" + std::to_string(i));
  }
  CHECK(up.connections() == 1);
  CHECK(proxy.stat("cluster.up.upstream_cx_http2_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_rq_total") == 50);
  CHECK(proxy.wait_for_stat("cluster.up.upstream_rq_active", 0));
  CHECK(proxy.wait_for_stat("cluster.up.http2.streams_active", 0));
}

TEST_CASE("an HTTP/1.1 request reaches an HTTP/2 upstream", "[http2]") {
  FakeUpstream up(echo(), true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  const RawResponse r = proxy.get("/x", "", "POST", "abc");
  CHECK(r.status == 201);
  CHECK(r.body == "POST test/x abc");
  CHECK_FALSE(up.last().has("transfer-encoding"));
  CHECK_FALSE(up.last().has("connection"));
}

TEST_CASE("a cluster may follow the request's protocol", "[http2]") {
  FakeUpstream one(echo());
  FakeUpstream two(echo(), true);
  TestProxy proxy(listener_yaml("- match: {prefix: /one}\n  route: {cluster: one}\n- match: {prefix: /}\n  route: {cluster: two}\n"),
                  {cluster_yaml("one", {one.port()}, kFollow), cluster_yaml("two", {two.port()}, kFollow)});
  CHECK(proxy.get("/one").status == 201);
  Http2Client client(proxy.port());
  CHECK(client.get("/two").status == 201);
  CHECK(proxy.stat("cluster.one.upstream_cx_http1_total") == 1);
  CHECK(proxy.stat("cluster.two.upstream_cx_http2_total") == 1);
}

TEST_CASE("trailers pass between HTTP/2 and HTTP/2 in both directions", "[http2]") {
  FakeUpstream up([](const UpstreamRequest& r) {
    return UpstreamReply{.body = r.body, .trailers = {{"grpc-status", "0"}, {"x-got", r.trailers.empty() ? "none" : r.trailers[0].second}}};
  }, true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  const size_t request = client.start("POST", "/", {{"content-type", "application/grpc"}, {"te", "trailers"}}, "m", false);
  client.send_trailers(request, {{"x-sent", "yes"}});
  const Http2Response r = client.await(request);
  CHECK(r.body == "m");
  REQUIRE(r.trailers.size() == 2);
  CHECK(r.trailers[0].second == "0");
  CHECK(r.trailers[1].second == "yes");
  CHECK(up.last().header("te") == "trailers");
}

TEST_CASE("gRPC failures of the proxy are trailers-only responses over HTTP/2", "[http2]") {
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {}, kHttp2)});
  Http2Client client(proxy.port());
  const Http2Response r = client.await(client.start("POST", "/", {{"content-type", "application/grpc"}}, "m"));
  CHECK(r.status == 200);
  CHECK(r.header("grpc-status") == "14");
  CHECK(r.header("grpc-message") == "no healthy upstream");
  CHECK(r.body.empty());
}

TEST_CASE("a stream that the upstream resets is answered or retried, and the connection stays", "[http2]") {
  int seen = 0;
  FakeUpstream up([&](const UpstreamRequest& r) { return UpstreamReply{.reset = r.path == "/reset" || (r.path == "/retry" && ++seen == 1)}; }, true);
  TestProxy proxy(listener_yaml("- match: {prefix: /retry}\n  route: {cluster: up, retry_policy: {retry_on: reset}}\n" + std::string(kToUp)),
                  {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  CHECK(client.get("/reset").status == 503);
  CHECK(client.get("/retry").status == 200);
  CHECK(client.get("/").status == 200);
  CHECK(up.connections() == 1);
  const auto log = proxy.access_log(3);
  CHECK(log[0].rfind("503 UR upstream_reset_before_response_started{remote_reset}", 0) == 0);
  CHECK(proxy.stat("cluster.up.upstream_rq_rx_reset") == 2);
}

TEST_CASE("a client that gives its stream up ends only that stream", "[http2]") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.never = r.path == "/never"}; }, true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  const size_t request = client.start("GET", "/never");
  REQUIRE(up.wait_for(1));
  client.reset(request);
  CHECK(proxy.access_log(1)[0] == "0 DR http2.remote_reset");
  CHECK(client.get("/").status == 200);
  CHECK(up.connections() == 1);
  CHECK(proxy.wait_for_stat("cluster.up.upstream_rq_active", 0));
  CHECK(proxy.stat("http.test.downstream_rq_rx_reset") == 1);
}

TEST_CASE("draining says GOAWAY, lets running requests end and closes", "[http2]") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.delay = 100ms}; });
  TestProxy proxy(listener_yaml(kToUp, "drain_timeout: 0.05s"), {cluster_yaml("up", {up.port()})});
  Http2Client client(proxy.port());
  CHECK(client.get("/").status == 200);
  const size_t running = client.start("GET", "/slow");
  REQUIRE(up.wait_for(2));
  proxy.drain();
  CHECK(client.await(running).status == 200);
  CHECK(client.wait_going_away());
  CHECK(client.wait_closed());
}

TEST_CASE("an HTTP/2 upstream connection takes as many streams and requests as configured", "[http2]") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.delay = 50ms}; }, true);
  SECTION("streams") {
    TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, options("explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 2}}"))});
    Http2Client client(proxy.port());
    std::vector<size_t> requests;
    for (int i = 0; i < 6; ++i) requests.push_back(client.start("GET", "/"));
    for (size_t r : requests) CHECK(client.await(r).status == 200);
    CHECK(up.connections() == 3);
  }
  SECTION("requests") {
    TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, options("explicit_http_config: {http2_protocol_options: {}}", "{max_requests_per_connection: 2}"))});
    Http2Client client(proxy.port());
    for (int i = 0; i < 4; ++i) CHECK(client.get("/").status == 200);
    CHECK(up.connections() == 2);
    CHECK(proxy.stat("cluster.up.upstream_cx_max_requests") == 2);
  }
}

TEST_CASE("an HTTP/2 upstream that says GOAWAY gets no further request", "[http2]") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.goodbye = r.path == "/last"}; }, true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  CHECK(client.get("/last").status == 200);
  CHECK(client.get("/next").status == 200);
  CHECK(up.connections() == 2);
}

TEST_CASE("a connection that closes under its streams fails each of them", "[http2]") {
  FakeUpstream up([](const UpstreamRequest& r) { return UpstreamReply{.never = r.path == "/never", .close_first = r.path == "/close"}; }, true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  const size_t first = client.start("GET", "/never"), second = client.start("GET", "/never");
  REQUIRE(up.wait_for(2));
  CHECK(client.get("/close").status == 503);
  CHECK(client.await(first).status == 503);
  CHECK(client.await(second).status == 503);
  CHECK(client.get("/").status == 200);
  CHECK(proxy.wait_for_stat("cluster.up.upstream_rq_active", 0));
}

TEST_CASE("the preface may come in pieces; other first bytes are HTTP/1", "[http2]") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  RawSocket socket = proxy.connect();
  socket.send("PRI * HTTP/2.0\r\n");
  CHECK(socket.quiet_for(50ms));
  socket.send("\r\nSM\r\n\r\n");
  socket.send(std::string("\0\0\0\4\0\0\0\0\0", 9));
  CHECK(socket.read_exactly(9)[3] == '\4');  // SETTINGS
  CHECK(proxy.stat("http.test.downstream_cx_http2_total") == 1);
  RawSocket post = proxy.connect();
  post.send("P");
  CHECK(post.quiet_for(50ms));
  post.send("OST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
  CHECK(post.read_response().status == 200);
  RawSocket wrong = proxy.connect();
  wrong.send("PRI * HTTP/2.1\r\n\r\n");
  CHECK(wrong.read_response().status == 400);
}

TEST_CASE("codec_type decides without looking", "[http2]") {
  FakeUpstream up;
  {
    TestProxy proxy(listener_yaml(kToUp, "codec_type: HTTP2"), {cluster_yaml("up", {up.port()})});
    Http2Client client(proxy.port());
    CHECK(client.get("/").status == 200);
  }
  TestProxy proxy(listener_yaml(kToUp, "codec_type: HTTP1"), {cluster_yaml("up", {up.port()})});
  RawSocket socket = proxy.connect();
  socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  CHECK(socket.read_response().status >= 400);
}

TEST_CASE("WebSocket over HTTP/2 becomes an upgrade of HTTP/1.1 or an extended CONNECT", "[http2]") {
  const bool http2 = GENERATE(false, true);
  CAPTURE(http2);
  FakeUpstream up([](const UpstreamRequest& r) {
    return r.header("upgrade") == "websocket" ? UpstreamReply{.status = 101, .headers = {{"upgrade", "websocket"}, {"connection", "upgrade"}}} : UpstreamReply{.status = 400};
  }, http2);
  TestProxy proxy(listener_yaml(kToUp, "upgrade_configs: [{upgrade_type: websocket}]\nhttp2_protocol_options: {allow_connect: true}"),
                  {cluster_yaml("up", {up.port()}, http2 ? options("explicit_http_config: {http2_protocol_options: {allow_connect: true}}") : "")});
  Http2Client client(proxy.port());
  CHECK(client.get("/first").status == 400);  // by now the server's SETTINGS are known
  const size_t socket = client.start("GET", "/chat", {{"upgrade", "websocket"}, {"connection", "upgrade"}, {"sec-websocket-version", "13"}}, "", false);
  CHECK(client.await_body(socket, 0).status == 101);  // the client session turns 200 into it
  client.send(socket, "ping", false);
  CHECK(client.await_body(socket, 4).body == "ping");
  client.send(socket, "pong", false);
  CHECK(client.await_body(socket, 8).body == "pingpong");
  client.send(socket, "", true);  // the upstream hears of it and ends its own half
  CHECK(client.await(socket).ended);
  CHECK(client.get("/again").status == 400);  // the connection serves on
}

TEST_CASE("a head beyond the limits is answered with 431 and the connection goes on", "[http2]") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp, "max_request_headers_kb: 1"), {cluster_yaml("up", {up.port()})});
  Http2Client client(proxy.port());
  CHECK(client.get("/", {{"x-long", std::string(3000, 'x')}}).status == 431);
  CHECK(client.get("/").status == 200);
}

TEST_CASE("a slow reader of HTTP/2 holds its own upstream back, not others", "[http2]") {
  const std::string big(3 * 1024 * 1024, 'x');
  FakeUpstream up([&](const UpstreamRequest& r) { return UpstreamReply{.body = r.path == "/big" ? big : "small"}; }, true);
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()}, kHttp2)});
  Http2Client client(proxy.port());
  const size_t download = client.start("GET", "/big");
  CHECK(client.get("/small").body == "small");
  CHECK(client.await(download).body == big);
  const Http2Response upload = client.await(client.start("POST", "/upload", {}, big));
  CHECK(upload.status == 200);
  CHECK(up.last().body.size() == big.size());
}

}  // namespace http2_test
