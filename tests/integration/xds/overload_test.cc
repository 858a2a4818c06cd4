// The overload manager of a running proxy, under a pressure that the test writes into a file; connection limits; the watchdog's places to look;
// and a proxy that has run out of descriptors.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <optional>

#include "absl/strings/numbers.h"
#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/raw_socket.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::overload_test {
namespace {

using Catch::Matchers::Contains;

const std::string kDirect = "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: fine}}}]}]}";
const std::string kToA = "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}";
const std::string kRequest = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const std::string kLastRequest = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

// `actions`: a YAML list in one line.
std::string overload(const TemporaryDirectory& directory, const std::string& actions, const std::string& more = "") {
  return absl::StrCat("overload_manager:\n  refresh_interval: 0.01s\n  ", more, "\n  resource_monitors:\n  - name: file\n    typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig, filename: ",
                      directory.path("pressure"), "}\n  actions: ", actions, "\n");
}
std::string at_half(const std::string& name, const std::string& more = "") {
  return absl::StrCat("{name: envoy.overload_actions.", name, ", triggers: [{name: file, threshold: {value: 0.5}}]", more, "}");
}

// The file changes as a whole, and the manager has seen it.
struct Pressure {
  TemporaryDirectory directory;
  Pressure() { directory.write("pressure", "0"); }
  void set(ProxyProcess& proxy, const std::string& value, const std::string& percent) {
    directory.write("next", value);
    REQUIRE(rename(directory.path("next").c_str(), directory.path("pressure").c_str()) == 0);
    proxy.wait_for_stat("overload.file.pressure", percent);
  }
};

RawResponse answer(RawSocket& client) {
  client.send(kRequest);
  return client.read_response();
}

uint64_t number(const ProxyProcess& proxy, const std::string& name) {
  uint64_t value = 0;
  CHECK(absl::SimpleAtoi(proxy.stat(name), &value));
  return value;
}

}  // namespace

TEST_CASE("stop_accepting_requests: 503 with its header where that is asked for, a bypassing listener serves, and all is as before afterwards") {
  Pressure pressure;
  ProxyProcess proxy(static_bootstrap({}, {listener("l", "append_local_overload: true\n      " + kDirect), listener("spared", kDirect) + "bypass_overload_manager: true\n"}) +
                     overload(pressure.directory, absl::StrCat("[", at_half("stop_accepting_requests"), "]")));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  CHECK(answer(client).status == 200);
  pressure.set(proxy, "0.75", "75");
  CHECK(proxy.stat("overload.envoy.overload_actions.stop_accepting_requests.active") == "1");
  proxy.wait_for_body("l", "/", "envoy overloaded");
  const RawResponse refused = answer(client);
  CHECK(refused.status == 503);
  CHECK(refused.body == "envoy overloaded");
  CHECK(refused.header("x-envoy-local-overloaded") == "true");
  CHECK(proxy.body("spared", "/") == "fine");
  CHECK(number(proxy, "http.l.downstream_rq_overload_close") >= 2);
  pressure.set(proxy, "0.25", "25");
  proxy.wait_for_body("l", "/", "fine");
  CHECK(answer(client).body == "fine");
}

TEST_CASE("load shed points turn connections and requests away, but for a listener that bypasses them") {
  Pressure pressure;
  const std::string point = GENERATE("tcp_listener_accept", "hcm_ondata_creating_codec", "http_connection_manager_decode_headers", "http1_server_abort_dispatch");
  CAPTURE(point);
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kDirect), listener("spared", kDirect) + "bypass_overload_manager: true\n"}) +
                     overload(pressure.directory, "[]", "loadshed_points: [{name: envoy.load_shed_points." + point + ", triggers: [{name: file, threshold: {value: 0.5}}]}]"));
  proxy.wait_for_state("LIVE");
  RawSocket open = RawSocket::connect(proxy.port("l"));
  CHECK(answer(open).status == 200);
  pressure.set(proxy, "0.75", "75");
  CHECK(proxy.stat("overload.envoy.load_shed_points." + point + ".scale_percent") == "100");
  // workers hear of it a moment later
  const std::string counted = "overload.envoy.load_shed_points." + point + ".shed_load_count";
  for (int i = 0; i < 1000 && proxy.stat(counted) == "0"; ++i) {
    RawSocket client = RawSocket::connect(proxy.port("l"));
    client.send(kLastRequest);
    client.read_all();
  }
  CHECK(proxy.stat(counted) != "0");
  CHECK(proxy.body("spared", "/") == "fine");
  if (point == "http_connection_manager_decode_headers") {
    CHECK(answer(open).status == 503);
  } else if (point == "http1_server_abort_dispatch") {
    const RawResponse last = answer(open);
    CHECK(last.status == 500);
    CHECK(last.body == "Internal Server Error");
    CHECK(open.closed_by_peer());
  } else {
    CHECK(answer(open).status == 200);  // it is there already
  }
}

