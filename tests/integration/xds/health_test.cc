// Active health checks and outlier detection in a proxy process: which hosts get traffic, what the statistics and /clusters say.
#include <sys/resource.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>
#include <thread>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::health_test {
namespace {

using Catch::Matchers::Contains;
using namespace std::string_literals;

const std::string kToA = "route_config: {name: rc, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}";
const std::string kPace = "timeout: 2s, interval: 0.03s, no_traffic_interval: 0.03s, healthy_threshold: 2, unhealthy_threshold: 2";

std::string config(const std::vector<uint16_t>& ports, const std::string& more) {
  std::string hosts;
  for (const uint16_t port : ports) absl::StrAppend(&hosts, hosts.empty() ? "" : ", ", "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", port, "}}}}");
  const std::string cluster = absl::StrCat("name: a\ntype: STATIC\nconnect_timeout: 1s\nload_assignment: {cluster_name: a, endpoints: [{lb_endpoints: [", hosts, "]}]}\n", more);
  return static_bootstrap({cluster}, {listener("l", kToA)});
}

std::string http_check(const std::string& more = "") { return "health_checks: [{" + kPace + ", http_health_check: {path: /health" + more + "}}]\n"; }

// Answers requests with its name, checks with what it is told to.
struct Backend {
  explicit Backend(std::string name, int health = 200, bool http2 = false)
      : check(std::make_shared<std::atomic<int>>(health)),
        answer(std::make_shared<std::atomic<int>>(200)),
        upstream(
            [name = std::move(name), check = check, answer = answer](const UpstreamRequest& r) {
              return r.path == "/health" ? UpstreamReply{.status = *check} : UpstreamReply{.status = *answer, .body = name};
            },
            http2) {}
  uint16_t port() const { return upstream.port(); }
  std::shared_ptr<std::atomic<int>> check, answer;
  FakeUpstream upstream;
};

// The bodies of several requests.
std::set<std::string> answers(const ProxyProcess& proxy, int requests = 6) {
  std::set<std::string> out;
  for (int i = 0; i < requests; ++i) out.insert(proxy.body("l", "/"));
  return out;
}

// Sends requests until the statistic is not 0 any more. Which worker takes which, and where its turn begins, is left to chance.
void request_until(const ProxyProcess& proxy, const std::string& stat) {
  for (int i = 0; i < 200 && proxy.stat(stat) == "0"; ++i) answers(proxy, 2);
  REQUIRE(proxy.stat(stat) != "0");
}

TEST_CASE("a host that fails its checks gets no traffic until they pass again") {
  Backend one("one"), two("two");
  ProxyProcess proxy(config({one.port(), two.port()}, http_check()));
  proxy.wait_for_state("LIVE");
  CHECK(answers(proxy) == std::set{"one"s, "two"s});
  *two.check = 503;
  proxy.wait_for_stat("cluster.a.membership_healthy", "1");
  CHECK(answers(proxy) == std::set{"one"s});
  CHECK(proxy.stat("cluster.a.health_check.healthy") == "1");
  CHECK_THAT(proxy.admin("/clusters").body, Contains("a::127.0.0.1:" + std::to_string(two.port()) + "::health_flags::/failed_active_hc\n") &&
                                                Contains("a::127.0.0.1:" + std::to_string(one.port()) + "::health_flags::healthy\n"));
  CHECK_THAT(proxy.admin("/clusters?format=json").body, Contains("\"failed_active_health_check\": true"));
  *two.check = 200;
  proxy.wait_for_stat("cluster.a.membership_healthy", "2");
  CHECK(answers(proxy) == std::set{"one"s, "two"s});
  const UpstreamRequest check = one.upstream.requests().front();
  CHECK(check.method == "GET");
  CHECK(check.host == "a");
  CHECK(check.header("user-agent") == "Envoy/HC");
  CHECK(proxy.stat("cluster.a.health_check.network_failure") == "0");
  CHECK(proxy.stat("cluster.a.upstream_rq_503") == "");  // a check is no request of the cluster's
}

TEST_CASE("a cluster serves once every host has had its first check") {
  Backend one("one"), two("two", 500);
  ProxyProcess proxy(config({one.port(), two.port()}, "health_checks: [{timeout: 2s, interval: 60s, healthy_threshold: 3, unhealthy_threshold: 3, http_health_check: {path: /health}}]\n"));
  proxy.wait_for_state("LIVE");
  CHECK(answers(proxy) == std::set{"one"s});
  CHECK(proxy.stat("cluster.a.health_check.attempt") == "2");
}

TEST_CASE("what a check asks and expects can be said") {
  Backend one("one", 418);
  ProxyProcess proxy(config({one.port()}, http_check(", host: checks.test, method: HEAD, expected_statuses: [{start: 418, end: 419}], "
                                                     "request_headers_to_add: [{header: {key: x-check, value: mine}}], request_headers_to_remove: [user-agent]")));
  proxy.wait_for_state("LIVE");
  CHECK(proxy.stat("cluster.a.membership_healthy") == "1");
  const UpstreamRequest check = one.upstream.requests().front();
  CHECK(check.method == "HEAD");
  CHECK(check.host == "checks.test");
  CHECK(check.header("x-check") == "mine");
}

TEST_CASE("retriable statuses count towards the threshold, and connections are kept between checks") {
  Backend one("one");
  ProxyProcess proxy(config({one.port()}, "health_checks: [{timeout: 2s, interval: 0.03s, no_traffic_interval: 0.03s, healthy_threshold: 1, unhealthy_threshold: 1000, "
                                          "http_health_check: {path: /health, retriable_statuses: [{start: 503, end: 504}]}}]\n"));
  proxy.wait_for_state("LIVE");
  *one.check = 503;
  REQUIRE(one.upstream.wait_for(one.upstream.count() + 4));
  CHECK(proxy.stat("cluster.a.membership_healthy") == "1");
  CHECK(one.upstream.connections() == 1);
}

TEST_CASE("without reuse_connection each check has a connection of its own") {
  for (const bool http2 : {false, true}) {
    Backend one("one", 200, http2);
    ProxyProcess proxy(config({one.port()}, "health_checks: [{" + kPace + ", reuse_connection: false, http_health_check: {path: /health, codec_client_type: " + (http2 ? "HTTP2" : "HTTP1") + "}}]\n"));
    proxy.wait_for_state("LIVE");
    REQUIRE(one.upstream.wait_for(4));
    CHECK(one.upstream.connections() >= 4);
    CHECK(proxy.stat("cluster.a.health_check.failure") == "0");
  }
}

TEST_CASE("a host whose checks say that it is degraded gets traffic only when the others cannot take it") {
  Backend one("one");
  FakeUpstream two([](const UpstreamRequest& r) {
    UpstreamReply reply{.body = "two"};
    if (r.path == "/health") reply.headers.emplace_back("x-envoy-degraded", "");
    return reply;
  });
  ProxyProcess proxy(config({one.port(), two.port()}, http_check() + "common_lb_config: {healthy_panic_threshold: {value: 0}}\n"));
  proxy.wait_for_state("LIVE");
  CHECK(proxy.stat("cluster.a.membership_degraded") == "1");
  CHECK(proxy.stat("cluster.a.health_check.degraded") == "1");
  CHECK_THAT(proxy.admin("/clusters").body, Contains("::health_flags::/degraded_active_hc\n"));
  *one.check = 500;
  proxy.wait_for_stat("cluster.a.membership_healthy", "0");
  CHECK(answers(proxy) == std::set{"two"s});
}

TEST_CASE("a check that is not answered in time fails, and is told from others") {
  FakeUpstream silent([](const UpstreamRequest&) { return UpstreamReply{.never = true}; });
  ProxyProcess proxy(config({silent.port()}, "health_checks: [{timeout: 0.05s, interval: 60s, healthy_threshold: 1, unhealthy_threshold: 1, http_health_check: {path: /health}}]\n"));
  proxy.wait_for_state("LIVE");
  CHECK(proxy.stat("cluster.a.health_check.network_failure") == "1");
  CHECK_THAT(proxy.admin("/clusters").body, Contains("::health_flags::/failed_active_hc/active_hc_timeout\n"));
}

TEST_CASE("checks over TCP: a connection, or bytes") {
  RawServer closed_soon;
  uint16_t nobody;
  {
    RawServer gone;
    nobody = gone.port();
  }
  SECTION("a connection") {
    ProxyProcess proxy(config({closed_soon.port(), nobody}, "health_checks: [{" + kPace + ", tcp_health_check: {}}]\n"));
    proxy.wait_for_state("LIVE");
    CHECK(proxy.stat("cluster.a.membership_healthy") == "1");
    CHECK_THAT(proxy.admin("/clusters").body, Contains(":" + std::to_string(nobody) + "::health_flags::/failed_active_hc\n"));
  }
  SECTION("bytes: an HTTP server answers rubbish with a 400") {
    Backend http("one");
    // "x\r\n\r\n" and "HTTP/1.1 ", "400"
    ProxyProcess proxy(config({http.port()}, "health_checks: [{" + kPace + ", tcp_health_check: {send: {text: '780d0a0d0a'}, receive: [{text: '485454502f312e3120'}, {text: '343030'}]}}]\n"));
    proxy.wait_for_state("LIVE");
    CHECK(proxy.stat("cluster.a.membership_healthy") == "1");
  }
}

TEST_CASE("checks by gRPC") {
  auto serving = std::make_shared<std::atomic<bool>>(true);
  FakeUpstream up(
      [serving](const UpstreamRequest&) {
        return UpstreamReply{.body = "\0\0\0\0\2\x08"s + (*serving ? '\1' : '\2'), .headers = {{"content-type", "application/grpc"}}, .trailers = {{"grpc-status", "0"}}, .chunked = true};
      },
      true);
  ProxyProcess proxy(config({up.port()}, "health_checks: [{" + kPace + ", grpc_health_check: {service_name: svc}}]\nhttp2_protocol_options: {}\n"));
  proxy.wait_for_state("LIVE");
  CHECK(proxy.stat("cluster.a.membership_healthy") == "1");
  const UpstreamRequest check = up.requests().front();
  CHECK(check.path == "/grpc.health.v1.Health/Check");
  CHECK(check.header("content-type") == "application/grpc");
  CHECK(check.body == "\0\0\0\0\5\x0a\3svc"s);
  *serving = false;
  proxy.wait_for_stat("cluster.a.membership_healthy", "0");
}

TEST_CASE("checks over HTTP/2") {
  Backend one("one", 200, true);
  ProxyProcess proxy(config({one.port()}, http_check(", codec_client_type: HTTP2") + "http2_protocol_options: {}\n"));
  proxy.wait_for_state("LIVE");
  CHECK(answers(proxy) == std::set{"one"s});
}

TEST_CASE("a connect or a check that finds no descriptor here says nothing of the host") {
  Backend one("one");
  ProxyProcess proxy(config({one.port()}, "health_checks: [{timeout: 2s, interval: 0.01s, no_traffic_interval: 0.01s, healthy_threshold: 1, unhealthy_threshold: 1, reuse_connection: false, http_health_check: {path: /health}}]\n"
                                          "outlier_detection: {consecutive_5xx: 1, consecutive_gateway_failure: 1, enforcing_consecutive_gateway_failure: 100, interval: 0.01s}\nmax_requests_per_connection: 1\n"));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  const auto ask = [&] {
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    return client.read_response();
  };
  REQUIRE(ask().status == 200);
  rlimit before;
  REQUIRE(prlimit(proxy.pid(), RLIMIT_NOFILE, nullptr, &before) == 0);
  const rlimit none{3, before.rlim_max};
  REQUIRE(prlimit(proxy.pid(), RLIMIT_NOFILE, &none, nullptr) == 0);
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);  // many checks long
  RawResponse refused;
  do refused = ask();
  while (refused.status == 503 && std::chrono::steady_clock::now() < until);
  REQUIRE(prlimit(proxy.pid(), RLIMIT_NOFILE, &before, nullptr) == 0);
  CHECK(refused.status == 503);
  CHECK_THAT(refused.body, Contains("reset reason: local connection failure"));
  CHECK(ask().status == 200);
  CHECK(proxy.stat("cluster.a.outlier_detection.ejections_enforced_total") == "0");
  CHECK(proxy.stat("cluster.a.health_check.failure") == "0");
  CHECK(proxy.stat("cluster.a.membership_healthy") == "1");
  CHECK(proxy.stat("cluster.a.upstream_cx_connect_fail") != "0");
}

