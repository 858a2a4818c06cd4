// udp_proxy over real sockets: sessions, their ends, limits, hosts that come and go, what is counted and logged.
#include <catch2/catch.hpp>

#include <array>
#include <optional>
#include <set>

#include "tests/integration/support/test_proxy.h"
#include "tests/integration/support/test_udp.h"

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

const std::string kLog = R"(access_log:
- name: file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: LOG_FILE
    log_format: {text_format_source: {inline_string: "%ACCESS_LOG_TYPE% %DYNAMIC_METADATA(udp.proxy.session:cluster_name)% %DYNAMIC_METADATA(udp.proxy.session:datagrams_received)% %DYNAMIC_METADATA(udp.proxy.session:bytes_received)% %DYNAMIC_METADATA(udp.proxy.session:datagrams_sent)% %DYNAMIC_METADATA(udp.proxy.session:bytes_sent)%\n"}}
)";
const std::string kProxyLog = R"(proxy_access_log:
- name: file
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: LOG_FILE
    log_format: {text_format_source: {inline_string: "proxy %DYNAMIC_METADATA(udp.proxy.proxy:session_total)% %DYNAMIC_METADATA(udp.proxy.proxy:datagrams_received)% %DYNAMIC_METADATA(udp.proxy.proxy:no_route)%\n"}}
)";

std::string to(const std::string& cluster) {
  return "{action: {name: r, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: " + cluster + "}}}";
}
std::string by_port(const std::vector<std::pair<uint16_t, std::string>>& routes) {
  std::string map;
  for (const auto& [port, cluster] : routes) map += (map.empty() ? "'" : ", '") + std::to_string(port) + "': " + to(cluster);
  return "matcher: {matcher_tree: {input: {name: i, typed_config: {'@type': type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.SourcePortInput}}, exact_match_map: {map: {" + map + "}}}}";
}

}  // namespace

TEST_CASE("each client has a session: its datagrams reach the host from one port, and answers find the way back") {
  UdpSocket up, one, two;
  TestUdp proxy("cluster: up", {cluster_yaml("up", {up.port()})});
  one.send(proxy.port(), "1a");
  CHECK(up.receive() == "1a");
  const uint16_t first = up.from();
  up.answer("1A");
  CHECK(one.receive() == "1A");
  CHECK(one.from() == proxy.port());
  two.send(proxy.port(), "2a");
  CHECK(up.receive() == "2a");
  CHECK(up.from() != first);
  up.send(first, "unasked");
  CHECK(one.receive() == "unasked");
  one.send(proxy.port(), "1b");
  CHECK(up.receive() == "1b");
  CHECK(up.from() == first);
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 2));
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 2);
  CHECK(proxy.stat("udp.u.downstream_sess_rx_datagrams") == 3);
  CHECK(proxy.stat("udp.u.downstream_sess_rx_bytes") == 6);
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_tx_datagrams", 2));
  CHECK(proxy.stat("udp.u.downstream_sess_tx_bytes") == 9);
  CHECK(proxy.wait_for_stat("cluster.up.udp.sess_tx_datagrams", 3));  // counted when the datagram has left, so perhaps after its arrival
  CHECK(proxy.stat("cluster.up.udp.sess_rx_datagrams") == 2);
  CHECK(proxy.wait_for_stat("cluster.up.upstream_cx_tx_bytes_total", 6));
  CHECK(proxy.stat("cluster.up.upstream_cx_rx_bytes_total") == 9);
}

TEST_CASE("a burst arrives whole and in order, each datagram by itself, and so do its answers") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up", {cluster_yaml("up", {up.port()})});
  std::vector<std::string> burst;
  for (int i = 0; i < 120; ++i) burst.push_back(std::to_string(i) + std::string(static_cast<size_t>(i < 60 ? 200 : i) % 300, 'x'));
  burst.push_back("");
  for (const std::string& one : burst) client.send(proxy.port(), one);
  for (const std::string& one : burst) REQUIRE(up.receive() == one);
  for (const std::string& one : burst) up.answer(one);
  for (const std::string& one : burst) REQUIRE(client.receive() == one);
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 1);
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_rx_datagrams", burst.size()));
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_tx_datagrams", burst.size()));
}

