// tcp_proxy over real sockets: bytes, ends, failures and limits.
#include <poll.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include <cerrno>
#include <filesystem>
#include <future>
#include <thread>

#include "tests/integration/support/test_chain.h"
#include "tests/integration/support/test_proxy.h"

namespace tcp_proxy_test {

using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

std::string big(size_t n) {
  std::string out(n, 0);
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>(i * 2654435761u >> 13);
  return out;
}

// Waits for the end; true when it is a reset.
bool reset_by_peer(const RawSocket& socket) {
  for (;;) {
    pollfd wait{socket.fd(), POLLIN, 0};
    if (::poll(&wait, 1, 10'000) <= 0) return false;
    char bytes[65536];
    const ssize_t n = ::recv(socket.fd(), bytes, sizeof bytes, 0);
    if (n <= 0) return n < 0 && errno == ECONNRESET;
  }
}

}  // namespace

TEST_CASE("a connection gets an upstream connection of its own, which ends with it") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  for (int i = 1; i <= 2; ++i) {
    RawSocket client = chain.connect();
    client.send("ping");
    RawSocket server = up.accept();
    CHECK(server.read_exactly(4) == "ping");
    server.send("pong");
    CHECK(client.read_exactly(4) == "pong");
    client.close();
    CHECK(server.closed_by_peer());
    server.close();
    CHECK(chain.access_log(i).back() == "TcpConnectionEnd - 4 4 up - - Normal");
    CHECK(chain.wait_for_stat("cluster.up.upstream_cx_total", i));
  }
  CHECK(chain.wait_for_stat("cluster.up.upstream_cx_active", 0));
  CHECK(chain.stat("tcp.t.downstream_cx_total") == 2);
  CHECK(chain.stat("tcp.t.downstream_cx_rx_bytes_total") == 8);
  CHECK(chain.stat("tcp.t.downstream_cx_tx_bytes_total") == 8);
  CHECK(chain.stat("cluster.up.upstream_cx_destroy_remote_with_active_rq") == 2);
}

TEST_CASE("the upstream may speak first") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  server.send("220 hello\r\n");
  CHECK(client.read_until("\n") == "220 hello\r\n");
}

TEST_CASE("each side's end reaches the other, which may go on") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  SECTION("the client's first") {
    client.send("question");
    client.shut_write();
    CHECK(server.read_all() == "question");
    CHECK(client.quiet_for(30ms));
    server.send("answer");
    server.close();
    CHECK(client.read_all() == "answer");
  }
  SECTION("the upstream's first") {
    server.send("all I have");
    server.shut_write();
    CHECK(client.read_all() == "all I have");
    CHECK(server.quiet_for(30ms));
    client.send("thanks");
    client.close();
    CHECK(server.read_all() == "thanks");
  }
  client.close();
  server.close();
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("resets are passed on as resets") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  client.send("x");
  server.read_exactly(1);
  SECTION("the client's") {
    client.reset();
    CHECK(reset_by_peer(server));
    CHECK(chain.access_log(1).back() == "TcpConnectionEnd - 1 0 up - - RemoteReset");
  }
  SECTION("the upstream's") {
    server.reset();
    CHECK(reset_by_peer(client));
    CHECK(chain.access_log(1).back() == "TcpConnectionEnd UR 1 0 up - - LocalReset");
  }
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("much goes both ways at once, whole and in order, to readers that are slow") {
  RawServer up;
  const size_t limit = GENERATE(size_t{16384}, size_t{1024 * 1024});
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()}, "per_connection_buffer_limit_bytes: " + std::to_string(limit))}, {.buffer_limit = limit});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  const std::string there = big(20'000'000), back = big(17'000'000).substr(3);
  auto play = [](RawSocket& socket, const std::string& mine, size_t theirs) {
    std::string got;
    std::thread reader([&] {
      std::this_thread::sleep_for(200ms);
      got = socket.read_exactly(theirs);
    });
    for (size_t at = 0; at < mine.size(); at += 1'000'000) socket.send(std::string_view(mine).substr(at, 1'000'000));
    reader.join();
    return got;
  };
  auto upstream = std::async(std::launch::async, [&] { return play(server, back, there.size()); });
  const std::string got = play(client, there, back.size());
  CHECK((got == back));
  CHECK((upstream.get() == there));
  client.shut_write();
  CHECK(server.closed_by_peer());
  server.close();
  CHECK(client.closed_by_peer());
  client.close();
  CHECK(chain.wait_for_stat("tcp.t.downstream_cx_rx_bytes_total", there.size()));
  CHECK(chain.wait_for_stat("tcp.t.downstream_cx_tx_bytes_total", back.size()));
  CHECK(chain.wait_for_stat("cluster.up.upstream_cx_tx_bytes_total", there.size()));
  CHECK(chain.wait_for_stat("cluster.up.upstream_cx_rx_bytes_total", back.size()));
}

