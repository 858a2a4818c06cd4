// Listeners that come, go, move and follow each other on one address, while connections are open.
#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/http2_client.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::listeners_test {
namespace {

using Catch::Matchers::Contains;

const std::string kRequest = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const std::vector<std::string> kAtOnce = {"--drain-strategy", "immediate"};  // the next response of a changed chain closes

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

TEST_CASE("a listener changes to another route table: open connections ask that one; it goes: they get one more answer from the table they had") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false), kAtOnce);
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
  const RawResponse next = first.read_response();
  CHECK(next.status == 200);
  CHECK(next.header("connection").empty());
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
  ProxyProcess proxy(ads_bootstrap(ads.port(), false), kAtOnce);
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
    send_listeners(ads, "2", {listener("n", "drain_timeout: 0.05s\n      max_request_headers_kb: 61\n      " + table)});
    CHECK(Http2Client(proxy.port("n")).get("/").status == 200);
  }
  CHECK(client.await(running).status == 200);
  CHECK(client.wait_going_away());
  CHECK(client.wait_closed());
}

// A listener with two addresses and a chain for each; `chains`: what the chain answers with, by the port it is for. Connections do not go over to a
// chain with another limit of headers.
struct Chain {
  uint16_t port;
  std::string body;
  int max_headers_kb = 60;
};
std::string chains_listener(const std::vector<Chain>& chains, uint16_t first, uint16_t second, const std::string& more = "") {
  std::string out = absl::StrCat("name: l\naddress: {socket_address: {address: 127.0.0.1, port_value: ", first, "}}\nadditional_addresses: [{address: {socket_address: {address: 127.0.0.1, port_value: ", second, "}}}]\n", more, "filter_chains:\n");
  for (const auto& [port, body, kb] : chains)
    absl::StrAppend(&out, "- name: chain_", port, "\n  filter_chain_match: {destination_port: ", port, R"(}
  filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: x
      max_request_headers_kb: )", kb, "\n      ", direct(body), R"(
      http_filters:
      - name: envoy.filters.http.router
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
)");
  return out;
}

TEST_CASE("connections get the chain that matches; without one they are closed and counted, or get the default") {
  const uint16_t a = unused_port(), b = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  begin(ads);
  send_listeners(ads, "1", {chains_listener({{a, "one"}}, a, b)});
  proxy.wait_for_state("LIVE");
  open_with_answer(a, "one");
  RawSocket nobody = RawSocket::connect(b);
  CHECK(nobody.closed_by_peer());
  proxy.wait_for_stat(absl::StrCat("listener.127.0.0.1_", a, ".no_filter_chain_match"), "1");
  CHECK(proxy.stat(absl::StrCat("listener.127.0.0.1_", a, ".downstream_cx_total")) == "1");
  std::string with_default = chains_listener({{a, "one"}}, a, b);
  std::string other = chains_listener({{b, "default"}}, a, b);
  other = other.substr(other.find("- name: chain_"));
  other.replace(0, 2, "  ");
  send_listeners(ads, "2", {with_default + "default_filter_chain:\n" + other});
  proxy.wait_for_stat("listener_manager.listener_in_place_updated", "1");
  settle(proxy);
  open_with_answer(b, "default");
  open_with_answer(a, "one");
}

