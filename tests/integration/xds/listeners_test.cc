// Listeners that come, go, move and follow each other on one address, while connections are open.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/http2_client.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing {
namespace {

using Catch::Matchers::Contains;

const std::string kRequest = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

std::string direct(const std::string& body) {
  return "route_config: {name: x, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: " + body + "}}}]}]}";
}

// Every worker, and then main, has done what was posted before.
void settle(const ProxyProcess& proxy) {
  proxy.admin("/stats");
  proxy.admin("/stats");
}

// Listeners are the test's.
void begin(FakeAds& ads, const std::vector<std::string>& clusters = {}) {
  ads.next("cds");
  ads.send("cds", "1", "c1", clusters);
  ads.next("cds");
  ads.next("lds");
}

void send_listeners(FakeAds& ads, const std::string& version, const std::vector<std::string>& listeners) {
  ads.send("lds", version, "l" + version, listeners);
  const auto answer = ads.next("lds");
  INFO(answer.error_detail().message());
  REQUIRE_FALSE(answer.has_error_detail());
}

RawSocket open_with_answer(uint16_t port, const std::string& body) {
  RawSocket socket = RawSocket::connect(port);
  socket.send(kRequest);
  REQUIRE(socket.read_response().body == body);
  return socket;
}

TEST_CASE("a listener that takes the address of one which goes in the same response gets its sockets: nobody is turned away") {
  const uint16_t port = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads);
  send_listeners(ads, "1", {listener("n0", direct("ok"), port)});
  proxy.wait_for_state("LIVE");
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, bad{0};
  std::jthread client([&] {
    while (!stop) {
      try {
        RawSocket socket = RawSocket::connect(port);
        socket.send(kRequest);
        socket.read_response().status == 200 ? ++good : ++bad;
      } catch (const std::exception&) {
        ++bad;
      }
    }
  });
  struct Stop {  // also when a check below ends the test
    std::atomic<bool>& flag;
    ~Stop() { flag = true; }
  } stop_at_end{stop};
  for (int round = 2; round < 22; ++round) {
    const std::string name = "n" + std::to_string(round);
    send_listeners(ads, std::to_string(round), {listener(name, direct("ok"), port)});
    CHECK(proxy.port(name) == port);
  }
  stop = true;
  client.join();
  CHECK(bad == 0);
  CHECK(good > 20);
}

TEST_CASE("a listener is removed while a connection is open: others are refused at once, and its address is free for the next") {
  const uint16_t port = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads);
  send_listeners(ads, "1", {listener("l", direct("one"), port)});
  proxy.wait_for_state("LIVE");
  RawSocket held = open_with_answer(port, "one");
  send_listeners(ads, "2", {});
  proxy.wait_for_stat("listener_manager.total_listeners_active", "0");
  settle(proxy);
  CHECK_THROWS_WITH(RawSocket::connect(port), Contains("refused"));
  send_listeners(ads, "3", {listener("l", direct("three"), port)});
  proxy.wait_for_body("l", "/", "three");
  for (int i = 0; i < 10; ++i) open_with_answer(port, "three");
  held.send(kRequest);
  CHECK(held.read_response().header("connection") == "close");

  // removed and added again without a pause
  RawSocket again = open_with_answer(port, "three");
  ads.send("lds", "4", "l4", {});
  ads.send("lds", "5", "l5", {listener("l", direct("five"), port)});
  FakeAds::Request answer;
  do {
    answer = ads.next("lds");
    INFO(answer.error_detail().message());
    REQUIRE_FALSE(answer.has_error_detail());
  } while (answer.response_nonce() != "l5");
  proxy.wait_for_body("l", "/", "five");
  for (int i = 0; i < 10; ++i) open_with_answer(port, "five");
}

TEST_CASE("a listener moves to another address and back, with connections open") {
  const uint16_t here = unused_port(), there = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads);
  send_listeners(ads, "1", {listener("l", direct("ok"), here)});
  proxy.wait_for_state("LIVE");
  const RawSocket first = open_with_answer(here, "ok");
  send_listeners(ads, "2", {listener("l", direct("ok"), there)});
  const RawSocket second = open_with_answer(proxy.port("l"), "ok");
  CHECK(proxy.port("l") == there);
  settle(proxy);
  CHECK_THROWS_WITH(RawSocket::connect(here), Contains("refused"));
  send_listeners(ads, "3", {listener("l", direct("ok"), here)});
  while (proxy.port("l") != here) {  // accepted is not yet listening
  }
  settle(proxy);
  for (int i = 0; i < 10; ++i) open_with_answer(here, "ok");
}