TEST_CASE("answers to many clients at once reach each whole and in order: small ones, which leave together, large ones and empty ones") {
  constexpr size_t kClients = 100;
  UdpSocket up;
  std::array<UdpSocket, kClients> clients;
  TestUdp proxy("cluster: up\n" + kLog, {cluster_yaml("up", {up.port()})});
  std::array<uint16_t, kClients> homes{};
  for (size_t i = 0; i < kClients; ++i) {
    clients[i].send(proxy.port(), std::to_string(i));
    CHECK(up.receive() == std::to_string(i));
    homes[i] = up.from();
  }
  const auto answers = [](size_t i) { return std::vector<std::string>{"first " + std::to_string(i), std::string(3000 + i, 'x'), "second " + std::to_string(i), ""}; };
  proxy.hand_over(std::nullopt, [&] {  // all of them wait when it reads again
    for (size_t i = 0; i < kClients; ++i)
      for (const std::string& one : answers(i)) up.send(homes[i], one);
  });
  for (size_t i = 0; i < kClients; ++i)
    for (const std::string& one : answers(i)) REQUIRE(clients[i].receive() == one);
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_tx_datagrams", 4 * kClients));
  proxy.publish({});  // what each session has sent is counted before it is logged
  size_t logged = 0;
  for (const std::string& line : proxy.access_log(kClients)) logged += line.starts_with("UdpSessionEnd up 1 ") && line.find(" 4 3") != std::string::npos;
  CHECK(logged == kClients);
}

TEST_CASE("datagrams longer than asked for are dropped, on either side, unless they may be joined") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up\nupstream_socket_config: {prefer_gro: false}", {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), std::string(1501, 'x'));
  client.send(proxy.port(), std::string(1500, 'y'));
  CHECK(up.receive() == std::string(1500, 'y'));
  up.answer(std::string(1501, 'x'));
  up.answer("short");
  CHECK(client.receive() == "short");
  CHECK(proxy.stat("listener.test.udp.downstream_rx_datagram_dropped") == 1);
  CHECK(proxy.stat("cluster.up.udp.sess_rx_datagrams_dropped") == 1);
  CHECK(proxy.stat("udp.u.downstream_sess_rx_datagrams") == 1);
  TestUdp joining("cluster: up", {cluster_yaml("up", {up.port()})});
  client.send(joining.port(), "x");
  CHECK(up.receive() == "x");
  up.answer(std::string(1501, 'x'));
  CHECK(client.receive() == std::string(1501, 'x'));
}

TEST_CASE("a session that is idle ends, and the next datagram begins another") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up\nidle_timeout: 0.05s\n" + kLog, {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), "a");
  CHECK(up.receive() == "a");
  CHECK(proxy.wait_for_stat("udp.u.idle_timeout", 1));
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 0));
  CHECK(proxy.access_log(1).back() == "UdpSessionEnd up 1 1 0 0");
  up.answer("late");
  client.send(proxy.port(), "b");
  CHECK(up.receive() == "b");
  up.answer("B");
  CHECK(client.receive() == "B");
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 2);
}

TEST_CASE("a cluster's connection breaker limits its sessions") {
  UdpSocket up, one, two;
  TestUdp proxy("cluster: up\n" + kLog, {cluster_yaml("up", {up.port()}, "circuit_breakers: {thresholds: [{max_connections: 1}]}")});
  one.send(proxy.port(), "1");
  CHECK(up.receive() == "1");
  two.send(proxy.port(), "2");
  CHECK(proxy.wait_for_stat("cluster.up.upstream_cx_overflow", 1));
  one.send(proxy.port(), "3");
  CHECK(up.receive() == "3");
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 2);  // Envoy 1.40: it is counted, and logged
  CHECK(proxy.stat("udp.u.downstream_sess_active") == 1);
  CHECK(proxy.access_log(1).back() == "UdpSessionEnd up 0 0 0 0");
}

TEST_CASE("datagrams without a host or a cluster are dropped and counted") {
  UdpSocket up, client;
  SECTION("no host") {
    TestUdp proxy("cluster: up", {cluster_yaml("up", {})});
    client.send(proxy.port(), "a");
    CHECK(proxy.wait_for_stat("cluster.up.upstream_cx_none_healthy", 1));
    CHECK(proxy.stat("udp.u.downstream_sess_total") == 0);
  }
  SECTION("no cluster, until it comes") {
    TestUdp proxy("cluster: up\n" + kProxyLog, {});
    client.send(proxy.port(), "a");
    CHECK(proxy.wait_for_stat("udp.u.downstream_sess_no_route", 1));
    proxy.publish({cluster_yaml("up", {up.port()})});
    client.send(proxy.port(), "b");
    CHECK(up.receive() == "b");
    CHECK(proxy.stat("udp.u.downstream_sess_no_route") == 1);
    proxy.end();
    CHECK(proxy.access_log(1).back() == "proxy 1 1 1");
  }
}

TEST_CASE("a host that nobody listens on shows as an error, and the session goes on") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up", {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), "a");
  CHECK(up.receive() == "a");
  up.close();
  client.send(proxy.port(), "b");
  CHECK(proxy.wait_for_stat("cluster.up.udp.sess_rx_errors", 1));
  CHECK(proxy.stat("udp.u.downstream_sess_active") == 1);
}

