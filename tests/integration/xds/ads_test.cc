// The proxy driven over ADS by a scripted management server.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::ads_test {
namespace {

using Catch::Matchers::Contains;

// Everything for listener l → table r → EDS cluster `cluster`, all answered and acknowledged.
void serve_sotw(FakeAds& ads, const std::string& cluster, uint16_t port) {
  ads.send("cds", "1", "c1", {eds_cluster(cluster)});
  REQUIRE(ads.next("cds").response_nonce() == "c1");
  ads.next("eds");
  ads.send("eds", "1", "e1", {endpoints(cluster, port)});
  REQUIRE(ads.next("eds").response_nonce() == "e1");
  ads.next("lds");
  ads.send("lds", "1", "l1", {rds_listener("l", "r")});
  REQUIRE(ads.next("lds").response_nonce() == "l1");
  ads.next("rds");
  ads.send("rds", "1", "r1", {routes("r", cluster)});
  REQUIRE(ads.next("rds").response_nonce() == "r1");
}

TEST_CASE("SotW: CDS, EDS, LDS, RDS in order; each answered with its version and nonce; traffic follows") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  const auto first = ads.next("cds");
  CHECK(first.node().id() == "node-1");
  CHECK(first.node().user_agent_name() == "fairlead-proxy");
  CHECK(first.version_info().empty());
  CHECK(first.response_nonce().empty());
  CHECK(ads.none("lds"));  // listeners come after the clusters
  CHECK(proxy.admin("/ready").status == 503);
  ads.send("cds", "1", "c1", {eds_cluster("a")});
  const auto ack = ads.next("cds");
  CHECK(ack.version_info() == "1");
  CHECK(ack.response_nonce() == "c1");
  CHECK_FALSE(ack.has_error_detail());
  CHECK_FALSE(ack.has_node());  // only in the first message
  const auto eds = ads.next("eds");
  REQUIRE(eds.resource_names_size() == 1);
  CHECK(eds.resource_names(0) == "a");
  ads.send("eds", "1", "e1", {endpoints("a", up.port())});
  ads.next("eds");
  ads.next("lds");
  ads.send("lds", "1", "l1", {rds_listener("l", "r")});
  ads.next("lds");
  CHECK(ads.next("rds").resource_names(0) == "r");
  CHECK(proxy.admin("/listeners").body.empty());  // not before its routes are there
  ads.send("rds", "1", "r1", {routes("r", "a")});
  CHECK(ads.next("rds").version_info() == "1");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.body("l", "/") == "A");
  CHECK(proxy.stat("control_plane.connected_state") == "1");
  CHECK(proxy.stat("cluster_manager.cds.update_success") == "1");
}

TEST_CASE("SotW: a refused update names resource, field, rule and value; the last good keeps serving and shows its error") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  serve_sotw(ads, "a", up.port());
  proxy.wait_for_state("LIVE");
  ads.send("cds", "2", "c2", {eds_cluster("a") + "lb_policy: CLUSTER_PROVIDED\n"});
  const auto nack = ads.next("cds");
  CHECK(nack.version_info() == "1");
  CHECK(nack.response_nonce() == "c2");
  CHECK_THAT(nack.error_detail().message(), Contains("cluster 'a'") && Contains("lb_policy") && Contains("CLUSTER_PROVIDED"));
  CHECK(proxy.body("l", "/") == "A");
  CHECK(proxy.stat("cluster_manager.cds.update_rejected") == "1");
  const std::string dump = proxy.admin("/config_dump?resource=dynamic_active_clusters").body;
  CHECK_THAT(dump, Contains("\"error_state\"") && Contains("\"failed_configuration\"") && Contains("CLUSTER_PROVIDED"));
  ads.send("cds", "3", "c3", {eds_cluster("a")});
  CHECK(ads.next("cds").version_info() == "3");
  CHECK_THAT(proxy.admin("/config_dump?resource=dynamic_active_clusters").body, !Contains("error_state"));
}