TEST_CASE("a change of one filter chain leaves the connections of the others alone") {
  const uint16_t a = unused_port(), b = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false), kAtOnce);
  begin(ads);
  send_listeners(ads, "1", {chains_listener({{a, "a1"}, {b, "b1"}}, a, b)});
  proxy.wait_for_state("LIVE");
  RawSocket on_a = open_with_answer(a, "a1"), on_b = open_with_answer(b, "b1");
  for (int round = 2; round < 6; ++round) {
    send_listeners(ads, std::to_string(round), {chains_listener({{b, "b1"}, {a, "a" + std::to_string(round), 60 + round}}, a, b)});
    proxy.wait_for_stat("listener_manager.listener_in_place_updated", std::to_string(round - 1));
    settle(proxy);
    open_with_answer(a, "a" + std::to_string(round));
    on_b.send(kRequest);
    const RawResponse same = on_b.read_response();
    CHECK(same.body == "b1");
    CHECK(same.header("connection").empty());
  }
  CHECK(proxy.stat("listener_manager.total_filter_chains_draining") == "1");
  CHECK(proxy.stat(absl::StrCat("listener.127.0.0.1_", a, ".downstream_cx_active")) == "2");
  on_a.send(kRequest);
  const RawResponse last = on_a.read_response();
  CHECK(last.header("connection") == "close");
  CHECK(on_a.closed_by_peer());
  proxy.wait_for_stat("listener_manager.total_filter_chains_draining", "0");
  // any other change: all of them
  send_listeners(ads, "9", {chains_listener({{b, "b1"}, {a, "a5", 65}}, a, b, "per_connection_buffer_limit_bytes: 9999\n")});
  while (proxy.stat("listener_manager.listener_modified") != "5") {
  }
  settle(proxy);
  on_b.send(kRequest);
  CHECK(on_b.read_response().header("connection") == "close");
  CHECK(proxy.stat("listener_manager.listener_in_place_updated") == "4");
}

TEST_CASE("changes of routes, filters and timeouts reach open connections with their next request") {
  const uint16_t a = unused_port(), b = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false), kAtOnce);
  begin(ads);
  send_listeners(ads, "1", {chains_listener({{a, "a1"}, {b, "b1"}}, a, b)});
  proxy.wait_for_state("LIVE");
  RawSocket open = open_with_answer(a, "a1");
  Http2Client http2(a);
  CHECK(http2.get("/").body == "a1");
  for (int round = 2; round < 5; ++round) {
    const std::string body = "a" + std::to_string(round);
    send_listeners(ads, std::to_string(round), {chains_listener({{a, body}, {b, "b1"}}, a, b)});
    proxy.wait_for_stat("listener_manager.listener_in_place_updated", std::to_string(round - 1));
    settle(proxy);
    open.send(kRequest);
    const RawResponse answer = open.read_response();
    CHECK(answer.body == body);
    CHECK(answer.header("connection").empty());
    CHECK(http2.get("/").body == body);
  }
  CHECK(proxy.stat("listener_manager.total_filter_chains_draining") == "0");
  CHECK(proxy.stat("http.x.downstream_cx_total") == "2");
}

TEST_CASE("a changed chain drains gradually: its connections go on, ever more likely to be closed, and end with the drain time") {
  const uint16_t a = unused_port(), b = unused_port();
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false), {"--drain-time-s", "3"});
  begin(ads);
  send_listeners(ads, "1", {chains_listener({{a, "a1"}, {b, "b1"}}, a, b)});
  proxy.wait_for_state("LIVE");
  std::vector<RawSocket> open;
  for (int i = 0; i < 30; ++i) open.push_back(open_with_answer(a, "a1"));
  RawSocket idle = open_with_answer(a, "a1");
  send_listeners(ads, "2", {chains_listener({{a, "a2", 61}, {b, "b1"}}, a, b)});
  proxy.wait_for_stat("listener_manager.listener_in_place_updated", "1");
  settle(proxy);
  int answers = 0;
  while (!open.empty()) {
    for (auto it = open.begin(); it != open.end();) {
      RawResponse answer;
      try {
        it->send(kRequest);
        answer = it->read_response();
      } catch (const std::exception&) {  // the drain time is over
        it = open.erase(it);
        continue;
      }
      ++answers;
      CHECK(answer.status == 200);
      it = answer.header("connection") == "close" ? open.erase(it) : std::next(it);
    }
  }
  CHECK(answers > 60);  // at once would be one each
  CHECK(idle.closed_by_peer());
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
}  // namespace fairlead::testing::listeners_test