TEST_CASE("the kernel moves what comes in bulk, and nothing else") {
  const auto pipes = [] {
    size_t n = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(entry.path(), gone).string().starts_with("pipe:")) ++n;
    }
    return n;
  };
  const size_t before = pipes();
  RawServer up;
  const bool looked_at = GENERATE(false, true);
  std::vector<std::string> filters = {tcp_proxy_yaml()};
  if (looked_at) filters.insert(filters.begin(), filter_yaml("rbac.v3.RBAC", "stat_prefix: r\nenforcement_type: CONTINUOUS\nrules: {policies: {p: {permissions: [{any: true}], principals: [{any: true}]}}}"));
  TestChain chain(filters, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  for (int i = 0; i < 2000; ++i) {
    client.send(std::string(600, 'x'));
    server.read_exactly(600);
  }
  CHECK(pipes() == before);
  const std::string all = big(8'000'000);
  std::thread sender([&] { client.send(all); });
  CHECK((server.read_exactly(all.size()) == all));
  sender.join();
  CHECK(pipes() == before + (looked_at ? 0 : 2));
  client.send("small again");
  CHECK(server.read_exactly(11) == "small again");
  client.shut_write();
  CHECK(server.closed_by_peer());
  server.send("answer");
  server.close();
  CHECK(client.read_all() == "answer");
  client.close();
  CHECK(chain.wait_for_connections(0));
  CHECK(pipes() == before);
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd - 9200011 6 up - - Normal");
}

TEST_CASE("resets in the middle of a bulk transfer are passed on") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  const std::string all = big(4'000'000);
  std::thread sender([&] { client.send(all); });
  CHECK((server.read_exactly(all.size()) == all));
  sender.join();
  SECTION("the sender's") {
    client.reset();
    CHECK(reset_by_peer(server));
  }
  SECTION("the receiver's") {
    server.reset();
    CHECK(reset_by_peer(client));
  }
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("what a client sent before it closed still reaches the upstream") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  const std::string all = big(6'000'000);
  std::thread sender([&] {
    client.send(all);
    client.close();
  });
  std::this_thread::sleep_for(50ms);
  CHECK((server.read_all() == all));
  sender.join();
  server.close();
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("a slow client gets all that the upstream sent before it closed") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  const std::string all = big(6'000'000);
  std::thread sender([&] {
    server.send(all);
    server.close();
  });
  std::this_thread::sleep_for(50ms);
  CHECK((client.read_all() == all));
  sender.join();
}

TEST_CASE("an upstream that cannot be reached ends the connection") {
  const uint16_t nobody = unused_port();
  SECTION("at once") {
    TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {nobody})});
    CHECK(chain.connect().closed_by_peer());
    CHECK(chain.access_log(1).back() == "TcpConnectionEnd UF,URX 0 0 up - tcp_initializion_failure:0 Normal");
    CHECK(chain.stat("cluster.up.upstream_cx_connect_fail") == 1);
    CHECK(chain.stat("cluster.up.upstream_cx_connect_attempts_exceeded") == 1);
  }
  SECTION("after several attempts, one of which may find another host") {
    RawServer up;
    TestChain chain({tcp_proxy_yaml("max_connect_attempts: 2\nbackoff_options: {base_interval: 0.01s}")}, {cluster_yaml("up", {nobody, up.port()})});
    for (int i = 0; i < 4; ++i) {
      RawSocket client = chain.connect();
      RawSocket server = up.accept();
      server.send("x");
      CHECK(client.read_exactly(1) == "x");
    }
    CHECK(chain.stat("cluster.up.upstream_cx_connect_fail") >= 1);
  }
  SECTION("no cluster") {
    TestChain chain({tcp_proxy_yaml()}, {});
    CHECK(chain.connect().closed_by_peer());
    CHECK(chain.access_log(1).back() == "TcpConnectionEnd NC 0 0 - - tcp_initializion_failure:3 Normal");
    CHECK(chain.stat("tcp.t.downstream_cx_no_route") == 1);
  }
  SECTION("no host") {
    TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {})});
    CHECK(chain.connect().closed_by_peer());
    CHECK(chain.access_log(1).back() == "TcpConnectionEnd UH 0 0 up - tcp_initializion_failure:1 Normal");
    CHECK(chain.stat("cluster.up.upstream_cx_none_healthy") == 1);
  }
}

