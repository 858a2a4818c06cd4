// Where the client's address comes from when extensions find it: what upstream and access log see, and who is refused.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace client_address_test {

using namespace fairlead::testing;

namespace {

std::string detecting(const std::string& type, const std::string& fields) {
  return "original_ip_detection_extensions: [{name: e, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.original_ip_detection." + type + ", " + fields + "}}]\n";
}

const std::string kRoutes = "- match: {prefix: /}\n  request_headers_to_add: [{header: {key: x-client, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}]\n  route: {cluster: up}\n";

}  // namespace

TEST_CASE("a header names the client, and requests without it are refused") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kRoutes, detecting("custom_header.v3.CustomHeaderConfig", "header_name: x-real, reject_with_status: {code: Unauthorized}")), {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/", "x-real: 1.2.3.4\r\n").status == 200);
  CHECK(up.last().header("x-client") == "1.2.3.4");
  CHECK(up.last().header("x-real") == "1.2.3.4");
  const RawResponse refused = proxy.get("/", "x-real: junk\r\n");
  CHECK(refused.status == 401);
  CHECK(refused.body.empty());
  CHECK(proxy.get("/").status == 401);
  CHECK(up.count() == 1);
  CHECK(proxy.stat("http.test.downstream_rq_rejected_via_ip_detection") == 2);
  CHECK(proxy.access_log(3)[1] == "401 - rejecting_because_detection_failed");
}

TEST_CASE("proxies in front are passed over where they are trusted") {
  FakeUpstream up;
  TestProxy proxy(listener_yaml(kRoutes, detecting("xff.v3.XffConfig", "skip_xff_append: false, xff_trusted_cidrs: {cidrs: [{address_prefix: 127.0.0.0, prefix_len: 8}, {address_prefix: 10.0.0.0, prefix_len: 8}]}")),
                  {cluster_yaml("up", {up.port()})});
  CHECK(proxy.get("/", "x-forwarded-for: 9.9.9.9, 10.1.1.1\r\n").status == 200);
  CHECK(up.last().header("x-client") == "9.9.9.9");
  CHECK(up.last().header("x-forwarded-for").find("9.9.9.9, 10.1.1.1,") == 0);
  CHECK(proxy.get("/").status == 200);
  CHECK(up.last().header("x-client") == "127.0.0.1");
}

}  // namespace client_address_test
