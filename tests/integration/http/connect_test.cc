// CONNECT: refused, passed on to an upstream that speaks HTTP, and ended here with its bytes going on over TCP; how tunnels end.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/http2_client.h"
#include "tests/integration/support/test_proxy.h"

namespace connect_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

std::string to_up(const std::string& more = "") { return "- match: {connect_matcher: {}}\n  route: {cluster: up" + more + "}\n- match: {prefix: /}\n  route: {cluster: up}\n"; }
std::string upgrade(const std::string& config = "") { return ", upgrade_configs: [{upgrade_type: CONNECT" + config + "}]"; }
const std::string kPassOn = to_up(upgrade());
const std::string kEndHere = to_up(upgrade(", connect_config: {}"));
const std::string kConnect = "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n\r\n";
const HeaderList kAuthority = {{":authority", "a.test:80"}};
const std::string kHttp2 =
    "typed_extension_protocol_options:\n  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n    \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n"
    "    explicit_http_config: {http2_protocol_options: {allow_connect: true}}";

}  // namespace

TEST_CASE("CONNECT needs a route of its own and an upgrade that allows it") {
  FakeUpstream up;
  struct Case {
    std::string routes, more;
    int status;
    std::string log;
  };
  const Case c = GENERATE_COPY(values<Case>({
      {"- match: {prefix: /}\n  route: {cluster: up}\n", "", 404, "404 NR route_not_found"},
      {"- match: {prefix: ''}\n  route: {cluster: up}\n", "upgrade_configs: [{upgrade_type: CONNECT}]\n", 404, "404 NR route_not_found"},
      {to_up(), "", 403, "403 - upgrade_failed"},
      {to_up(upgrade(", enabled: false")), "upgrade_configs: [{upgrade_type: CONNECT}]\n", 403, "403 - upgrade_failed"},
      {to_up(), "upgrade_configs: [{upgrade_type: websocket}]\n", 403, "403 - upgrade_failed"},
  }));
  CAPTURE(c.routes, c.more);
  TestProxy proxy(listener_yaml(c.routes, c.more), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send("CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
  const RawResponse r = client.read_response();
  CHECK(r.status == c.status);
  CHECK(r.header("connection") == "close");
  CHECK(proxy.access_log(1) == std::vector<std::string>{c.log});
  CHECK(up.count() == 0);
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_active") == 0);
}

TEST_CASE("CONNECT is passed on and becomes a tunnel") {
  RawServer server;
  TestProxy proxy(listener_yaml(kPassOn, "strip_any_host_port: true\n"), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send(kConnect + "early");
  RawSocket upstream = server.accept();
  const std::string head = upstream.read_until("\r\n\r\n");
  CHECK(head.starts_with("CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n"));
  CHECK(upstream.quiet_for(30ms));  // bytes wait for the upstream's consent
  upstream.send("HTTP/1.1 200 OK\r\n\r\nwelcome");
  CHECK(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(client.read_exactly(7) == "welcome");
  CHECK(upstream.read_exactly(5) == "early");
  client.send("GET /");
  CHECK(upstream.read_exactly(5) == "GET /");
  SECTION("that ends with its client") {
    client.send("bye");
    client.shut_write();
    CHECK(upstream.read_all() == "bye");
    CHECK(client.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 DC downstream_remote_disconnect"});
  }
  SECTION("that ends with its upstream") {
    upstream.send("bye");
    upstream.close();
    CHECK(client.read_all() == "bye");
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 UC upstream_reset_after_response_started{connection_termination}"});
  }
  CHECK(proxy.wait_for_stat("http.test.downstream_cx_upgrades_active", 0));
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_total") == 1);
}

TEST_CASE("what an upstream answers to a CONNECT it does not grant passes on") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.status = 403, .body = "no"}; });
  TestProxy proxy(listener_yaml(kPassOn), {cluster_yaml("up", {up.port()})});
  RawSocket client = proxy.connect();
  client.send(kConnect);
  const RawResponse r = client.read_response();
  CHECK(r.status == 403);
  CHECK(r.body == "no");
  CHECK(r.header("connection") == "close");
  CHECK(proxy.access_log(1) == std::vector<std::string>{"403 - via_upstream"});
}

TEST_CASE("CONNECT is translated between protocols", "[http2]") {
  const bool from2 = GENERATE(false, true), to2 = GENERATE(false, true);
  CAPTURE(from2, to2);
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = ""}; }, to2);
  TestProxy proxy(listener_yaml(kPassOn), {cluster_yaml("up", {up.port()}, to2 ? kHttp2 : "")});
  if (from2) {
    Http2Client client(proxy.port());
    const size_t tunnel = client.start("CONNECT", "", kAuthority, "", false);
    client.send(tunnel, "ping", false);
    CHECK(client.await_body(tunnel, 4).body == "ping");
    CHECK(up.last().host == "a.test:80");
    client.send(tunnel, "", true);
    CHECK(client.await(tunnel).ended);
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
    CHECK(client.get("/").status == 200);
  } else {
    RawSocket client = proxy.connect();
    client.send(kConnect + "ping");
    CHECK(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
    CHECK(client.read_exactly(4) == "ping");
    CHECK(up.last().host == "a.test:80");
  }
}