TEST_CASE("max_connections lets no more connections through") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()}, "circuit_breakers: {thresholds: [{max_connections: 1}]}")});
  RawSocket first = chain.connect();
  RawSocket server = up.accept();
  CHECK(chain.connect().closed_by_peer());
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd UO 0 0 up - tcp_initializion_failure:2 Normal");
  CHECK(chain.stat("cluster.up.upstream_cx_overflow") == 1);
  first.close();
  CHECK(server.closed_by_peer());
  server.close();
  CHECK(chain.wait_for_connections(0));
  RawSocket second = chain.connect();
  second.send("x");
  CHECK(up.accept().read_exactly(1) == "x");
}

TEST_CASE("max_requests is no limit for connections without HTTP") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()}, "circuit_breakers: {thresholds: [{max_requests: 0}]}")});
  RawSocket client = chain.connect();
  client.send("x");
  CHECK(up.accept().read_exactly(1) == "x");
}

TEST_CASE("the idle timeout ends what stands still") {
  RawServer up;
  SECTION("both ways") {
    TestChain chain({tcp_proxy_yaml("idle_timeout: 0.5s")}, {cluster_yaml("up", {up.port()})});
    RawSocket client = chain.connect();
    RawSocket server = up.accept();
    for (int i = 0; i < 4; ++i) {
      CHECK(client.quiet_for(200ms));
      (i % 2 == 0 ? client : server).send("x");
      if (i % 2 == 1) client.read_exactly(1);
    }
    CHECK(client.closed_by_peer());
    server.read_exactly(2);
    CHECK(server.closed_by_peer());
    CHECK(chain.wait_for_stat("tcp.t.idle_timeout", 1));
    CHECK(chain.access_log(1).back() == "TcpConnectionEnd - 2 2 up - tcp_session_idle_timeout Normal");
  }
  SECTION("also a reader that does not read") {
    TestChain chain({tcp_proxy_yaml("idle_timeout: 0.1s")}, {cluster_yaml("up", {up.port()})});
    RawSocket client = chain.connect();
    RawSocket server = up.accept();
    const std::string much = big(30'000'000);
    server.send_some(much, 100ms);
    CHECK(chain.wait_for_stat("tcp.t.idle_timeout", 1));
    CHECK(chain.wait_for_connections(0));
  }
  SECTION("also what waits for the upstream after the client has gone") {
    TestChain chain({tcp_proxy_yaml("idle_timeout: 0.1s")}, {cluster_yaml("up", {up.port()})});
    RawSocket client = chain.connect();
    RawSocket server = up.accept();
    client.send_some(big(30'000'000), 100ms);
    client.close();
    CHECK(chain.wait_for_stat("tcp.t.idle_timeout", 1));
    CHECK(chain.wait_for_connections(0));
    CHECK(chain.stat("tcp.t.upstream_flush_active") == 0);
  }
}

TEST_CASE("the greatest duration ends a busy connection") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml("max_downstream_connection_duration: 0.1s\nmax_downstream_connection_duration_jitter_percentage: {value: 10}")}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  CHECK(client.closed_by_peer());
  CHECK(chain.wait_for_stat("tcp.t.max_downstream_connection_duration", 1));
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd DT 0 0 up - max_connection_duration_reached Normal");
}

TEST_CASE("weights choose the cluster of a connection") {
  RawServer a, b;
  TestChain chain({tcp_proxy_yaml("", "weighted_clusters: {clusters: [{name: a, weight: 1}, {name: b, weight: 3}]}")}, {cluster_yaml("a", {a.port()}), cluster_yaml("b", {b.port()})});
  for (int i = 0; i < 40; ++i) chain.connect().reset();
  CHECK(chain.wait_for_stat("tcp.t.downstream_cx_total", 40));
  CHECK(chain.access_log(40).size() == 40);
  const uint64_t to_a = chain.stat("cluster.a.upstream_cx_total"), to_b = chain.stat("cluster.b.upstream_cx_total");
  CHECK(to_a + to_b == 40);
  CHECK(to_a >= 2);
  CHECK(to_b >= 20);
}