TEST_CASE("an answer that asks for it takes its host out at once") {
  Backend two("two");
  auto leave = std::make_shared<std::atomic<bool>>(false);
  FakeUpstream one([leave](const UpstreamRequest& r) {
    UpstreamReply reply{.body = "one"};
    if (*leave && r.path != "/health") reply.headers.emplace_back("x-envoy-immediate-health-check-fail", "true");
    return reply;
  });
  ProxyProcess proxy(config({one.port(), two.port()}, "health_checks: [{timeout: 2s, interval: 60s, healthy_threshold: 1, unhealthy_threshold: 10, http_health_check: {path: /health}}]\n"));
  proxy.wait_for_state("LIVE");
  *leave = true;
  request_until(proxy, "cluster.a.health_check.passive_failure");
  proxy.wait_for_stat("cluster.a.membership_excluded", "1");
  CHECK(answers(proxy) == std::set{"two"s});
  CHECK(proxy.stat("cluster.a.health_check.passive_failure") != "0");
}

TEST_CASE("hash tables follow the checks") {
  Backend one("one"), two("two");
  const std::string routes = "route_config: {name: rc, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a, hash_policy: [{query_parameter: {name: k}}]}}]}]}";
  std::string yaml = config({one.port(), two.port()}, http_check() + "lb_policy: RING_HASH\n");
  yaml.replace(yaml.find(kToA), kToA.size(), routes);
  ProxyProcess proxy(yaml);
  proxy.wait_for_state("LIVE");
  const auto all = [&] {
    std::set<std::string> out;
    for (int i = 0; i < 20; ++i) out.insert(proxy.body("l", "/?k=" + std::to_string(i)));
    return out;
  };
  CHECK(all() == std::set{"one"s, "two"s});
  *one.check = 500;
  proxy.wait_for_stat("cluster.a.membership_healthy", "1");
  CHECK(all() == std::set{"two"s});
}

