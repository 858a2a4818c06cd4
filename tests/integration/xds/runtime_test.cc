// The runtime of a running proxy: the admin endpoint turns a fraction of a route, for requests on connections that are open already.
#include <catch2/catch.hpp>

#include "tests/integration/support/raw_socket.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::runtime_test {
namespace {

using Catch::Matchers::Contains;

const char* const kRoutes =
    "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /, runtime_fraction: {default_value: {numerator: 0}, runtime_key: share}}, direct_response: {status: 200, body: {inline_string: chosen}}}, "
    "{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: other}}}]}]}";

std::string answer(RawSocket& client) {
  client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  return client.read_response().body;
}

}  // namespace

TEST_CASE("what is posted to /runtime_modify counts from the next snapshot on, and is taken back by an empty value") {
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kRoutes)}) + "\nlayered_runtime: {layers: [{name: base, static_layer: {share: 0, other: 1}}, {name: admin, admin_layer: {}}]}\n");
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  CHECK(answer(client) == "other");
  CHECK(proxy.admin("/runtime_modify?share=100").status == 405);
  CHECK(proxy.admin("/runtime_modify", "POST").status == 400);
  CHECK(proxy.admin("/runtime_modify?share=100", "POST").body == "OK\n");
  proxy.wait_for_body("l", "/", "chosen");
  CHECK(answer(client) == "chosen");
  CHECK(proxy.stat("runtime.admin_overrides_active") == "1");
  CHECK(proxy.stat("runtime.num_keys") == "2");
  CHECK_THAT(proxy.admin("/runtime").body, Contains("\"final_value\": \"100\""));
  CHECK(proxy.admin("/runtime_modify?share=", "POST").status == 200);
  proxy.wait_for_body("l", "/", "other");
  CHECK(answer(client) == "other");
}

namespace {

std::string runtime(const std::string& name, const std::string& values) { return absl::StrCat("name: ", name, "\nlayer: {", values, "}\n"); }
const char* const kOverHttp2 =
    "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, "
    "explicit_http_config: {http2_protocol_options: {}}}}\n";
const char* const kAds = "{ads: {}, resource_api_version: V3}";
std::string layered(const std::string& first, const std::string& second = "") {
  return absl::StrCat("layered_runtime: {layers: [{name: base, static_layer: {share: 0, other: 1}}, {name: found, rtds_layer: {name: one, rtds_config: ", first, "}}",
                      second.empty() ? "" : absl::StrCat(", {name: more, rtds_layer: {name: two, rtds_config: ", second, "}}"), "]}\n");
}

}  // namespace

TEST_CASE("discovered layers of the runtime come before clusters, change what live connections get, and are taken back") {
  const bool delta = GENERATE(false, true);
  CAPTURE(delta);
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), delta) + layered(kAds));
  const auto send = [&](const std::string& version, const std::string& values) {
    delta ? ads.send_delta("rtds", version, {{version, runtime("one", values)}}) : ads.send("rtds", version, version, {runtime("one", values)});
  };
  const auto refused = [&] { return delta ? ads.next_delta("rtds").has_error_detail() : ads.next("rtds").has_error_detail(); };
  CHECK_FALSE(refused());  // the wish
  CHECK(ads.none("cds"));
  CHECK(proxy.admin("/ready").body == "PRE_INITIALIZING\n");
  send("1", "share: 100");
  CHECK_FALSE(refused());
  if (delta) {
    ads.next_delta("cds");
    ads.send_delta("cds", "c", {});
    ads.next_delta("lds");
    ads.send_delta("lds", "l", {{"1", listener("l", kRoutes)}});
  } else {
    ads.next("cds");
    ads.send("cds", "1", "c", {});
    ads.next("lds");
    ads.send("lds", "1", "l", {listener("l", kRoutes)});
  }
  proxy.wait_for_state("LIVE");
  RawSocket client = RawSocket::connect(proxy.port("l"));
  CHECK(answer(client) == "chosen");
  CHECK_THAT(proxy.admin("/runtime").body, Contains("\"found\""));
  send("2", "share: 0, fresh: yes please");
  CHECK_FALSE(refused());
  proxy.wait_for_body("l", "/", "other");
  CHECK(answer(client) == "other");
  CHECK_THAT(proxy.admin("/runtime").body, Contains("yes please"));
  send("3", "share: [1]");
  CHECK(refused());
  CHECK_THAT(proxy.admin("/runtime").body, Contains("yes please"));
  proxy.wait_for_stat("runtime.update_rejected", "1");
  CHECK(proxy.stat("runtime.update_success") == "2");
  if (!delta) return;
  send("4", "share: 100");
  CHECK_FALSE(refused());
  proxy.wait_for_body("l", "/", "chosen");
  ads.send_delta("rtds", "5", {}, {"one"});
  CHECK_FALSE(refused());
  proxy.wait_for_body("l", "/", "other");
}

TEST_CASE("layers may have streams of their own; a server that does not answer holds up the start for its timeout alone") {
  FakeAds ads, other;
  const std::string own = absl::StrCat("{resource_api_version: V3, initial_fetch_timeout: 0.2s, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: other}}]}}");
  ProxyProcess proxy(ads_bootstrap(ads.port(), false, "15s", item(static_cluster("other", other.port(), kOverHttp2), 2)) + layered(own, own));
  const auto first = other.next("rtds");
  REQUIRE(first.resource_names_size() == 2);
  other.send("rtds", "1", "n", {runtime("two", "other: 2")});
  CHECK_FALSE(other.next("rtds").has_error_detail());
  ads.next("cds");  // once the time of the first is up
  proxy.wait_for_stat("runtime.init_fetch_timeout", "1");
  CHECK_THAT(proxy.admin("/runtime").body, Contains("\"final_value\": \"2\""));
  other.send("rtds", "2", "m", {runtime("one", "other: 3, late: 1"), runtime("two", "other: 4")});
  CHECK_FALSE(other.next("rtds").has_error_detail());
  CHECK_THAT(proxy.admin("/runtime").body, Contains("\"final_value\": \"4\"") && Contains("late"));
}

TEST_CASE("a runtime without an admin layer is not modified") {
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kRoutes)}));
  proxy.wait_for_state("LIVE");
  const RawResponse refused = proxy.admin("/runtime_modify?share=100", "POST");
  CHECK(refused.status == 503);
  CHECK(refused.body == "No admin layer specified");
}

}  // namespace fairlead::testing::runtime_test