TEST_CASE("sessions of a host or cluster that leaves end; others stay") {
  UdpSocket a, b, one, two;
  const auto cluster = [&](std::vector<uint16_t> ports) { return cluster_yaml("up", ports, "lb_policy: ROUND_ROBIN"); };
  TestUdp proxy("cluster: up\n" + kLog, {cluster({a.port(), b.port()})});
  one.send(proxy.port(), "1");
  two.send(proxy.port(), "2");
  const std::string at_a = a.receive(), at_b = b.receive();
  UdpSocket& of_a = at_a == "1" ? one : two;
  UdpSocket& of_b = at_a == "1" ? two : one;
  const uint16_t at_b_from = b.from();
  proxy.publish_endpoints(cluster({b.port()}));
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 1));
  of_a.send(proxy.port(), "3");
  CHECK(b.receive() == "3");
  of_b.send(proxy.port(), "4");
  CHECK(b.receive() == "4");
  CHECK(b.from() == at_b_from);
  CHECK(proxy.stat("udp.u.downstream_sess_active") == 2);
  proxy.publish({});
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 0));
  CHECK(proxy.access_log(3).size() == 3);
  one.send(proxy.port(), "5");
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_no_route", 1));
}

TEST_CASE("with a host for each datagram, one client's datagrams go round, and every host's answers reach it") {
  UdpSocket a, b, client;
  TestUdp proxy("cluster: up\nuse_per_packet_load_balancing: true", {cluster_yaml("up", {a.port(), b.port()}, "lb_policy: ROUND_ROBIN")});
  for (int i = 0; i < 4; ++i) client.send(proxy.port(), std::to_string(i));
  std::set<std::string> seen;
  for (int i = 0; i < 2; ++i) {
    seen.insert(a.receive());
    seen.insert(b.receive());
  }
  CHECK(seen == std::set<std::string>{"0", "1", "2", "3"});
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 2);
  a.answer("A");
  CHECK(client.receive() == "A");
  b.answer("B");
  CHECK(client.receive() == "B");
}

TEST_CASE("a matcher sends clients to clusters by their address") {
  UdpSocket a, b, one, two, three;
  TestUdp proxy(by_port({{one.port(), "a"}, {two.port(), "b"}}), {cluster_yaml("a", {a.port()}), cluster_yaml("b", {b.port()})});
  one.send(proxy.port(), "1");
  two.send(proxy.port(), "2");
  three.send(proxy.port(), "3");
  CHECK(a.receive() == "1");
  CHECK(b.receive() == "2");
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_no_route", 1));
}

TEST_CASE("a listener's new form keeps the sessions whose route stays") {
  UdpSocket a, b, one, two;
  const std::vector<std::string> clusters{cluster_yaml("a", {a.port()}), cluster_yaml("b", {b.port()})};
  TestUdp proxy(by_port({{one.port(), "a"}, {two.port(), "a"}}), clusters);
  one.send(proxy.port(), "1");
  CHECK(a.receive() == "1");
  const uint16_t first = a.from();
  two.send(proxy.port(), "2");
  CHECK(a.receive() == "2");
  CHECK(proxy.update(by_port({{one.port(), "a"}, {two.port(), "b"}}) + "\nidle_timeout: 100s"));
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 1));
  one.send(proxy.port(), "3");
  CHECK(a.receive() == "3");
  CHECK(a.from() == first);
  two.send(proxy.port(), "4");
  CHECK(b.receive() == "4");
  b.answer("b");
  CHECK(two.receive() == "b");
  // a host for each datagram is another kind of session
  CHECK_FALSE(proxy.update("cluster: a\nuse_per_packet_load_balancing: true"));
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 0));
  one.send(proxy.port(), "5");
  CHECK(a.receive() == "5");
}

TEST_CASE("an unhealthy host's session moves to a better one, if there is one") {
  UdpSocket a, b, client;
  const auto cluster = [&](const char* health_of_a, const char* health_of_b) {
    const auto endpoint = [](uint16_t port, const char* health) {
      return "    - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: " + std::to_string(port) + "}}}, health_status: " + health + "}\n";
    };
    return "name: up\ntype: STATIC\nload_assignment:\n  cluster_name: up\n  endpoints:\n  - lb_endpoints:\n" + endpoint(a.port(), health_of_a) + endpoint(b.port(), health_of_b);
  };
  TestUdp proxy("cluster: up", {cluster("HEALTHY", "UNHEALTHY")});
  client.send(proxy.port(), "1");
  CHECK(a.receive() == "1");
  const uint16_t first = a.from();
  proxy.publish_endpoints(cluster("UNHEALTHY", "UNHEALTHY"));
  client.send(proxy.port(), "2");
  CHECK(a.receive() == "2");
  CHECK(a.from() == first);
  proxy.publish_endpoints(cluster("UNHEALTHY", "HEALTHY"));
  client.send(proxy.port(), "3");
  CHECK(b.receive() == "3");
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 2);
  CHECK(proxy.stat("udp.u.downstream_sess_active") == 1);
}