TEST_CASE("a run of failures ejects a host, for a while") {
  Backend one("one"), two("two");
  *two.answer = 503;
  ProxyProcess proxy(config({one.port(), two.port()}, "outlier_detection: {consecutive_5xx: 3, max_ejection_percent: 50, base_ejection_time: 0.3s, interval: 0.05s}\n"));
  proxy.wait_for_state("LIVE");
  request_until(proxy, "cluster.a.outlier_detection.ejections_enforced_consecutive_5xx");
  *two.answer = 200;
  proxy.wait_for_stat("cluster.a.outlier_detection.ejections_active", "0");
  CHECK(proxy.stat("cluster.a.outlier_detection.ejections_enforced_total") == "1");
  proxy.wait_for_stat("cluster.a.membership_healthy", "2");
  CHECK(answers(proxy) == std::set{"one"s, "two"s});
}

TEST_CASE("no more hosts are ejected than may be") {
  Backend one("one"), two("two");
  *one.answer = *two.answer = 500;
  ProxyProcess proxy(config({one.port(), two.port()}, "outlier_detection: {consecutive_5xx: 2, max_ejection_percent: 50}\ncommon_lb_config: {healthy_panic_threshold: {value: 0}}\n"));
  proxy.wait_for_state("LIVE");
  request_until(proxy, "cluster.a.outlier_detection.ejections_overflow");
  CHECK(proxy.stat("cluster.a.outlier_detection.ejections_active") == "1");
  CHECK_THAT(proxy.admin("/clusters").body, Contains("::health_flags::/failed_outlier_check\n") && Contains("::health_flags::healthy\n"));
}

