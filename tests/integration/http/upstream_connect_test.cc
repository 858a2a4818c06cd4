// How connections to hosts are made: addresses raced, the PROXY protocol, hosts that requests name themselves.
#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace upstream_connect_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;
using namespace std::string_literals;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

std::string address(uint16_t port, const std::string& ip = "127.0.0.1") { return "{socket_address: {address: " + ip + ", port_value: " + std::to_string(port) + "}}"; }

std::string cluster_at(const std::vector<uint16_t>& ports, const std::string& more = "") {
  std::string out = "name: up\ntype: STATIC\nconnect_timeout: 2s\n" + more + "load_assignment: {cluster_name: up, endpoints: [{lb_endpoints: [{endpoint: {address: " + address(ports[0]);
  if (ports.size() > 1) out += ", additional_addresses: [";
  for (size_t i = 1; i < ports.size(); ++i) out += (i == 1 ? "{address: " : ", {address: ") + address(ports[i]) + "}";
  return out + (ports.size() > 1 ? "]" : "") + "}}]}]}\n";
}

std::string proxy_protocol(const std::string& config) {
  return "transport_socket: {name: envoy.transport_sockets.upstream_proxy_protocol, typed_config: {\"@type\": "
         "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport, config: {" +
         config + "}, transport_socket: {name: raw, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}}\n";
}

const std::string kOriginal = "name: up\ntype: ORIGINAL_DST\nlb_policy: CLUSTER_PROVIDED\nconnect_timeout: 1s\n";

// The HTTP/1.1 exchange of one request with a server that only the test drives.
void answer(RawSocket& upstream) {
  upstream.read_until("\r\n\r\n");
  upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
}

std::string port_of(const RawSocket& client) {
  sockaddr_in in{};
  socklen_t size = sizeof in;
  getsockname(client.fd(), reinterpret_cast<sockaddr*>(&in), &size);
  return std::to_string(ntohs(in.sin_port));
}

}  // namespace

TEST_CASE("an endpoint's further addresses are tried when one refuses") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_at({unused_port(), unused_port(), up.port()})});
  CHECK(proxy.get("/").status == 200);
  CHECK(proxy.get("/").status == 200);
  CHECK(up.connections() == 1);
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == 3);  // each connect counts
  CHECK(proxy.stat("cluster.up.upstream_cx_active") == 1);
  CHECK(proxy.stat("cluster.up.upstream_cx_connect_fail") == 0);
  CHECK(proxy.stat("cluster.up.membership_total") == 1);
}

TEST_CASE("a host has failed once all of its addresses have") {
  TestProxy proxy(listener_yaml(kToUp), {cluster_at({unused_port(), unused_port()})});
  CHECK(proxy.get("/").status == 503);
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == 2);
  CHECK(proxy.stat("cluster.up.upstream_cx_connect_fail") == 1);
  CHECK(proxy.access_log(1)[0].starts_with("503 UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"));
}

TEST_CASE("the PROXY protocol names the client; connections are shared by one client's requests alone") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_at({server.port()}, proxy_protocol("version: V1"))});
  RawSocket one = proxy.connect(), two = proxy.connect();
  one.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
  RawSocket first = server.accept();
  CHECK(first.read_until("\r\n") == "PROXY TCP4 127.0.0.1 127.0.0.1 " + port_of(one) + " " + std::to_string(proxy.port()) + "\r\n");
  answer(first);
  CHECK(one.read_response().status == 200);
  two.send("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n");
  RawSocket second = server.accept();
  CHECK(second.read_until("\r\n") == "PROXY TCP4 127.0.0.1 127.0.0.1 " + port_of(two) + " " + std::to_string(proxy.port()) + "\r\n");
  answer(second);
  CHECK(two.read_response().status == 200);
  one.send("GET /3 HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(first.read_until("\r\n") == "GET /3 HTTP/1.1\r\n");  // the header comes once a connection
  answer(first);
  CHECK(one.read_response().status == 200);
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == 2);
}

TEST_CASE("version 2 of the PROXY protocol, with TLVs, over HTTP/1.1 and HTTP/2") {
  for (const bool http2 : {false, true}) {
    RawServer server;
    TestProxy proxy(listener_yaml(kToUp), {cluster_at({server.port()}, proxy_protocol("version: V2, added_tlvs: [{type: 240, value: YWJj}]") + (http2 ? "http2_protocol_options: {}\n" : ""))});
    RawSocket client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\n");
    RawSocket upstream = server.accept();
    const std::string header = upstream.read_exactly(16 + 12 + 6);
    CHECK(header.substr(0, 24) == "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\x7f\0\0\1\x7f\0\0\1"s);
    CHECK(header.substr(28) == "\xf0\0\3abc"s);
    CHECK(upstream.read_exactly(3) == (http2 ? "PRI" : "GET"));
  }
}