TEST_CASE("a session that is handed over goes on from its socket; what came meanwhile waits; it is counted and logged once") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up\n" + kLog, {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), "1");
  CHECK(up.receive() == "1");
  const uint16_t home = up.from();
  CHECK(proxy.hand_over("cluster: up\nidle_timeout: 100s\n" + kLog, [&] {
    client.send(proxy.port(), "2");
    up.answer("A");
    up.answer("B");
  }) == 1);
  CHECK(up.receive() == "2");
  CHECK(up.from() == home);
  CHECK(client.receive() == "A");
  CHECK(client.receive() == "B");
  CHECK(client.from() == proxy.port());
  CHECK(proxy.stat("udp.u.downstream_sess_total") == 1);
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 1));
  CHECK(proxy.wait_for_stat("udp.u.downstream_sess_tx_datagrams", 2));
  proxy.end();
  CHECK(proxy.access_log(1) == std::vector<std::string>{"UdpSessionEnd up 2 2 2 2"});
}

TEST_CASE("a hand-over that fails changes nothing") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up\nidle_timeout: 0.5s\n" + kLog, {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), "1");
  CHECK(up.receive() == "1");
  const uint16_t home = up.from();
  proxy.hand_over(std::nullopt, [&] {
    client.send(proxy.port(), "2");
    up.answer("A");
  });
  CHECK(up.receive() == "2");
  CHECK(up.from() == home);
  CHECK(client.receive() == "A");
  CHECK(proxy.wait_for_stat("udp.u.idle_timeout", 1));
  CHECK(proxy.access_log(1) == std::vector<std::string>{"UdpSessionEnd up 2 2 1 1"});
}

TEST_CASE("a session that has no place where it is handed to ends there") {
  UdpSocket a, b, one, two;
  const std::vector<std::string> clusters{cluster_yaml("a", {a.port()}), cluster_yaml("b", {b.port()})};
  TestUdp proxy(by_port({{one.port(), "a"}, {two.port(), "a"}}), clusters);
  one.send(proxy.port(), "1");
  CHECK(a.receive() == "1");
  const uint16_t home = a.from();
  two.send(proxy.port(), "2");
  CHECK(a.receive() == "2");
  SECTION("its route is another") {
    CHECK(proxy.hand_over(by_port({{one.port(), "a"}, {two.port(), "b"}}) + "\n" + kLog) == 1);
    CHECK(proxy.access_log(1) == std::vector<std::string>{"UdpSessionEnd a 1 1 0 0"});
    two.send(proxy.port(), "3");
    CHECK(b.receive() == "3");
    one.send(proxy.port(), "4");
    CHECK(a.receive() == "4");
    CHECK(a.from() == home);
    CHECK(proxy.wait_for_stat("udp.u.downstream_sess_active", 2));
  }
  SECTION("its host is not there") {
    CHECK(proxy.hand_over("cluster: a", [&] { proxy.publish({cluster_yaml("a", {b.port()})}); }) == 0);
    one.send(proxy.port(), "3");
    CHECK(b.receive() == "3");
  }
  SECTION("every datagram has a host of its own there") {
    CHECK(proxy.hand_over("cluster: a\nuse_per_packet_load_balancing: true") == 0);
    one.send(proxy.port(), "3");
    CHECK(a.receive() == "3");
    CHECK(a.from() != home);
    CHECK(proxy.hand_over("cluster: a\nuse_per_packet_load_balancing: true") == 1);
  }
}

TEST_CASE("a session that is handed over may be idle no longer than it might have been") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up\nidle_timeout: 0.2s", {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), "1");
  CHECK(up.receive() == "1");
  CHECK(proxy.hand_over("cluster: up\nidle_timeout: 100s") == 1);
  CHECK(proxy.wait_for_stat("udp.u.idle_timeout", 1));
}

TEST_CASE("sessions are logged while they last") {
  UdpSocket up, client;
  TestUdp proxy("cluster: up\naccess_log_options: {access_log_flush_interval: 0.02s}\n" + kLog, {cluster_yaml("up", {up.port()})});
  client.send(proxy.port(), "abc");
  CHECK(up.receive() == "abc");
  CHECK(proxy.access_log(2)[1] == "UdpPeriodic up 1 3 0 0");
}
