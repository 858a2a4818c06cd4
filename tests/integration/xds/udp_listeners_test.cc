// UDP listeners that come, change and go by LDS while datagrams flow.
#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "tests/integration/support/test_udp.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::udp_listeners_test {
namespace {

std::string udp_listener(const std::string& name, uint16_t port, const std::string& more = "", const std::string& prefix = "u") {
  return absl::StrCat("name: ", name, "\naddress: {socket_address: {protocol: UDP, address: 127.0.0.1, port_value: ", port, R"(}}
listener_filters:
- name: udp
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
    stat_prefix: )", prefix, "\n    cluster: up\n", more.empty() ? "" : absl::StrCat("    ", more, "\n"));
}

uint16_t unused_udp_port() { return UdpSocket().port(); }

// Answers every datagram with itself, and remembers the texts and the ports that they came from.
class EchoHost {
 public:
  EchoHost() : thread_([this] {
    for (std::string text; (text = socket_.receive()) != "end"; ++received_) {
      homes_.insert(socket_.from());
      texts_.insert(text);
      socket_.answer(text);
    }
  }) {}
  ~EchoHost() {
    UdpSocket().send(port(), "end");
    thread_.join();
  }
  uint16_t port() const { return socket_.port(); }
  size_t received() const { return received_; }
  size_t homes() const { return homes_.size(); }         // once nobody sends
  const std::set<std::string>& texts() const { return texts_; }

 private:
  UdpSocket socket_;
  std::set<uint16_t> homes_;
  std::set<std::string> texts_;
  std::atomic<size_t> received_{0};
  std::thread thread_;
};

// Sends a datagram, waits for its answer, and so on. One that is lost ends it, ten seconds later.
class PingPong {
 public:
  explicit PingPong(uint16_t port) : thread_([this, port] {
    try {
      while (!stop_) {
        const std::string text = "ping " + std::to_string(rounds_);
        client_.send(port, text);
        if (client_.receive() != text) throw std::runtime_error("another answer");
        ++rounds_;
      }
    } catch (const std::exception&) {
      broken_ = true;
    }
  }) {}
  ~PingPong() { end(); }
  void end() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  bool broken() const { return broken_; }
  void more() const {
    const size_t before = rounds_;
    while (!broken_ && rounds_ < before + 20) std::this_thread::yield();
  }

 private:
  UdpSocket client_;
  std::atomic<bool> stop_{false}, broken_{false};
  std::atomic<size_t> rounds_{0};
  std::thread thread_;
};

// Every worker, and then main, has done what was posted before.
void all_is_done(const ProxyProcess& proxy) {
  proxy.admin("/stats");
  proxy.admin("/stats");
}

// Of "u": its statistics may have gone with its listener.
bool no_session(const ProxyProcess& proxy) {
  const std::string active = proxy.stat("udp.u.downstream_sess_active");
  return active.empty() || active == "0";
}

class UdpProxyProcess {
 public:
  explicit UdpProxyProcess(uint16_t host) : proxy(ads_bootstrap(ads_.port(), false)) {
    ads_.next("cds");
    ads_.send("cds", "1", "c1", {static_cluster("up", host)});
    ads_.next("cds");
    ads_.next("lds");
  }
  void listeners(const std::vector<std::string>& all) {
    const std::string version = std::to_string(++version_);
    ads_.send("lds", version, "l" + version, all);
    const auto answer = ads_.next("lds");
    INFO(answer.error_detail().message());
    REQUIRE_FALSE(answer.has_error_detail());
    if (version_ == 1) proxy.wait_for_state("LIVE");
    all_is_done(proxy);
  }

 private:
  FakeAds ads_;
  int version_ = 0;

 public:
  ProxyProcess proxy;
};

}  // namespace

TEST_CASE("while UDP listeners come, change and go, a session loses no datagram where its route stays") {
  EchoHost host;
  UdpProxyProcess udp(host.port());
  const uint16_t port = unused_udp_port(), other = unused_udp_port();
  const std::string plain = udp_listener("u", port);
  udp.listeners({plain});
  PingPong client(port);
  client.more();
  for (int i = 0; i < 10; ++i) {
    udp.listeners({plain, udp_listener("v", other, absl::StrCat("idle_timeout: ", 10 + i, "s"), "v")});  // one comes
    client.more();
    udp.listeners({plain, udp_listener("v", other, "use_per_packet_load_balancing: true", "v")});        // it changes into another kind
    client.more();
    udp.listeners({udp_listener("u", port, absl::StrCat("idle_timeout: ", 20 + i, "s"))});                // it goes; this one changes
    client.more();
    udp.listeners({plain + absl::StrCat("udp_listener_config: {downstream_socket_config: {max_rx_datagram_size: ", 2000 + i, "}}\n")});  // in how it is read
    client.more();
    udp.listeners({plain});
    client.more();
  }
  client.end();
  CHECK_FALSE(client.broken());
  CHECK(host.homes() == 1);
  CHECK(udp.proxy.stat("udp.u.downstream_sess_total") == "1");
  CHECK(udp.proxy.stat("udp.u.downstream_sess_active") == "1");
  CHECK(udp.proxy.stat("listener_manager.total_listeners_active") == "1");
  PingPong again(port);
  again.more();
  udp.listeners({udp_listener("u", port, "", "w")});  // and in what it is called
  again.more();
  again.end();
  CHECK_FALSE(again.broken());
  CHECK(host.homes() == 2);
  CHECK(no_session(udp.proxy));
  CHECK(udp.proxy.stat("udp.w.downstream_sess_active") == "2");
}

TEST_CASE("a UDP listener that is removed ends its sessions at once, and its address is free for the next") {
  EchoHost host;
  UdpProxyProcess udp(host.port());
  const uint16_t port = unused_udp_port();
  udp.listeners({udp_listener("u", port)});
  UdpSocket client;
  client.send(port, "1");
  CHECK(client.receive() == "1");
  udp.listeners({});
  udp.proxy.wait_for_stat("listener_manager.total_listeners_active", "0");
  CHECK(no_session(udp.proxy));
  client.send(port, "lost");
  udp.listeners({udp_listener("u", port)});
  client.send(port, "2");
  CHECK(client.receive() == "2");
  CHECK(host.homes() == 2);
  CHECK(udp.proxy.stat("udp.u.downstream_sess_active") == "1");
}

TEST_CASE("a UDP listener that takes the address of one which goes in the same response gets its sockets: what clients send is not lost") {
  EchoHost host;
  UdpProxyProcess udp(host.port());
  const uint16_t port = unused_udp_port();
  udp.listeners({udp_listener("n0", port)});
  std::atomic<bool> stop{false};
  size_t sent = 0;
  std::jthread client([&] {
    for (const UdpSocket socket; !stop; ++sent) {
      socket.send(port, std::to_string(sent));
      while (!stop && host.received() + 50 < sent) std::this_thread::yield();  // no more are under way than sockets hold
    }
  });
  struct Stop {  // also when a check below ends the test
    std::atomic<bool>& flag;
    ~Stop() { flag = true; }
  } stop_at_end{stop};
  for (int i = 1; i < 11; ++i) {
    udp.listeners({udp_listener("n" + std::to_string(i), port)});
    const size_t before = host.received();
    while (host.received() < before + 50) std::this_thread::yield();
  }
  stop = true;
  client.join();
  for (int i = 0; i < 1000 && host.received() < sent; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  CHECK(host.received() == sent);
  CHECK(host.texts().size() == sent);
}

}  // namespace fairlead::testing::udp_listeners_test
