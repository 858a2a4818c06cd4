// The proxy as a process: bootstrap errors, validation, admin shapes, drain, files as the source of configuration.
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::process_test {
namespace {

using Catch::Matchers::Contains;

const std::string kToA = "route_config: {name: rc, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}";

std::string simple(uint16_t upstream, int port = 0) { return static_bootstrap({static_cluster("a", upstream)}, {listener("l", kToA, port)}); }

TEST_CASE("--mode validate: good and bad configuration, by exit code; nothing is bound") {
  TemporaryDirectory dir;
  RawServer taken;
  const std::string good = dir.write("good.yaml", simple(1, taken.port()));
  Ran ran = run_proxy({"--mode", "validate", "-c", good});
  CHECK(ran.code == 0);
  CHECK_THAT(ran.output, Contains("configuration '" + good + "' OK"));
  const std::string bad = dir.write("bad.yaml", static_bootstrap({static_cluster("a", 1, "lb_subset_config: {fallback_policy: ANY_ENDPOINT}")}, {}));
  ran = run_proxy({"--mode", "validate", "-c", bad});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("bad.yaml:7") && Contains("lb_subset_config"));
}

TEST_CASE("an unsupported extension in the bootstrap is named with file and line") {
  TemporaryDirectory dir;
  std::string yaml = simple(1);
  const std::string from = "envoy.extensions.filters.http.router.v3.Router";
  yaml.replace(yaml.find(from), from.size(), "envoy.extensions.filters.http.lua.v3.Lua");
  const std::string path = dir.write("lua.yaml", yaml);
  const Ran ran = run_proxy({"-c", path});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("lua.yaml:") && Contains("lua.v3.Lua"));
}

TEST_CASE("errors of the bootstrap: missing file, broken YAML, unknown field, port in use, no configuration") {
  TemporaryDirectory dir;
  CHECK_THAT(run_proxy({"-c", dir.path("absent.yaml")}).output, Contains("absent.yaml"));
  CHECK_THAT(run_proxy({"-c", dir.write("broken.yaml", "a: [")}).output, Contains("broken.yaml:"));
  CHECK_THAT(run_proxy({"-c", dir.write("field.yaml", "static_resources:\n  clusterz: []\n")}).output, Contains("field.yaml:2") && Contains("clusterz"));
  CHECK_THAT(run_proxy({}).output, Contains("-c FILE"));
  RawServer taken;
  const Ran ran = run_proxy({"-c", dir.write("port.yaml", simple(1, taken.port()))});
  CHECK(ran.code == 1);
  CHECK_THAT(ran.output, Contains("listener 'l'") && Contains(std::to_string(taken.port())));
  const Ran twice = run_proxy({"-c", dir.write("twice.yaml", static_bootstrap({static_cluster("a", 1)}, {listener("l", kToA, 18099), listener("m", kToA, 18099)}))});
  CHECK(twice.code == 1);
  CHECK_THAT(twice.output, Contains("'m' has duplicate address '127.0.0.1:18099' as existing listener"));
  RawServer admin;
  const Ran busy = run_proxy({"-c", dir.write("admin.yaml", "admin: {address: {socket_address: {address: 127.0.0.1, port_value: " + std::to_string(admin.port()) + "}}}\n")});
  CHECK(busy.code == 1);
  CHECK_THAT(busy.output, Contains("admin") && Contains(std::to_string(admin.port())));
}

TEST_CASE("--config-yaml is merged over the file") {
  FakeUpstream up(FakeUpstream::named("A"));
  TemporaryDirectory dir;
  ProxyProcess proxy(simple(up.port()), {"--config-yaml", "node: {id: from-flag}", "--service-cluster", "sc", "--base-id", std::to_string(getpid()), "--base-id-path", dir.path("base-id")});
  proxy.wait_for_state("LIVE");
  CHECK(*read_file(dir.path("base-id")) == std::to_string(getpid()));
  CHECK(proxy.body("l", "/") == "A");
  const std::string info = proxy.admin("/server_info").body;
  CHECK_THAT(info, Contains("\"id\": \"from-flag\"") && Contains("\"cluster\": \"sc\"") && Contains("\"state\": \"LIVE\""));
}

