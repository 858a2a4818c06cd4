// The runtime key that leaves the records of TLS to OpenSSL reaches the switch from every kind of layer. What a connection holds tells who has its
// records: OpenSSL's SSL is some 14 KB, ours 2, or 7 while its ciphers have their keys.
#include <algorithm>
#include <catch2/catch.hpp>
#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/integration/support/tls_client.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

#ifndef __SANITIZE_ADDRESS__  // whose allocator is not the one that the proxy's /memory asks

namespace fairlead::testing::tls_own_records_test {
namespace {

const char* const kDirect = "route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]}";

std::string in_line(const std::string& text) { return absl::StrCat("{inline_string: \"", absl::StrReplaceAll(text, {{"\n", "\\n"}}), "\"}"); }
std::string tls_listener() {
  const test::MadeCertificate made = test::Authority().issue("server", "DNS:example.test");
  return absl::StrCat(listener("l", kDirect), "  transport_socket: {name: tls, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {",
                      "tls_certificates: [{certificate_chain: ", in_line(made.chain), ", private_key: ", in_line(made.key), "}]}}}\n");
}

// Connections of which each has had a request and stays open.
class Crowd {
 public:
  explicit Crowd(const ProxyProcess& proxy) : proxy_(proxy), port_(proxy.port("l")) {}
  double bytes_each() {
    constexpr int kMore = 50;
    grow(20);  // both workers have what they keep once
    const double before = proxy_.allocated();
    grow(kMore);
    return (proxy_.allocated() - before) / kMore;
  }
  bool all_go_on() {
    return std::all_of(clients_.begin(), clients_.end(), [](TlsClient& client) { return client.get("/") == 200; });
  }

 private:
  void grow(int more) {
    for (int i = 0; i < more; ++i) REQUIRE(clients_.emplace_back(port_).get("/") == 200);
  }

  const ProxyProcess& proxy_;
  const uint16_t port_;
  std::deque<TlsClient> clients_;
};
constexpr double kOurs = 9'000, kOpenSsls = 12'000;

}  // namespace

TEST_CASE("records are our own unless the runtime says otherwise, which a static layer does from the start") {
  const bool otherwise = GENERATE(false, true);
  const std::string runtime = otherwise ? "layered_runtime: {layers: [{name: base, static_layer: {fairlead.tls_own_records: false}}]}\n" : "";
  ProxyProcess proxy(static_bootstrap({}, {tls_listener()}) + runtime);
  proxy.wait_for_state("LIVE");
  Crowd crowd(proxy);
  const double bytes = crowd.bytes_each();
  CHECK((otherwise ? bytes > kOpenSsls : bytes < kOurs));
}

TEST_CASE("fairlead.tls_own_records: a discovered layer and /runtime_modify count for connections that come after them") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true) +
                     "layered_runtime: {layers: [{name: base, static_layer: {fairlead.tls_own_records: false}}, {name: found, rtds_layer: {name: one, rtds_config: {ads: {}, resource_api_version: V3}}}, "
                     "{name: admin, admin_layer: {}}]}\n");
  const auto discovered = [&](const std::string& version, const std::string& values) {
    ads.send_delta("rtds", version, {{version, absl::StrCat("name: one\nlayer: {", values, "}\n")}});
    CHECK_FALSE(ads.next_delta("rtds").has_error_detail());
  };
  ads.next_delta("rtds");
  discovered("1", "other: 1");
  ads.next_delta("cds");
  ads.send_delta("cds", "c", {});
  ads.next_delta("lds");
  ads.send_delta("lds", "l", {{"1", tls_listener()}});
  proxy.wait_for_state("LIVE");
  Crowd crowd(proxy);
  CHECK(crowd.bytes_each() > kOpenSsls);
  discovered("2", "fairlead.tls_own_records: true");
  CHECK(crowd.bytes_each() < kOurs);
  CHECK(proxy.admin("/runtime_modify?fairlead.tls_own_records=false", "POST").status == 200);
  CHECK(crowd.bytes_each() > kOpenSsls);
  CHECK(proxy.admin("/runtime_modify?fairlead.tls_own_records=", "POST").status == 200);
  CHECK(crowd.bytes_each() < kOurs);
  ads.send_delta("rtds", "3", {}, {"one"});
  CHECK_FALSE(ads.next_delta("rtds").has_error_detail());
  CHECK(crowd.bytes_each() > kOpenSsls);
  CHECK(crowd.all_go_on());
}

}  // namespace fairlead::testing::tls_own_records_test

#endif