TEST_CASE("a CONNECT that ends here is a TCP connection to the cluster") {
  RawServer server;
  TestProxy proxy(listener_yaml(kEndHere), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send(kConnect + "ping");
  RawSocket upstream = server.accept();
  CHECK(upstream.read_exactly(4) == "ping");
  upstream.send("pong");
  const std::string head = client.read_until("\r\n\r\n");
  CHECK(head.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(head.find("transfer-encoding") == std::string::npos);
  CHECK(client.read_exactly(4) == "pong");
  SECTION("the upstream's FIN ends it") {
    upstream.send("bye");
    upstream.shut_write();
    CHECK(client.read_all() == "bye");
    CHECK(upstream.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
  }
  SECTION("the upstream's reset breaks it") {
    upstream.reset();
    CHECK(client.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 UC upstream_reset_after_response_started{connection_termination}"});
  }
  SECTION("the client's end ends it") {
    client.send("bye");
    client.close();
    CHECK(upstream.read_all() == "bye");
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 DC downstream_remote_disconnect"});
  }
  CHECK(proxy.wait_for_stat("http.test.downstream_cx_upgrades_active", 0));
  CHECK(proxy.wait_for_stat("cluster.up.upstream_cx_active", 0));
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == 1);
  CHECK(proxy.stat("cluster.up.upstream_cx_http1_total") == 0);
  CHECK(proxy.stat("cluster.up.upstream_rq_200") == 1);
}

TEST_CASE("an upstream behind a CONNECT may speak first, or not be there") {
  RawServer server;
  TestProxy proxy(listener_yaml(kEndHere), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send(kConnect);
  RawSocket upstream = server.accept();
  upstream.send("220 ready");
  client.read_until("\r\n\r\n");
  CHECK(client.read_exactly(9) == "220 ready");
  TestProxy nowhere(listener_yaml(kEndHere), {cluster_yaml("up", {unused_port()})});
  RawSocket other = nowhere.connect();
  other.send(kConnect);
  CHECK(other.read_response().status == 503);
  CHECK(nowhere.access_log(1) == std::vector<std::string>{"503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"});
}

TEST_CASE("bytes that came with a CONNECT are sent again with its retry") {
  RawServer server;
  TestProxy proxy(listener_yaml(to_up(upgrade() + ", retry_policy: {retry_on: 5xx}")), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send(kConnect + "early");
  RawSocket first = server.accept();
  first.read_until("\r\n\r\n");
  first.send("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n");
  RawSocket second = server.accept();
  second.read_until("\r\n\r\n");
  second.send("HTTP/1.1 200 OK\r\n\r\n");
  CHECK(second.read_exactly(5) == "early");
  client.send("more");
  CHECK(second.read_exactly(4) == "more");
}

TEST_CASE("large bodies pass a tunnel in both directions, slow readers hold it back") {
  RawServer server;
  TestProxy proxy(listener_yaml(kEndHere), {cluster_yaml("up", {server.port()}, "per_connection_buffer_limit_bytes: 16384")});
  RawSocket client = proxy.connect();
  client.send(kConnect);
  RawSocket upstream = server.accept();
  client.read_until("\r\n\r\n");
  const std::string bytes(32 * 1024 * 1024, 'x');
  const size_t up = client.send_some(bytes, 100ms);
  CHECK(up < bytes.size());
  CHECK(upstream.read_exactly(up).size() == up);
  const size_t down = upstream.send_some(bytes, 100ms);
  CHECK(down < bytes.size());
  CHECK(client.read_exactly(down).size() == down);
  client.send("end");
  CHECK(upstream.read_exactly(3) == "end");
}

TEST_CASE("the body of a POST ends here, too, where the route says so") {
  RawServer server;
  TestProxy proxy(listener_yaml("- match: {prefix: /}\n  route: {cluster: up" + upgrade(", connect_config: {allow_post: true}") + "}\n"), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nping");
  RawSocket upstream = server.accept();
  CHECK(upstream.read_all() == "ping");  // and its end
  upstream.send("pong");
  upstream.close();
  const RawResponse r = client.read_response();
  CHECK(r.status == 200);
  CHECK(r.body == "pong");
  CHECK(proxy.stat("http.test.downstream_cx_upgrades_total") == 0);
  client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");  // any other method goes on as HTTP
  RawSocket http = server.accept();
  CHECK(http.read_until("\r\n\r\n").starts_with("GET / HTTP/1.1\r\n"));
}

TEST_CASE("the PROXY protocol tells the upstream behind a CONNECT who asks") {
  RawServer server;
  TestProxy proxy(listener_yaml(to_up(upgrade(", connect_config: {proxy_protocol_config: {version: V1}}"))), {cluster_yaml("up", {server.port()})});
  RawSocket client = proxy.connect();
  client.send(kConnect + "ping");
  RawSocket upstream = server.accept();
  const std::string line = upstream.read_until("\r\n");
  CHECK(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "));
  CHECK_THAT(line, Catch::EndsWith(" " + std::to_string(proxy.port()) + "\r\n"));
  CHECK(upstream.read_exactly(4) == "ping");
}

TEST_CASE("a CONNECT over HTTP/2 may end by halves", "[http2]") {
  RawServer server;
  TestProxy proxy(listener_yaml(kEndHere), {cluster_yaml("up", {server.port()})});
  Http2Client client(proxy.port());
  const size_t tunnel = client.start("CONNECT", "", kAuthority, "ping", false);
  RawSocket upstream = server.accept();
  CHECK(upstream.read_exactly(4) == "ping");
  SECTION("the client's first") {
    client.send(tunnel, "bye", true);
    CHECK(upstream.read_all() == "bye");
    upstream.send("late");
    upstream.close();
    const Http2Response r = client.await(tunnel);
    CHECK(r.status == 200);
    CHECK(r.body == "late");
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
  }
  SECTION("the upstream's: then it is over") {
    upstream.send("bye");
    upstream.shut_write();
    CHECK(client.await(tunnel).body == "bye");
    CHECK(upstream.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
  }
  SECTION("or be given up by the client") {
    client.reset(tunnel);
    CHECK(upstream.closed_by_peer());
    CHECK(proxy.access_log(1) == std::vector<std::string>{"200 DR http2.remote_reset"});
  }
}

TEST_CASE("a WebSocket client over HTTP/1 that vanishes takes its HTTP/2 stream with it", "[http2]") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.status = 101, .headers = {{"upgrade", "websocket"}, {"connection", "upgrade"}}}; }, true);
  TestProxy proxy(listener_yaml(to_up(), "upgrade_configs: [{upgrade_type: websocket}]\n"), {cluster_yaml("up", {up.port()}, kHttp2)});
  proxy.get("/settings-are-known", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
  RawSocket client = proxy.connect();
  client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nping");
  client.read_until("\r\n\r\n");
  CHECK(client.read_exactly(4) == "ping");
  const uint64_t resets = proxy.stat("cluster.up.upstream_rq_tx_reset");
  client.close();
  CHECK(proxy.wait_for_stat("cluster.up.upstream_rq_tx_reset", resets + 1));
  CHECK(proxy.wait_for_stat("cluster.up.upstream_rq_active", 0));
}

}  // namespace connect_test