TEST_CASE("add_user_agent names this node to the upstream; drain_type MODIFY_ONLY keeps connections when the health check fails") {
  FakeUpstream up;
  const std::string with = absl::StrCat("add_user_agent: true\n      ", kToA);
  ProxyProcess proxy(static_bootstrap({static_cluster("a", up.port())}, {listener("l", with), listener("kept", kToA) + "drain_type: MODIFY_ONLY\n"}),
                     {"--service-cluster", "edge", "--service-node", "edge-1"});
  proxy.wait_for_state("LIVE");
  CHECK(proxy.get("l", "/").status == 200);
  CHECK(up.last().header("x-envoy-downstream-service-cluster") == "edge");
  CHECK(up.last().header("x-envoy-downstream-service-node") == "edge-1");
  const auto closes = [&](const std::string& listener) {
    RawSocket client = RawSocket::connect(proxy.port(listener));
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    return client.read_response().header("connection") == "close";
  };
  proxy.admin("/healthcheck/fail", "POST");
  CHECK(closes("l"));
  CHECK_FALSE(closes("kept"));
  proxy.admin("/healthcheck/ok", "POST");
  CHECK_FALSE(closes("l"));
}

TEST_CASE("SIGTERM: readiness fails, the request in flight ends, its response closes the connection, exit code 0") {
  RawServer upstream;
  ProxyProcess proxy(simple(upstream.port()));
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  RawSocket client = RawSocket::connect(port);
  client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  RawSocket peer = upstream.accept();
  peer.read_until("\r\n\r\n");
  proxy.signal(SIGTERM);
  proxy.wait_for_state("DRAINING");
  CHECK(proxy.admin("/ready").status == 503);
  CHECK(proxy.running());
  proxy.admin("/stats");  // a round trip through every worker: all of them know of the drain
  peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
  const RawResponse response = client.read_response();
  CHECK(response.body == "done");
  CHECK(response.header("connection") == "close");
  CHECK(proxy.wait_exit() == 0);
}

TEST_CASE("idle connections do not hold up a drain; --drain-time-s ends one that cannot finish; a second SIGTERM ends it at once") {
  RawServer upstream;
  {
    ProxyProcess proxy(simple(upstream.port()));
    proxy.wait_for_state("LIVE");
    RawSocket idle = RawSocket::connect(proxy.port("l"));
    proxy.signal(SIGTERM);
    CHECK(proxy.wait_exit() == 0);
  }
  for (const bool second : {false, true}) {
    ProxyProcess proxy(simple(upstream.port()), {"--drain-time-s", second ? "600" : "1"});
    proxy.wait_for_state("LIVE");
    RawSocket client = RawSocket::connect(proxy.port("l"));
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    RawSocket peer = upstream.accept();
    peer.read_until("\r\n\r\n");  // never answered
    proxy.signal(SIGTERM);
    proxy.wait_for_state("DRAINING");
    if (second) proxy.signal(SIGTERM);
    CHECK(proxy.wait_exit() == 0);
  }
}