TEST_CASE("a listener changes to another route table, or goes: open connections get one more answer from the table they had") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads, {static_cluster("a", up.port())});
  send_listeners(ads, "1", {rds_listener("l", "r1")});
  ads.next("rds");
  ads.send("rds", "1", "r1", {routes("r1", "a")});
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  RawSocket first = open_with_answer(port, "A");
  const std::string same_port = listener("l", "rds: {route_config_name: r2, config_source: {ads: {}, resource_api_version: V3}}");
  send_listeners(ads, "2", {same_port});
  FakeAds::Request request;
  do {
    request = ads.next("rds");
  } while (request.resource_names_size() != 2);
  ads.send("rds", "2", "r2", {routes("r2", "a")});
  do {
    request = ads.next("rds");  // both, then r2 alone: the old table is out of use
  } while (request.resource_names_size() != 1 || request.resource_names(0) != "r2");
  while (proxy.admin("/config_dump?resource=dynamic_route_configs").body.find("\"r1\"") != std::string::npos) {
  }
  settle(proxy);
  first.send(kRequest);
  const RawResponse last = first.read_response();
  CHECK(last.status == 200);
  CHECK(last.header("connection") == "close");
  RawSocket second = open_with_answer(port, "A");
  send_listeners(ads, "3", {});
  proxy.wait_for_stat("listener_manager.total_listeners_active", "0");
  settle(proxy);
  second.send(kRequest);
  CHECK(second.read_response().status == 200);
}

TEST_CASE("a listener changes, or is drained by hand, under HTTP/2: what runs is answered, and the connection says GOAWAY and ends") {
  const std::string how = GENERATE("changed", "removed", "drained");
  CAPTURE(how);
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.delay = std::chrono::milliseconds(100)}; });
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads, {static_cluster("a", up.port())});
  const std::string table = "route_config: {name: x, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}";
  send_listeners(ads, "1", {listener("n", "drain_timeout: 0.05s\n      " + table)});
  proxy.wait_for_state("LIVE");
  Http2Client client(proxy.port("n"));
  CHECK(client.get("/").status == 200);
  const size_t running = client.start("GET", "/");
  REQUIRE(up.wait_for(2));
  if (how == "drained") CHECK(proxy.admin("/drain_listeners?graceful", "POST").status == 200);
  if (how == "removed") send_listeners(ads, "2", {});
  if (how == "changed") {
    send_listeners(ads, "2", {listener("n", "drain_timeout: 0.05s\n      via: changed\n      " + table)});
    CHECK(Http2Client(proxy.port("n")).get("/").status == 200);
  }
  CHECK(client.await(running).status == 200);
  CHECK(client.wait_going_away());
  CHECK(client.wait_closed());
}

TEST_CASE("what is replaced and what replaces it both stand in the dump until the new one is warm") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads);
  send_listeners(ads, "1", {listener("l", direct("one"))});
  proxy.wait_for_state("LIVE");
  send_listeners(ads, "2", {rds_listener("l", "late")});
  ads.next("rds");
  std::string dump = proxy.admin("/config_dump?resource=dynamic_listeners").body;
  CHECK_THAT(dump, Contains("\"active_state\"") && Contains("\"warming_state\"") && Contains("\"version_info\": \"1\"") && Contains("\"version_info\": \"2\""));
  CHECK(proxy.body("l", "/") == "one");
  ads.send("cds", "2", "c2", {static_cluster("a", up.port())});
  ads.next("cds");
  ads.send("cds", "3", "c3", {eds_cluster("a")});
  ads.next("cds");
  ads.next("eds");
  dump = proxy.admin("/config_dump").body;
  CHECK_THAT(dump, Contains("\"dynamic_active_clusters\"") && Contains("\"dynamic_warming_clusters\""));
}

}  // namespace
}  // namespace fairlead::testing