TEST_CASE("disable_http_keepalive: the response is its connection's last") {
  Pressure pressure;
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kDirect)}) + overload(pressure.directory, absl::StrCat("[", at_half("disable_http_keepalive"), "]")));
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  CHECK_FALSE(answer(client).has("connection"));
  pressure.set(proxy, "0.5", "50");
  RawResponse last;
  do last = answer(client);
  while (last.header("connection") != "close" && last.status == 200);
  CHECK(client.closed_by_peer());
  CHECK(number(proxy, "http.l.downstream_cx_overload_disable_keepalive") == 1);
}

TEST_CASE("stop_accepting_connections: those that come wait and are served later; reject_incoming_connections: they are closed") {
  Pressure pressure;
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kDirect), listener("other", kDirect)}) +
                     overload(pressure.directory, absl::StrCat("[", at_half("stop_accepting_connections"), ", {name: envoy.overload_actions.reject_incoming_connections, triggers: [{name: file, scaled: {scaling_threshold: 0.2, saturation_threshold: 0.4}}]}]")));
  proxy.wait_for_state("LIVE");
  RawSocket open = RawSocket::connect(proxy.port("l"));
  CHECK(answer(open).status == 200);
  pressure.set(proxy, "0.45", "45");
  const uint16_t port = proxy.port("l");
  RawSocket refused = RawSocket::connect(port);
  CHECK(refused.closed_by_peer());
  CHECK(number(proxy, "listener.127.0.0.1_" + std::to_string(port) + ".downstream_cx_overload_reject") >= 1);
  CHECK(answer(open).status == 200);
  pressure.set(proxy, "0.6", "60");
  RawSocket waits = RawSocket::connect(port);
  waits.send(kRequest);
  CHECK(waits.quiet_for(std::chrono::milliseconds(100)));
  CHECK(answer(open).status == 200);
  pressure.set(proxy, "0", "0");
  CHECK(waits.read_response().body == "fine");
}

TEST_CASE("reduce_timeouts: idle connections and streams that wait already end sooner") {
  Pressure pressure;
  FakeUpstream silent([](const UpstreamRequest&) { return UpstreamReply{.never = true}; });
  const std::string timers =
      ", typed_config: {\"@type\": type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig, timer_scale_factors: [{timer: HTTP_DOWNSTREAM_CONNECTION_IDLE, min_timeout: 0.02s}, "
      "{timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_scale: {value: 0.01}}]}";
  ProxyProcess proxy(static_bootstrap({static_cluster("a", silent.port())},
                                      {listener("l", "drain_timeout: 0.02s\n      common_http_protocol_options: {idle_timeout: 3600s}\n      stream_idle_timeout: 300s\n      " + kToA)}) +
                     overload(pressure.directory, absl::StrCat("[", at_half("reduce_timeouts", timers), "]")));
  proxy.wait_for_state("LIVE");
  RawSocket idle = RawSocket::connect(proxy.port("l")), busy = RawSocket::connect(proxy.port("l"));
  busy.send(kRequest);
  REQUIRE(silent.wait_for(1));
  proxy.wait_for_stat("http.l.downstream_cx_active", "2");
  pressure.set(proxy, "0.5", "50");
  CHECK(idle.closed_by_peer());
  CHECK(busy.read_response().status == 504);
  CHECK(proxy.stat("http.l.downstream_cx_idle_timeout") != "0");
  CHECK(proxy.stat("http.l.downstream_rq_idle_timeout") == "1");
}