TEST_CASE("SotW: make before break whatever the order: RDS names a cluster before CDS has it, and never a 503") {
  FakeUpstream a(FakeUpstream::named("A")), b(FakeUpstream::named("B"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  serve_sotw(ads, "a", a.port());
  proxy.wait_for_state("LIVE");
  ads.send("rds", "2", "r2", {routes("r", "b")});
  ads.next("rds");
  CHECK(proxy.body("l", "/") == "A");
  ads.send("cds", "2", "c2", {eds_cluster("b")});  // a is gone as well
  ads.next("cds");
  const auto eds = ads.next("eds");
  CHECK(eds.resource_names_size() == 1);
  CHECK(eds.resource_names(0) == "b");
  CHECK(proxy.body("l", "/") == "A");
  ads.send("eds", "2", "e2", {endpoints("b", b.port())});
  ads.next("eds");
  proxy.wait_for_body("l", "/", "B");
  CHECK_THAT(proxy.admin("/clusters").body, !Contains("a::"));
}

TEST_CASE("SotW: the control plane goes away: the proxy keeps serving, comes back with its versions, and takes new configuration") {
  FakeUpstream a(FakeUpstream::named("A")), b(FakeUpstream::named("B"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  serve_sotw(ads, "a", a.port());
  proxy.wait_for_state("LIVE");
  ads.stop();
  proxy.wait_for_stat("control_plane.connected_state", "0");
  CHECK(proxy.body("l", "/") == "A");
  CHECK(proxy.admin("/ready").status == 200);
  ads.start();
  const auto again = ads.next("cds");
  CHECK(again.version_info() == "1");
  CHECK(again.response_nonce().empty());
  CHECK(again.node().id() == "node-1");
  CHECK(ads.next("rds").version_info() == "1");
  ads.next("eds");
  ads.send("eds", "2", "e2", {endpoints("a", b.port())});
  ads.next("eds");
  proxy.wait_for_body("l", "/", "B");
}

TEST_CASE("a control plane that is down at start: bounded wait, live with what is static, and taken up when it comes") {
  FakeUpstream up(FakeUpstream::named("A"));
  const uint16_t port = unused_port();
  ProxyProcess proxy(ads_bootstrap(port, true, "0.3s"));
  proxy.wait_for_state("LIVE");
  CHECK(proxy.stat("control_plane.connected_state") == "0");
  CHECK(proxy.stat("cluster_manager.cds.init_fetch_timeout") == "1");
  FakeAds ads(port);
  ads.next_delta("cds");
  ads.send_delta("cds", "1", {{"1", static_cluster("a", up.port())}});
  ads.next_delta("lds");
  ads.send_delta("lds", "2", {{"1", rds_listener("l", "r")}});
  ads.next_delta("rds");
  ads.send_delta("rds", "3", {{"1", routes("r", "a")}});
  proxy.wait_for_body("l", "/", "A");
}

TEST_CASE("delta: subscriptions as differences, NACK of one resource, initial_resource_versions after a reconnect") {
  FakeUpstream a(FakeUpstream::named("A")), b(FakeUpstream::named("B"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  const auto first = ads.next_delta("cds");
  CHECK(first.resource_names_subscribe_size() == 0);  // wildcard
  CHECK(first.initial_resource_versions_size() == 0);
  ads.send_delta("cds", "n1", {{"7", eds_cluster("a")}, {"8", eds_cluster("b")}});
  CHECK(ads.next_delta("cds").response_nonce() == "n1");
  const auto eds = ads.next_delta("eds");
  CHECK(eds.resource_names_subscribe_size() == 2);
  ads.send_delta("eds", "n2", {{"1", endpoints("a", a.port())}, {"1", endpoints("b", b.port())}});
  ads.next_delta("eds");
  ads.next_delta("lds");
  ads.send_delta("lds", "n3", {{"1", rds_listener("l", "r")}});
  ads.next_delta("lds");
  ads.next_delta("rds");
  ads.send_delta("rds", "n4", {{"1", routes("r", "a")}});
  ads.next_delta("rds");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.body("l", "/") == "A");

  ads.send_delta("cds", "n5", {{"9", eds_cluster("b") + "lb_policy: CLUSTER_PROVIDED\n"}});
  const auto nack = ads.next_delta("cds");
  CHECK(nack.response_nonce() == "n5");
  CHECK_THAT(nack.error_detail().message(), Contains("cluster 'b'") && Contains("CLUSTER_PROVIDED"));

  ads.send_delta("rds", "n6", {{"2", routes("r", "b")}});
  ads.next_delta("rds");
  proxy.wait_for_body("l", "/", "B");
  ads.send_delta("cds", "n7", {}, {"a"});
  ads.next_delta("cds");
  const auto less = ads.next_delta("eds");
  REQUIRE(less.resource_names_unsubscribe_size() == 1);
  CHECK(less.resource_names_unsubscribe(0) == "a");

  ads.stop();
  proxy.wait_for_stat("control_plane.connected_state", "0");
  ads.start();
  const auto again = ads.next_delta("cds");
  REQUIRE(again.initial_resource_versions_size() == 1);
  CHECK(again.initial_resource_versions().at("b") == "8");  // what was refused is not claimed
  CHECK(ads.next_delta("rds").initial_resource_versions().at("r") == "2");
  CHECK(proxy.body("l", "/") == "B");
}

TEST_CASE("a malformed response breaks the stream, not the proxy") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  serve_sotw(ads, "a", up.port());
  proxy.wait_for_state("LIVE");
  FakeAds::Response bad;
  bad.set_type_url("type.googleapis.com/envoy.config.cluster.v3.Cluster");
  bad.set_version_info("2");
  bad.set_nonce("bad");
  auto* any = bad.add_resources();
  any->set_type_url(bad.type_url());
  any->set_value("\xff\xff\xff\xff");
  ads.send_raw(bad);
  const auto nack = ads.next("cds");
  CHECK(nack.version_info() == "1");
  CHECK_THAT(nack.error_detail().message(), Contains("resources[0]") && Contains("not a valid"));
  CHECK(proxy.body("l", "/") == "A");
}

TEST_CASE("LDS: an address in use refuses that listener and names it; an update with the same address keeps the socket; removal closes it") {
  FakeUpstream up(FakeUpstream::named("A"));
  RawServer taken;
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  ads.send("cds", "1", "c1", {static_cluster("a", up.port())});
  ads.next("cds");
  ads.next("lds");
  const std::string inline_routes = "route_config: {name: x, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: a}}]}]}";
  ads.send("lds", "1", "l1", {listener("good", inline_routes), listener("busy", inline_routes, taken.port())});
  const auto nack = ads.next("lds");
  CHECK_THAT(nack.error_detail().message(), Contains("listener 'busy'") && Contains(std::to_string(taken.port())));
  CHECK(nack.version_info().empty());
  CHECK(proxy.body("good", "/") == "A");
  const uint16_t port = proxy.port("good");
  const std::string direct = "route_config: {name: x, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: new}}}]}]}";
  RawSocket held = RawSocket::connect(port);
  held.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  CHECK(held.read_response().body == "A");
  ads.send("lds", "2", "l2", {listener("good", direct)});
  CHECK_FALSE(ads.next("lds").has_error_detail());
  proxy.wait_for_body("good", "/", "new");
  CHECK(proxy.port("good") == port);
  held.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");  // the old connection goes on with the new routes
  CHECK(held.read_response().body == "new");
  ads.send("lds", "3", "l3", {});
  ads.next("lds");
  proxy.wait_for_stat("listener_manager.total_listeners_active", "0");
  CHECK_THROWS(RawSocket::connect(port).read_until("x"));
}

TEST_CASE("a stream per type, in both protocols, without ADS") {
  FakeUpstream up(FakeUpstream::named("A"));
  for (const bool delta : {false, true}) {
    FakeAds ads;
    const std::string source = absl::StrCat("{resource_api_version: V3, api_config_source: {api_type: ", delta ? "DELTA_GRPC" : "GRPC",
                                            ", transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}}");
    std::string boot = ads_bootstrap(ads.port(), delta);
    const size_t from = boot.find("  ads_config:"), to = boot.find("static_resources:");
    boot.replace(from, to - from, "  cds_config: " + source + "\n  lds_config: " + source + "\n");
    ProxyProcess proxy(boot);
    const std::string eds = absl::StrCat("name: a\ntype: EDS\nconnect_timeout: 1s\neds_cluster_config: {eds_config: ", source, "}\n");
    const std::string lds = listener("l", absl::StrCat("rds: {route_config_name: r, config_source: ", source, "}"));
    if (delta) {
      ads.next_delta("cds");
      ads.send_delta("cds", "1", {{"1", eds}});
      CHECK(ads.next_delta("eds").resource_names_subscribe(0) == "a");
      ads.send_delta("eds", "1", {{"1", endpoints("a", up.port())}});
      ads.next_delta("lds");
      ads.send_delta("lds", "1", {{"1", lds}});
      ads.next_delta("rds");
      ads.send_delta("rds", "1", {{"1", routes("r", "a")}});
    } else {
      ads.next("cds");
      ads.send("cds", "1", "1", {eds});
      CHECK(ads.next("eds").resource_names(0) == "a");
      ads.send("eds", "1", "1", {endpoints("a", up.port())});
      ads.next("lds");
      ads.send("lds", "1", "1", {lds});
      ads.next("rds");
      ads.send("rds", "1", "1", {routes("r", "a")});
    }
    proxy.wait_for_state("LIVE");
    CHECK(proxy.body("l", "/") == "A");
    const std::string lead = delta ? "delta-" : "";
    CHECK(ads.methods() == std::vector<std::string>{lead + "cds", lead + "eds", lead + "lds", lead + "rds"});
  }
}

TEST_CASE("ADS over a Unix socket; several endpoints: the next one is tried when one is down") {
  TemporaryDirectory dir;
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads(dir.path("ads.sock"));
  std::string boot = ads_bootstrap(unused_port(), false);
  const size_t end = boot.rfind("}]}]}");
  boot.insert(end + 1, ", {endpoint: {address: {pipe: {path: " + dir.path("ads.sock") + "}}}}");
  ProxyProcess proxy(boot);
  ads.next("cds");  // the first endpoint is down
  ads.send("cds", "1", "c", {static_cluster("a", up.port())});
  ads.next("lds");
  ads.send("lds", "1", "l", {rds_listener("l", "r")});
  ads.next("rds");
  ads.send("rds", "1", "r", {routes("r", "a")});
  proxy.wait_for_state("LIVE");
  CHECK(proxy.body("l", "/") == "A");
}

TEST_CASE("ADS with TLS both ways, from files, whatever the authority; a server of another CA or name is not talked to") {
  TemporaryDirectory dir;
  const std::string script = "cd " + dir.path() + R"( && for ca in ca other; do
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.pem -subj /CN=$ca -days 30; done && for n in cp.test client; do
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $n.key -out $n.csr -subj /CN=$n -addext subjectAltName=DNS:$n &&
openssl x509 -req -in $n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -copy_extensions copy -out $n.pem -days 30; done)";
  REQUIRE(std::system(("(" + script + ") >/dev/null 2>&1").c_str()) == 0);
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads(*read_file(dir.path("cp.test.pem")), *read_file(dir.path("cp.test.key")), *read_file(dir.path("ca.pem")));
  struct Case {
    std::string ca, sni, authority;
    bool accepted;
  };
  for (const Case& c : {Case{"other", "cp.test", "", false}, Case{"ca", "elsewhere.test", "cp.test", false}, Case{"ca", "cp.test", "", true}, Case{"ca", "cp.test", "tenant-7", true}}) {
    CAPTURE(c.ca, c.sni, c.authority);
    std::string boot = ads_bootstrap(ads.port(), false, "0.3s");
    if (!c.authority.empty()) {
      const size_t at = boot.find("cluster_name: ", boot.find("envoy_grpc:"));
      REQUIRE(at != std::string::npos);
      boot.insert(at, "authority: " + c.authority + ", ");
    }
    boot.insert(boot.find("    load_assignment"), "    transport_socket:\n      name: tls\n      typed_config:\n        '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n"
                "        sni: " + c.sni + "\n        common_tls_context:\n          validation_context: {trusted_ca: {filename: " + dir.path(c.ca + ".pem") + "}}\n          tls_certificates: [{certificate_chain: {filename: " +
                dir.path("client.pem") + "}, private_key: {filename: " + dir.path("client.key") + "}}]\n");
    ProxyProcess proxy(boot);
    if (!c.accepted) {
      proxy.wait_for_state("LIVE");  // after its bounded wait
      CHECK(ads.streams() == 0);
      continue;
    }
    ads.next("cds");
    ads.send("cds", "1", "c", {static_cluster("a", up.port())});
    CHECK(ads.next("cds").version_info() == "1");
    proxy.wait_for_stat("cluster_manager.active_clusters", "1");
  }
}

TEST_CASE("one epoch under load: clusters come and go thirty times in every order, and no request fails") {
  FakeUpstream up(FakeUpstream::named("A"));
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  serve_sotw(ads, "c0", up.port());
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, bad{0};
  std::jthread client([&] {
    try {
      RawSocket socket = RawSocket::connect(port);
      while (!stop) {
        socket.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
        socket.read_response().status == 200 ? ++good : ++bad;
      }
    } catch (const std::exception&) {
      ++bad;
    }
  });
  struct Stop {  // also when a wait below throws
    std::atomic<bool>& flag;
    ~Stop() { flag = true; }
  } stop_at_end{stop};
  std::vector<int> order = {0, 1, 2};
  for (int round = 1; round <= 30; ++round) {
    const std::string name = "c" + std::to_string(round), version = std::to_string(round + 1);
    for (const int step : order) {
      if (step == 0) ads.send("cds", version, "c" + version, {eds_cluster(name)});  // the one before is gone
      if (step == 1) ads.send("rds", version, "r" + version, {routes("r", name)});
      if (step == 2) ads.send("eds", version, "e" + version, {endpoints(name, up.port())});  // maybe before it was asked for
    }
    // the server answers the subscription that follows the cluster, as any does
    FakeAds::Request request;
    do {
      request = ads.next("eds");
    } while (request.resource_names_size() != 1 || request.resource_names(0) != name);
    ads.send("eds", version, "f" + version, {endpoints(name, up.port())});
    proxy.wait_for_stat("cluster." + name + ".membership_total", "1");
    std::next_permutation(order.begin(), order.end());
  }
  stop = true;
  client.join();
  CHECK(bad == 0);
  CHECK(good > 30);
  CHECK(proxy.stat("cluster_manager.active_clusters") == "1");
}

}  // namespace
}  // namespace fairlead::testing::ads_test
