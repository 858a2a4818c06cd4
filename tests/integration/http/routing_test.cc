// Requests through a whole proxy: which upstream they reach, as what, and what the proxy answers itself.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

using namespace fairlead::testing;

namespace {
const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";
}

TEST_CASE("a request reaches the upstream and its answer the client") {
  FakeUpstream up([](const UpstreamRequest&) { return UpstreamReply{.body = "hello", .headers = {{"x-from", "up"}}}; });
  TestProxy proxy(listener_yaml(kToUp), {cluster_yaml("up", {up.port()})});
  const RawResponse r = proxy.get("/path?q=1", "X-Custom: a\r\n");
  CHECK(r.status == 200);
  CHECK(r.body == "hello");
  CHECK(r.header("x-from") == "up");
  CHECK(r.header("server") == "envoy");
  CHECK(r.has("date"));
  CHECK(r.has("x-envoy-upstream-service-time"));
  const UpstreamRequest seen = up.last();
  CHECK(seen.method == "GET");
  CHECK(seen.path == "/path?q=1");
  CHECK(seen.host == "test");
  CHECK(seen.header("x-custom") == "a");
  CHECK(seen.header("x-forwarded-proto") == "http");
  CHECK(seen.header("x-request-id").size() == 36);
  CHECK(seen.header("x-envoy-expected-rq-timeout-ms") == "15000");
  CHECK(proxy.access_log(1) == std::vector<std::string>{"200 - via_upstream"});
}