TEST_CASE("reset_high_memory_stream ends those that hold much, and no other") {
  Pressure pressure;
  FakeUpstream up([](const UpstreamRequest& request) { return UpstreamReply{.body = request.path == "/big" ? std::string(8 << 20, 'x') : "small"}; });
  ProxyProcess proxy(static_bootstrap({static_cluster("a", up.port())}, {listener("l", kToA)}) +
                     overload(pressure.directory, absl::StrCat("[", at_half("reset_high_memory_stream"), "]"), "buffer_factory_config: {minimum_account_to_track_power_of_two: 17}"));
  proxy.wait_for_state("LIVE");
  RawSocket slow = RawSocket::connect(proxy.port("l")), light = RawSocket::connect(proxy.port("l"));
  slow.send("GET /big HTTP/1.1\r\nhost: a\r\n\r\n");
  slow.read_until("\r\n\r\n");  // and no more: the rest waits in the proxy
  light.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab");
  proxy.wait_for_stat("http.l.downstream_rq_active", "2");
  pressure.set(proxy, "1", "100");
  proxy.wait_for_stat("envoy.overload_actions.reset_high_memory_stream.count", "1");
  light.send("cd");
  CHECK(light.read_response().body == "small");
  CHECK(proxy.stat("envoy.overload_actions.reset_high_memory_stream.count") == "1");
  CHECK(proxy.stat("http.l.downstream_rq_active") == "0");
}

TEST_CASE("limits of connections: over all listeners by the overload manager, of one by the runtime as it is changed") {
  const std::string monitor =
      "overload_manager: {resource_monitors: [{name: envoy.resource_monitors.global_downstream_max_connections, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig, "
      "max_active_downstream_connections: 2}}]}\n";
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kDirect), listener("m", kDirect), listener("free", kDirect) + "ignore_global_conn_limit: true\n"}) + monitor +
                     "layered_runtime: {layers: [{name: admin, admin_layer: {}}]}\n");
  proxy.wait_for_state("LIVE");
  const auto stat_of = [&](const std::string& name, const std::string& stat) { return proxy.stat("listener.127.0.0.1_" + std::to_string(proxy.port(name)) + "." + stat); };
  RawSocket one = RawSocket::connect(proxy.port("l"));
  CHECK(answer(one).status == 200);
  {
    RawSocket two = RawSocket::connect(proxy.port("m"));
    CHECK(answer(two).status == 200);
    CHECK(RawSocket::connect(proxy.port("m")).closed_by_peer());
    CHECK(stat_of("m", "downstream_global_cx_overflow") == "1");
    CHECK(proxy.body("free", "/") == "fine");
  }
  proxy.wait_for_body("m", "/", "fine");
  CHECK(proxy.admin("/runtime_modify?envoy.resource_limits.listener.l.connection_limit=1", "POST").status == 200);
  proxy.wait_for_stat("runtime.admin_overrides_active", "1");
  CHECK(RawSocket::connect(proxy.port("l")).closed_by_peer());
  CHECK(stat_of("l", "downstream_cx_overflow") == "1");
  CHECK(answer(one).status == 200);
}

TEST_CASE("the example is a good configuration; a monitor that this machine lacks, or that nobody knows, is refused by its name") {
  CHECK(run_proxy({"--mode", "validate", "-c", std::string(FAIRLEAD_SOURCE_DIR) + "/examples/overload.yaml"}).code == 0);
  TemporaryDirectory dir;
  const std::string path = dir.write("b.yaml", "overload_manager: {resource_monitors: [{name: cpu, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.resource_monitors.cpu_utilization.v3.CpuUtilizationConfig}}]}\n");
  const Ran ran = run_proxy({"-c", path});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("overload_manager.resource_monitors[0]") && Contains("cpu"));
}