TEST_CASE("the log may be written at the start, when the upstream is there, and now and then") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml("access_log_options: {flush_access_log_on_start: true, flush_access_log_on_connected: true, access_log_flush_interval: 0.05s}")}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  std::vector<std::string> lines = chain.access_log(4);
  CHECK(lines[0] == "TcpConnectionStart - 0 0 - - - Normal");
  CHECK(lines[1] == "TcpUpstreamConnected - 0 0 up - - Normal");
  CHECK(lines[2] == "TcpPeriodic - 0 0 up - - Normal");
  client.close();
  server.close();
  CHECK(chain.wait_for_connections(0));
  CHECK(chain.access_log(5).back() == "TcpConnectionEnd - 0 0 up - - Normal");
}

TEST_CASE("the upstream is connected when the client says something") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml("upstream_connect_mode: ON_DOWNSTREAM_DATA\nmax_early_data_bytes: 10")}, {cluster_yaml("up", {up.port()})});
  SECTION("which then reaches it") {
    RawSocket client = chain.connect();
    CHECK(up.nobody_for(50ms));
    const std::string all = big(100'000);
    client.send(all);
    RawSocket server = up.accept();
    CHECK((server.read_exactly(all.size()) == all));
  }
  SECTION("or never, if it closes") {
    RawSocket client = chain.connect();
    client.shut_write();
    CHECK(client.closed_by_peer());
    CHECK(up.nobody_for(50ms));
  }
}

TEST_CASE("connections end when the listener lets go of them") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml()}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  chain.drain();
  chain.close_idle();  // the TCP proxy knows no good moment
  client.send("x");
  CHECK(server.read_exactly(1) == "x");
  chain.close_all();
  CHECK(server.closed_by_peer());
  CHECK(chain.wait_for_connections(0));
}

TEST_CASE("a tunnel over CONNECT: the request goes first, and bytes pass once the upstream has agreed") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml("tunneling_config: {hostname: 'db.%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%:5432', headers_to_add: [{header: {key: x-from, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}]}")},
                  {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  client.send("early");
  RawSocket server = up.accept();
  const std::string request = server.read_until("\r\n\r\n");
  CHECK(request.substr(0, request.find('\n')) == "CONNECT db.127.0.0.1:5432 HTTP/1.1\r");
  CHECK(request.find("\r\nhost: db.127.0.0.1:5432\r\n") != std::string::npos);
  CHECK(request.find("\r\nx-from: 127.0.0.1\r\n") != std::string::npos);
  CHECK(server.quiet_for(30ms));
  server.send("HTTP/1.1 200 OK\r\n\r\nhello");
  CHECK(client.read_exactly(5) == "hello");
  CHECK(server.read_exactly(5) == "early");
  const std::string bytes = big(300'000);
  std::thread sender([&] { client.send(bytes); });
  CHECK(server.read_exactly(bytes.size()) == bytes);
  sender.join();
  server.send("bye");
  server.close();
  CHECK(client.read_all() == "bye");
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd - 300005 8 up - - Normal");
}

TEST_CASE("a tunnel over POST carries bytes as bodies, and ends with the client") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml("tunneling_config: {hostname: a, use_post: true, post_path: /t}")}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  RawSocket server = up.accept();
  const std::string request = server.read_until("\r\n\r\n");
  CHECK(request.substr(0, request.find('\n')) == "POST /t HTTP/1.1\r");
  CHECK(request.find("transfer-encoding: chunked\r\n") != std::string::npos);
  server.send("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n");
  client.send("ping");
  CHECK(server.read_exactly(9) == "4\r\nping\r\n");
  server.send("4\r\npong\r\n");
  CHECK(client.read_exactly(4) == "pong");
  client.shut_write();
  CHECK(server.read_exactly(5) == "0\r\n\r\n");
  server.send("3\r\nbye\r\n0\r\n\r\n");
  CHECK(client.read_all() == "bye");
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd - 4 7 up - - Normal");
}

TEST_CASE("a tunnel that the upstream refuses is a connect that has failed") {
  RawServer up;
  TestChain chain({tcp_proxy_yaml("max_connect_attempts: 2\ntunneling_config: {hostname: a}")}, {cluster_yaml("up", {up.port()})});
  RawSocket client = chain.connect();
  for (const char* answer : {"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", ""}) {
    RawSocket server = up.accept();
    server.read_until("\r\n\r\n");
    server.send(answer);
    if (*answer == '\0') server.close(); else CHECK(server.closed_by_peer());
  }
  CHECK(client.closed_by_peer());
  CHECK(chain.access_log(1).back() == "TcpConnectionEnd UF,URX 0 0 up - tcp_initializion_failure:0 Normal");
}

}  // namespace tcp_proxy_test