TEST_CASE("a passed check brings an ejected host back") {
  Backend one("one"), two("two");
  *two.answer = 500;
  ProxyProcess proxy(config({one.port(), two.port()}, http_check() + "outlier_detection: {consecutive_5xx: 2, max_ejection_percent: 50, base_ejection_time: 300s}\n"));
  proxy.wait_for_state("LIVE");
  request_until(proxy, "cluster.a.outlier_detection.ejections_enforced_total");
  proxy.wait_for_stat("cluster.a.outlier_detection.ejections_active", "0");
}

TEST_CASE("hosts are ejected by their share of failures") {
  Backend one("one"), two("two");
  *two.answer = 500;
  ProxyProcess proxy(config({one.port(), two.port()}, "outlier_detection: {consecutive_5xx: 1000, max_ejection_percent: 50, interval: 0.2s, enforcing_failure_percentage: 100, "
                                                      "failure_percentage_minimum_hosts: 2, failure_percentage_request_volume: 5, failure_percentage_threshold: 50}\n"));
  proxy.wait_for_state("LIVE");
  for (int i = 0; i < 1000 && proxy.stat("cluster.a.outlier_detection.ejections_active") == "0"; ++i) answers(proxy, 20);
  proxy.wait_for_stat("cluster.a.membership_healthy", "1");
  CHECK(proxy.stat("cluster.a.outlier_detection.ejections_enforced_failure_percentage") == "1");
  CHECK(answers(proxy) == std::set{"one"s});
}

// Two hosts under EDS; the second is then no longer named.
void two_then_one(FakeAds& ads, const Backend& one, const Backend& two, const std::string& more) {
  const std::string both = absl::StrCat("cluster_name: a\nendpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", one.port(),
                                        "}}}}, {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ", two.port(), "}}}}]}]\n");
  ads.next("cds");
  ads.send("cds", "1", "c1", {eds_cluster("a") + http_check() + more});
  ads.next("cds");
  ads.next("eds");
  ads.send("eds", "1", "e1", {both});
  ads.next("eds");
  ads.next("lds");
  ads.send("lds", "1", "l1", {listener("l", kToA)});
  ads.next("lds");
  ads.send("eds", "2", "e2", {endpoints("a", one.port())});
  ads.next("eds");
}

