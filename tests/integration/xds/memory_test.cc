// What one more idle thing costs: allocated bytes of the process (not resident pages, which depend on the allocator's history), as the
// difference between few and many. The bars leave room for malloc's own bookkeeping and none for a table per cluster and worker.
#include <catch2/catch.hpp>
#include <functional>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/http2_client.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

#ifndef __SANITIZE_ADDRESS__  // whose allocator is not the one that the proxy's /memory asks

namespace fairlead::testing::memory_test {
namespace {

const std::string kDirect = "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: ok}}}]}]}";

// `make(n)`: a bootstrap with n of them.
double bytes_each(const std::function<std::string(int)>& make) {
  constexpr int kFew = 100, kMany = 1100;
  const auto at_rest = [&](int n) {
    ProxyProcess proxy(make(n));
    proxy.wait_for_state("LIVE");
    return proxy.allocated();
  };
  return (at_rest(kMany) - at_rest(kFew)) / (kMany - kFew);
}

TEST_CASE("an idle cluster costs at most 8 KB, whatever the number of workers") {
  const double bytes = bytes_each([](int n) {
    std::vector<std::string> clusters;
    for (int i = 0; i < n; ++i) clusters.push_back(static_cluster("outbound|8080||service-" + std::to_string(i) + ".default.svc", 9));
    return static_bootstrap(clusters, {});
  });
  WARN("bytes of an idle cluster with two workers: " << bytes);
  CHECK(bytes > 500);
  CHECK(bytes <= 8000);
}

TEST_CASE("an idle listener with a route table of its own costs at most 12 KB") {
  const double bytes = bytes_each([](int n) {
    std::vector<std::string> listeners;
    for (int i = 0; i < n; ++i) listeners.push_back(listener("ingress-" + std::to_string(i), kDirect));
    return static_bootstrap({}, listeners);
  });
  WARN("bytes of an idle listener with two workers: " << bytes);
  CHECK(bytes > 500);
  CHECK(bytes <= 12000);
}

TEST_CASE("an idle connection that has had a request costs at most 2 KB") {
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kDirect)}));
  proxy.wait_for_state("LIVE");
  const uint16_t port = proxy.port("l");
  std::vector<RawSocket> open;
  const auto more = [&](int n) {
    for (int i = 0; i < n; ++i) {
      open.push_back(RawSocket::connect(port));
      open.back().send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
      REQUIRE(open.back().read_response().status == 200);
    }
    return proxy.allocated();
  };
  const double few = more(50);
  const double bytes = (more(400) - few) / 400;
  WARN("bytes of an idle HTTP/1 connection: " << bytes);
  CHECK(bytes > 100);
  CHECK(bytes <= 2000);
}

TEST_CASE("an HTTP/2 request that waits for its answer costs at most a third of what it costs Envoy") {
  constexpr double kEnvoy = 19300;  // Envoy 1.40 in `bench/run memory`, both sides of the request included as here
  FakeUpstream upstream([](const UpstreamRequest&) { return UpstreamReply{.never = true}; }, true);
  const std::string http2 = R"(typed_extension_protocol_options:
  envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
    "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
    explicit_http_config: {http2_protocol_options: {}})";
  ProxyProcess proxy(static_bootstrap({static_cluster("up", upstream.port(), http2)},
                                      {listener("l", "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: up}}]}]}")}));
  proxy.wait_for_state("LIVE");
  Http2Client client(proxy.port("l"));
  size_t sent = 0;
  const auto more = [&](size_t n) {
    for (size_t i = 0; i < n; ++i) client.start("GET", "/");
    REQUIRE(upstream.wait_for(sent += n));
    return proxy.allocated();
  };
  const double few = more(100);
  const double bytes = (more(800) - few) / 800;
  WARN("bytes of an HTTP/2 request that waits: " << bytes);
  CHECK(bytes > 1000);
  CHECK(bytes <= kEnvoy / 3);
}

}  // namespace
}  // namespace fairlead::testing::memory_test

#endif
