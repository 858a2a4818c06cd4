// Peers that are gone without a word: their kernel answers nothing any more, neither data nor the end (a host that lost its power, a firewall that
// forgot the connection). Each is found out by the timeout that is there for it, and nothing of it stays.
#include <catch2/catch.hpp>
#include <linux/filter.h>
#include <poll.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::half_open_test {
namespace {

// From here on the kernel throws away whatever comes for this socket: it acknowledges nothing and resets nothing.
void vanish(const RawSocket& socket) {
  sock_filter nothing[] = {{BPF_RET | BPF_K, 0, 0, 0}};
  const sock_fprog program{1, nothing};
  REQUIRE(setsockopt(socket.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
}

std::string to_up(const std::string& route = "") { return absl::StrCat("route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up", route, "}}]}]}"); }
std::string tcp_listener(const std::string& more = "") {
  return absl::StrCat("name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: 0}}\nfilter_chains:\n- filters:\n  - name: t\n    typed_config: {'@type': ",
                      "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: t, cluster: up", more, "}\n");
}
const char* const kRequest = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const char* const kAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

std::string downstream(const ProxyProcess& proxy, const std::string& leaf) { return absl::StrCat("listener.127.0.0.1_", proxy.port("l"), ".", leaf); }

}  // namespace

TEST_CASE("an idle client that has vanished goes with its connection's idle timeout") {
  FakeUpstream up;
  ProxyProcess proxy(static_bootstrap({static_cluster("up", up.port())}, {listener("l", "common_http_protocol_options: {idle_timeout: 0.3s}\n      " + to_up())}));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  client.send(kRequest);
  CHECK(client.read_response().status == 200);
  const size_t open = proxy.descriptors();
  vanish(client);
  proxy.wait_for_stat("http.l.downstream_cx_idle_timeout", "1");
  proxy.wait_for_stat(downstream(proxy, "downstream_cx_active"), "0");
  CHECK(proxy.descriptors() == open - 1);
}

TEST_CASE("a client that vanishes in the middle of a response goes with the stream's idle timeout, and the upstream is free again") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = std::string(16 << 20, 'x')}; });
  ProxyProcess proxy(static_bootstrap({static_cluster("up", up.port())}, {listener("l", "stream_idle_timeout: 0.3s\n      " + to_up())}));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  client.send(kRequest);
  client.read_exactly(100'000);
  vanish(client);
  proxy.wait_for_stat("http.l.downstream_rq_idle_timeout", "1");
  proxy.wait_for_stat(downstream(proxy, "downstream_cx_active"), "0");
  proxy.wait_for_stat("cluster.up.upstream_cx_active", "0");
  CHECK(proxy.stat("http.l.downstream_rq_active") == "0");
  CHECK(proxy.stat("http.l.downstream_cx_tx_bytes_buffered") == "0");
}

TEST_CASE("an upstream that vanishes costs the request that waits for it its time, and the next one connects anew") {
  RawServer up;
  ProxyProcess proxy(static_bootstrap({static_cluster("up", up.port())}, {listener("l", to_up(", timeout: 0.3s"))}));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  client.send(kRequest);
  RawSocket first = up.accept();
  SECTION("while a request waits") {
    first.read_until("\r\n\r\n");
    vanish(first);
    CHECK(client.read_response().status == 504);
  }
  SECTION("while nothing does") {
    first.read_until("\r\n\r\n");
    first.send(kAnswer);
    CHECK(client.read_response().status == 200);
    vanish(first);
    client.send(kRequest);
    CHECK(client.read_response().status == 504);
  }
  CHECK(proxy.stat("cluster.up.upstream_rq_timeout") == "1");
  client.send(kRequest);
  RawSocket second = up.accept();
  second.read_until("\r\n\r\n");
  second.send(kAnswer);
  CHECK(client.read_response().status == 200);
  CHECK(proxy.stat("cluster.up.upstream_cx_active") == "1");
}

TEST_CASE("an HTTP/2 upstream that vanishes is found out by its pings") {
  RawServer up;
  const std::string http2 = R"(typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {connection_keepalive: {interval: 0.2s, timeout: 0.2s}}}
)";
  ProxyProcess proxy(static_bootstrap({static_cluster("up", up.port(), http2)}, {listener("l", to_up(", timeout: 30s"))}));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  client.send(kRequest);
  RawSocket first = up.accept();
  first.read_until("\r\n\r\nSM\r\n\r\n");
  first.send(std::string_view("\0\0\0\4\0\0\0\0\0\0\0\0\4\1\0\0\0\0", 18));  // our settings, and that we have seen those of the proxy
  vanish(first);
  CHECK(client.read_response().status == 503);
  CHECK(proxy.stat("cluster.up.http2.keepalive_timeout") == "1");
  proxy.wait_for_stat("cluster.up.upstream_cx_active", "0");
}

TEST_CASE("a tcp_proxy that does not look at the bytes: the idle timeout for clients, the kernel's keepalive for upstreams") {
  RawServer up;
  const bool client_goes = GENERATE(true, false);
  ProxyProcess proxy(static_bootstrap({static_cluster("up", up.port(), "upstream_connection_options: {tcp_keepalive: {keepalive_probes: 1, keepalive_time: 1, keepalive_interval: 1}}\n")},
                                      {tcp_listener(client_goes ? ", idle_timeout: 0.3s" : ", idle_timeout: 100s")}));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  client.send("hello");
  RawSocket upstream = up.accept();
  CHECK(upstream.read_exactly(5) == "hello");
  if (client_goes) {
    vanish(client);
    CHECK(upstream.closed_by_peer());
    CHECK(proxy.stat("tcp.t.idle_timeout") == "1");
  } else {
    vanish(upstream);
    pollfd end{client.fd(), POLLIN, 0};
    CHECK(poll(&end, 1, 10'000) == 1);
    char byte = 0;
    CHECK(recv(client.fd(), &byte, 1, 0) <= 0);  // the end, or a reset
  }
  proxy.wait_for_stat(downstream(proxy, "downstream_cx_active"), "0");
  proxy.wait_for_stat("cluster.up.upstream_cx_active", "0");
}

}  // namespace fairlead::testing::half_open_test