TEST_CASE("a host that EDS no longer names stays while its checks pass") {
  Backend one("one"), two("two");
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  two_then_one(ads, one, two, "");
  proxy.wait_for_state("LIVE");
  CHECK(answers(proxy) == std::set{"one"s, "two"s});
  CHECK_THAT(proxy.admin("/clusters").body, Contains(":" + std::to_string(two.port()) + "::health_flags::/pending_dynamic_removal\n"));
  *two.check = 500;
  proxy.wait_for_stat("cluster.a.membership_total", "1");
  CHECK(answers(proxy) == std::set{"one"s});
}

TEST_CASE("with ignore_health_on_host_removal it leaves at once") {
  Backend one("one"), two("two");
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  two_then_one(ads, one, two, "ignore_health_on_host_removal: true\n");
  proxy.wait_for_state("LIVE");
  proxy.wait_for_stat("cluster.a.membership_total", "1");
  CHECK(answers(proxy) == std::set{"one"s});
}

// How many lines of the file hold `text`; waits (10 s at most) until there are `least`.
size_t lines_with(const std::string& path, const std::string& text, size_t least) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (;;) {
    size_t count = 0;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) count += line.find(text) != std::string::npos;
    if (count >= least || std::chrono::steady_clock::now() > end) return count;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST_CASE("events of checks and ejections are logged, to files that are opened again on demand") {
  TemporaryDirectory dir;
  const std::string checks = dir.path("checks"), old = dir.path("checks.old"), outliers = dir.path("outliers");
  Backend one("one"), two("two");
  ProxyProcess proxy(config({one.port(), two.port()}, "health_checks: [{" + kPace + ", event_log_path: " + checks + ", http_health_check: {path: /health}}]\noutlier_detection: {consecutive_5xx: 3, max_ejection_percent: 50}\n") +
                         "cluster_manager: {outlier_detection: {event_log_path: " + outliers + "}}\n",
                     {"--file-flush-interval-msec", "20"});
  proxy.wait_for_state("LIVE");
  CHECK(lines_with(checks, "\"add_healthy_event\":{\"first_check\":true}", 2) == 2);
  *two.check = 503;
  CHECK(lines_with(checks, "\"port_value\":" + std::to_string(two.port()) + ",\"resolver_name\":\"\",\"ipv4_compat\":false,\"network_namespace_filepath\":\"\"}},\"cluster_name\":\"a\",\"eject_unhealthy_event\":{\"failure_type\":\"ACTIVE\",\"http_status_code\":503}", 1) == 1);
  REQUIRE(std::rename(checks.c_str(), old.c_str()) == 0);
  REQUIRE(proxy.admin("/reopen_logs", "POST").status == 200);
  *two.check = 200;
  CHECK(lines_with(checks, "\"add_healthy_event\":{\"first_check\":false}", 1) == 1);
  CHECK(lines_with(old, "\"first_check\":false", 0) == 0);
  *two.answer = 503;
  request_until(proxy, "cluster.a.outlier_detection.ejections_enforced_total");
  CHECK(lines_with(outliers, "\"upstream_url\":\"127.0.0.1:" + std::to_string(two.port()) + "\",\"action\":\"EJECT\",\"num_ejections\":1,\"enforced\":true,\"eject_consecutive_event\":{}}", 1) == 1);
  CHECK(lines_with(outliers, "\"action\":\"UNEJECT\"", 1) >= 1);  // the next check passes
}

TEST_CASE("an event log that cannot be written refuses its cluster") {
  TemporaryDirectory dir;
  const std::string path = dir.path("no/such/folder");
  const std::string check = "health_checks: [{" + kPace + ", event_log_path: " + path + ", tcp_health_check: {}}]\n";
  Ran ran = run_proxy({"--mode", "validate", "-c", dir.write("a.yaml", config({1}, check))});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("cluster 'a': health_checks[0]: unable to open file '" + path + "': No such file or directory"));
  ran = run_proxy({"--mode", "validate", "-c", dir.write("b.yaml", config({1}, "") + "cluster_manager: {outlier_detection: {event_log_path: " + path + "}}\n")});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("unable to open file '" + path + "'"));
}

}  // namespace
}  // namespace fairlead::testing::health_test