TEST_CASE("admin: shapes and methods as Envoy's") {
  FakeUpstream up(FakeUpstream::named("A"));
  ProxyProcess proxy(simple(up.port()));
  proxy.wait_for_state("LIVE");
  REQUIRE(proxy.body("l", "/") == "A");
  const std::string host = "a::127.0.0.1:" + std::to_string(up.port()) + "::";
  const std::string clusters = proxy.admin("/clusters").body;
  CHECK_THAT(clusters, Contains("a::observability_name::a\n") && Contains("a::default_priority::max_connections::1024\n") && Contains("a::high_priority::max_retries::3\n") &&
                           Contains("a::added_via_api::false\n") && Contains(host + "rq_success::1\n") && Contains(host + "health_flags::healthy\n") &&
                           Contains(host + "weight::1\n") && Contains(host + "priority::0\n"));
  CHECK_THAT(proxy.admin("/clusters?format=json").body, Contains("\"cluster_statuses\"") && Contains("\"host_statuses\"") && Contains("\"port_value\": " + std::to_string(up.port())));
  CHECK_THAT(proxy.admin("/listeners?format=json").body, Contains("\"listener_statuses\"") && Contains("\"local_address\""));
  const std::string dump = proxy.admin("/config_dump").body;
  for (const char* part : {"BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "ScopedRoutesConfigDump", "RoutesConfigDump", "SecretsConfigDump", "static_listeners", "static_route_configs"})
    CHECK_THAT(dump, Contains(part));
  CHECK_THAT(dump, !Contains("EndpointsConfigDump"));
  CHECK_THAT(proxy.admin("/config_dump?include_eds").body, Contains("EndpointsConfigDump"));
  CHECK(proxy.admin("/config_dump?resource=nope").status == 404);
  CHECK(proxy.admin("/config_dump?resource=nope").body == "nope not found in config dump");
  const std::string masked = proxy.admin("/config_dump?resource=static_clusters&mask=cluster.name").body;
  CHECK_THAT(masked, Contains("\"name\": \"a\"") && !Contains("load_assignment"));
  CHECK_THAT(proxy.admin("/config_dump?name_regex=nothing").body, !Contains("static_clusters"));
  CHECK(proxy.stat("cluster.a.upstream_rq_200") == "1");
  CHECK_THAT(proxy.admin("/stats/prometheus").body, Contains("envoy_cluster_upstream_rq_xx{envoy_response_code_class=\"2\",envoy_cluster_name=\"a\"} 1\n"));
  CHECK_THAT(proxy.admin("/stats?format=json&filter=server.live").body, Contains("{\"stats\":[{\"name\":\"server.live\",\"value\":1}]}"));
  CHECK(proxy.admin("/stats?filter=(").status == 400);
  CHECK_THAT(proxy.admin("/memory").body, Contains("\"allocated\"") && Contains("\"total_physical_bytes\""));
  CHECK_THAT(proxy.admin("/certs").body, Contains("\"certificates\": []"));
  CHECK(proxy.admin("/init_dump").body == "{}\n");
  CHECK_THAT(proxy.admin("/runtime").body, Contains("\"layers\"") && Contains("\"entries\""));
  CHECK_THAT(proxy.admin("/help").body, Contains("/drain_listeners (POST)"));
  CHECK(proxy.admin("/nope").status == 404);
  for (const char* path : {"/quitquitquit", "/healthcheck/fail", "/drain_listeners", "/logging", "/reset_counters"}) {
    CHECK(proxy.admin(path).status == 405);
    CHECK(proxy.admin(path).body == "Method GET not allowed, POST required.");
  }
  CHECK_THAT(proxy.admin("/logging?level=debug", "POST").body, Contains("active loggers:") && Contains("  main: debug\n"));
  CHECK(proxy.admin("/healthcheck/fail", "POST").body == "OK\n");
  CHECK(proxy.admin("/ready").body == "DRAINING\n");
  proxy.admin("/stats");
  CHECK(proxy.get("l", "/").header("connection") == "close");
  proxy.admin("/healthcheck/ok", "POST");
  CHECK(proxy.admin("/ready").status == 200);
  CHECK(proxy.admin("/reset_counters", "POST").status == 200);
  CHECK(proxy.stat("cluster.a.upstream_rq_200").empty());
  CHECK(proxy.admin("/quitquitquit", "POST").body == "OK\n");
  CHECK(proxy.wait_exit() == 0);
}

TEST_CASE("/drain_listeners closes the listeners and leaves the process") {
  FakeUpstream up(FakeUpstream::named("A"));
  ProxyProcess proxy(simple(up.port()));
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  RawSocket before = RawSocket::connect(port);
  before.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(before.read_response().body == "A");
  CHECK(proxy.admin("/drain_listeners", "POST").body == "OK\n");
  CHECK_THAT(proxy.admin("/stats").body, Contains("listener"));  // a round trip through every worker
  before.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(before.read_response().header("connection") == "close");
  proxy.admin("/stats");
  CHECK_THROWS_WITH(RawSocket::connect(port), Contains("refused"));
  CHECK(proxy.running());
}

TEST_CASE("/drain_listeners?graceful&skip_exit goes on accepting, and ends connections by chance that grows over the drain time, or at once") {
  FakeUpstream up(FakeUpstream::named("A"));
  const auto ends = [](RawSocket& client) {
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    return client.read_response().header("connection") == "close";
  };
  for (const auto& [arguments, soon] : {std::pair(std::vector<std::string>{}, false), std::pair(std::vector<std::string>{"--drain-strategy", "immediate"}, true),
                                        std::pair(std::vector<std::string>{"--drain-time-s", "1"}, true)}) {
    ProxyProcess proxy(simple(up.port()), arguments);
    proxy.wait_for_state("LIVE");
    RawSocket client = RawSocket::connect(proxy.port("l"));
    CHECK_FALSE(ends(client));
    CHECK(proxy.admin("/drain_listeners?graceful&skip_exit", "POST").body == "OK\n");
    proxy.admin("/stats");  // a round trip through every worker
    if (!soon) {  // of 600 s
      for (int i = 0; i < 20; ++i) CHECK_FALSE(ends(client));
      continue;
    }
    while (!ends(client)) usleep(10'000);
    RawSocket late = RawSocket::connect(proxy.port("l"));
    while (!ends(late)) usleep(10'000);
    CHECK(late.closed_by_peer());
  }
}

TEST_CASE("files as the source: moves into place are taken, broken content keeps the last good, cluster and route change in one epoch") {
  FakeUpstream a(FakeUpstream::named("A")), b(FakeUpstream::named("B"));
  TemporaryDirectory dir;
  auto put = [&](const std::string& name, const std::string& content) {
    dir.write("new", content);
    std::rename(dir.path("new").c_str(), dir.path(name).c_str());
  };
  auto response = [](const std::string& type, const std::string& yaml) {
    return "version_info: x\nresources:\n" + item("\"@type\": type.googleapis.com/" + type + "\n" + yaml, 0);
  };
  const std::string source = ", config_source: {path_config_source: {path: " + dir.path("rds.yaml") + "}, resource_api_version: V3}}";
  put("cds.yaml", response("envoy.config.cluster.v3.Cluster", static_cluster("a", a.port())));
  put("rds.yaml", response("envoy.config.route.v3.RouteConfiguration", routes("r", "a")));
  put("lds.yaml", response("envoy.config.listener.v3.Listener", listener("l", "rds: {route_config_name: r" + source)));
  ProxyProcess proxy("node: {id: n, cluster: c}\ndynamic_resources:\n  cds_config: {path_config_source: {path: " + dir.path("cds.yaml") + "}}\n  lds_config: {path_config_source: {path: " +
                     dir.path("lds.yaml") + "}}\n");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.body("l", "/") == "A");
  put("rds.yaml", "version_info: [");
  proxy.wait_for_stat("cluster_manager.cds.update_success", "1");
  CHECK(proxy.body("l", "/") == "A");
  put("rds.yaml", response("envoy.config.route.v3.RouteConfiguration", routes("r", "b")));
  CHECK(proxy.body("l", "/") == "A");
  put("cds.yaml", response("envoy.config.cluster.v3.Cluster", static_cluster("b", b.port())));
  proxy.wait_for_body("l", "/", "B");
  CHECK_THAT(proxy.log(), Contains("rds.yaml:"));
}

TEST_CASE("an emptied or broken file of listeners keeps what is served; a file that is read again without a change is no update") {
  TemporaryDirectory dir;
  auto put = [&](const std::string& name, const std::string& content) {
    dir.write("new", content);
    std::rename(dir.path("new").c_str(), dir.path(name).c_str());
  };
  const std::string direct = "route_config: {name: x, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]}";
  put("lds.yaml", "version_info: x\nresources:\n" + item("\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n" + listener("l", direct), 0));
  ProxyProcess proxy("node: {id: node-1, cluster: edge}\ndynamic_resources:\n  lds_config: {path_config_source: {path: " + dir.path("lds.yaml") + "}}\n");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.body("l", "/") == "ok");
  int failures = 0;
  for (const std::string content : {"", "# nothing\n", "[]", "version_info: ["}) {
    put("lds.yaml", content);
    proxy.wait_for_stat("listener_manager.lds.update_failure", std::to_string(++failures));
    CHECK(proxy.body("l", "/") == "ok");
  }
  put("other.yaml", "a move that concerns nobody");
  put("lds.yaml", "version_info: {");
  proxy.wait_for_stat("listener_manager.lds.update_failure", std::to_string(++failures));
  CHECK(proxy.stat("listener_manager.lds.update_success") == "1");
  put("lds.yaml", "version_info: none\n");  // this says that there are none
  proxy.wait_for_stat("listener_manager.total_listeners_active", "0");
}

TEST_CASE("files that are broken, absent or lack a name at the start do not hold the proxy up, and are taken up when they are good") {
  FakeUpstream up(FakeUpstream::named("A"));
  for (const std::string what : {"lds.yaml", "cds.yaml", "eds.yaml", "rds.yaml"}) {
    for (const std::string content : {"version_info: [", "absent", "version_info: none\n"}) {
      if (content == "absent" && (what == "lds.yaml" || what == "cds.yaml")) continue;  // the bootstrap must name files that exist
      INFO(what << " " << content);
      TemporaryDirectory dir;
      auto put = [&](const std::string& name, const std::string& text) {
        dir.write("new", text);
        std::rename(dir.path("new").c_str(), dir.path(name).c_str());
      };
      auto source = [&](const std::string& name) { return "{path_config_source: {path: " + dir.path(name) + "}, resource_api_version: V3}"; };
      auto fill = [&](const std::string& but) {
        auto response = [](const std::string& type, const std::string& yaml) { return "resources:\n" + item("\"@type\": type.googleapis.com/envoy.config." + type + "\n" + yaml, 0); };
        if (but != "cds.yaml") put("cds.yaml", response("cluster.v3.Cluster", "name: a\ntype: EDS\nconnect_timeout: 1s\neds_cluster_config: {eds_config: " + source("eds.yaml") + "}\n"));
        if (but != "eds.yaml") put("eds.yaml", response("endpoint.v3.ClusterLoadAssignment", endpoints("a", up.port())));
        if (but != "rds.yaml") put("rds.yaml", response("route.v3.RouteConfiguration", routes("r", "a")));
        if (but != "lds.yaml") put("lds.yaml", response("listener.v3.Listener", listener("l", "rds: {route_config_name: r, config_source: " + source("rds.yaml") + "}")));
      };
      fill(what);
      if (content != "absent") put(what, content);
      ProxyProcess proxy("node: {id: node-1, cluster: edge}\ndynamic_resources:\n  cds_config: " + source("cds.yaml") + "\n  lds_config: " + source("lds.yaml") + "\n");
      if (what != "cds.yaml") proxy.wait_for_state("LIVE");  // within 10 s; a route to a cluster that nobody knows waits 15 s
      fill("");
      proxy.wait_for_body("l", "/", "A");
    }
  }
}

}  // namespace
}  // namespace fairlead::testing::process_test