TEST_CASE("connections of one age do not end all at once where their greatest age has a jitter") {
  const std::string aged = "drain_timeout: 0.001s\n      common_http_protocol_options: {max_connection_duration: 0.3s, max_connection_duration_jitter: {value: 100}}\n      ";
  ProxyProcess proxy(static_bootstrap({}, {listener("l", aged + kDirect)}));
  proxy.wait_for_state("LIVE");
  std::vector<RawSocket> clients;
  for (int i = 0; i < 20; ++i) clients.push_back(RawSocket::connect(proxy.port("l")));
  using Clock = std::chrono::steady_clock;
  std::optional<Clock::time_point> first, last;
  const auto give_up = Clock::now() + std::chrono::seconds(10);
  while (!clients.empty() && Clock::now() < give_up) {
    std::erase_if(clients, [&](RawSocket& client) {
      char byte;
      if (recv(client.fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) != 0) return false;
      last = Clock::now();
      if (!first) first = last;
      return true;
    });
    usleep(1000);
  }
  REQUIRE(clients.empty());
  CHECK(*last - *first > std::chrono::milliseconds(60));
}

TEST_CASE("the watchdog's statistics, and its page") {
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kDirect)}) + "watchdogs: {worker_watchdog: {miss_timeout: 600s, megamiss_timeout: 600s}}\n");
  proxy.wait_for_state("LIVE");
  for (const char* name : {"server.main_thread.watchdog_mega_miss", "main_thread.watchdog_miss", "workers.watchdog_mega_miss", "server.worker_1.watchdog_miss"}) {
    INFO(name);
    CHECK(proxy.stat(name) != "");
  }
  CHECK_THAT(proxy.admin("/stalls").body, Contains("\"name\": \"main_thread\"") && Contains("\"name\": \"worker_1\"") && Contains("\"stalls\": []"));
}

namespace {

struct Limited {  // the soft limit of this process, which a child gets too
  explicit Limited(rlim_t soft) {
    getrlimit(RLIMIT_NOFILE, &before);
    rlimit now = before;
    now.rlim_cur = std::min(soft, before.rlim_max);
    setrlimit(RLIMIT_NOFILE, &now);
  }
  ~Limited() { setrlimit(RLIMIT_NOFILE, &before); }
  rlimit before{};
};

int dial(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd >= 0) connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to);
  return fd;
}

}  // namespace

TEST_CASE("with 200 descriptors and 2,000 who connect: it neither spins nor falls, serves whom it has, and the others when there is room") {
  FakeUpstream up(FakeUpstream::named("A"));
  std::unique_ptr<ProxyProcess> proxy;
  {
    const Limited few(200);
    proxy = std::make_unique<ProxyProcess>(static_bootstrap({static_cluster("a", up.port())}, {listener("l", kToA)}));
  }
  proxy->wait_for_state("LIVE");
  const uint16_t port = proxy->port("l");
  const std::string waited = "listener.127.0.0.1_" + std::to_string(port) + ".downstream_cx_out_of_descriptors";
  std::vector<RawSocket> before;
  for (int i = 0; i < 10; ++i) {
    before.push_back(RawSocket::connect(port));
    CHECK(answer(before.back()).body == "A");
  }
  const Limited many(RLIM_INFINITY);
  std::vector<int> crowd;
  for (int i = 0; i < 2000; ++i) {
    crowd.push_back(dial(port));
    REQUIRE(crowd.back() >= 0);
  }
  const auto began = std::chrono::steady_clock::now();
  const double cpu = proxy->cpu_seconds();
  uint64_t served = 0;
  for (uint64_t times = 0; times < 20;) {  // two listening sockets, ten times a second each: the admin address answers all the while
    absl::SimpleAtoi(proxy->stat(waited), &times);
    for (RawSocket& client : before) CHECK(answer(client).body == "A");
    served += before.size();
    usleep(20'000);  // the load of these questions is not what is measured
    if (std::chrono::steady_clock::now() - began > std::chrono::seconds(30)) FAIL("descriptors have not run out");
  }
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const double used = proxy->cpu_seconds() - cpu;
  INFO(served << " requests, CPU " << used << " s of " << took << " s");
  CHECK(used < 0.4 * took);
  for (const int fd : crowd) close(fd);
  for (int i = 0; i < 10; ++i) {
    RawSocket late = RawSocket::connect(port);
    CHECK(answer(late).body == "A");
  }
  CHECK(answer(before[0]).body == "A");
  CHECK_THAT(proxy->log(), Contains("descriptors are running out"));
  CHECK(proxy->running());
}

}  // namespace fairlead::testing::overload_test