TEST_CASE("the pools of clients whose connections have ended do not pile up") {
  RawServer server;
  TestProxy proxy(listener_yaml(kToUp), {cluster_at({server.port()}, proxy_protocol("version: V1") + "circuit_breakers: {thresholds: [{max_connection_pools: 3}]}\n")});
  for (int i = 0; i < 8; ++i) {
    RawSocket client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    RawSocket upstream = server.accept();
    upstream.read_until("\r\n\r\n");
    upstream.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    CHECK(client.read_response().status == 200);
  }
  CHECK(proxy.stat("cluster.up.upstream_cx_total") == 8);
  CHECK(proxy.stat("cluster.up.upstream_cx_pool_overflow") == 0);
}

TEST_CASE("without room for a connection pool there is no host") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kToUp), {cluster_at({up.port()}, "circuit_breakers: {thresholds: [{max_connection_pools: 0}]}\n")});
  const RawResponse r = proxy.get("/");
  CHECK(r.status == 503);
  CHECK(r.body == "no healthy upstream");
  CHECK_FALSE(r.has("x-envoy-overloaded"));
  CHECK(proxy.access_log(1)[0] == "503 UH no_healthy_upstream");
  CHECK(proxy.stat("cluster.up.upstream_cx_pool_overflow") == 1);
  CHECK(proxy.stat("cluster.up.upstream_cx_none_healthy") == 0);
}

TEST_CASE("a request names its host itself") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b"));
  TestProxy proxy(listener_yaml(kToUp), {kOriginal + "original_dst_lb_config: {use_http_header: true}\n"});
  const auto to = [&](const std::string& where) { return proxy.get("/", "x-envoy-original-dst-host: " + where + "\r\n"); };
  CHECK(to("127.0.0.1:" + std::to_string(a.port())).body == "a");
  CHECK(to("127.0.0.1:" + std::to_string(b.port())).body == "b");
  CHECK(to("127.0.0.1:" + std::to_string(a.port())).body == "a");
  CHECK(a.connections() == 1);
  CHECK(proxy.stat("cluster.up.membership_total") == 2);
  CHECK(proxy.stat("cluster.up.original_dst_host_invalid") == 0);
  for (const char* bad : {"127.0.0.1", "foo", ":80", "[::1]", "127.0.0.1:99999", "/run/x", "unix:/x", "127.0.0.1:", "127.0.0.1:1, 127.0.0.1:2"}) {
    INFO(bad);
    const RawResponse r = to(bad);
    CHECK(r.status == 503);
    CHECK(r.body == "no healthy upstream");
  }
  CHECK(proxy.stat("cluster.up.original_dst_host_invalid") == 9);
  CHECK(proxy.get("/").status == 503);
  CHECK(proxy.stat("cluster.up.original_dst_host_invalid") == 9);
  CHECK(proxy.stat("cluster.up.upstream_cx_none_healthy") == 10);
}

TEST_CASE("the header and the port of original destinations can be chosen") {
  FakeUpstream a(FakeUpstream::named("a"));
  TestProxy proxy(listener_yaml(kToUp), {kOriginal + "original_dst_lb_config: {use_http_header: true, http_header_name: X-Dst, upstream_port_override: " + std::to_string(a.port()) + "}\n"});
  CHECK(proxy.get("/", "x-dst: 127.0.0.1:1\r\n").body == "a");
  CHECK(proxy.get("/", "x-envoy-original-dst-host: 127.0.0.1:1\r\n").status == 503);
}

TEST_CASE("original destinations go once they are unused for cleanup_interval and have no connection") {
  FakeUpstream kept(FakeUpstream::named("kept")), closed([](const UpstreamRequest&) { return UpstreamReply{.body = "closed", .goodbye = true}; });
  TestProxy proxy(listener_yaml(kToUp), {kOriginal + "cleanup_interval: 0.05s\noriginal_dst_lb_config: {use_http_header: true}\n"});
  const auto to = [&](uint16_t port) { return proxy.get("/", "x-envoy-original-dst-host: 127.0.0.1:" + std::to_string(port) + "\r\n").body; };
  CHECK(to(kept.port()) == "kept");
  CHECK(to(closed.port()) == "closed");
  CHECK(proxy.wait_for_stat("cluster.up.membership_total", 1));
  CHECK(to(kept.port()) == "kept");
  CHECK(kept.connections() == 1);
  kept.close_connections();
  CHECK(proxy.wait_for_stat("cluster.up.membership_total", 0));
  CHECK(proxy.stat("cluster.up.membership_change") == 4);
  CHECK(to(kept.port()) == "kept");
}

}  // namespace upstream_connect_test
