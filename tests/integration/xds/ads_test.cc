// The proxy driven over ADS by a scripted management server.
#include <signal.h>

#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing {
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
  ads.send("cds", "2", "c2", {eds_cluster("a") + "lb_policy: MAGLEV\n"});
  const auto nack = ads.next("cds");
  CHECK(nack.version_info() == "1");
  CHECK(nack.response_nonce() == "c2");
  CHECK_THAT(nack.error_detail().message(), Contains("cluster 'a'") && Contains("lb_policy") && Contains("MAGLEV"));
  CHECK(proxy.body("l", "/") == "A");
  CHECK(proxy.stat("cluster_manager.cds.update_rejected") == "1");
  const std::string dump = proxy.admin("/config_dump?resource=dynamic_active_clusters").body;
  CHECK_THAT(dump, Contains("\"error_state\"") && Contains("\"failed_configuration\"") && Contains("MAGLEV"));
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

  ads.send_delta("cds", "n5", {{"9", eds_cluster("b") + "lb_policy: MAGLEV\n"}});
  const auto nack = ads.next_delta("cds");
  CHECK(nack.response_nonce() == "n5");
  CHECK_THAT(nack.error_detail().message(), Contains("cluster 'b'") && Contains("MAGLEV"));

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
  held.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");  // the old connection drains: one more answer, then the end
  CHECK(held.read_response().header("connection") == "close");
  ads.send("lds", "3", "l3", {});
  ads.next("lds");
  proxy.wait_for_stat("listener_manager.total_listeners_active", "0");
  CHECK_THROWS(RawSocket::connect(port).read_until("x"));
}

}  // namespace
}  // namespace fairlead::testing
