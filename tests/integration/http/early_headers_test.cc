// Early header mutation: changes that everything in the connection manager sees, from the client's address to the choice of the route.
#include <catch2/catch.hpp>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace early_headers_test {

using namespace fairlead::testing;

namespace {

std::string early(const std::string& mutations) {
  return "early_header_mutation_extensions: [{name: e, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation, mutations: [" + mutations + "]}}]\n";
}
const std::string kRoutes =
    "- match: {prefix: /, headers: [{name: x-go, string_match: {exact: left}}]}\n  route: {cluster: left}\n"
    "- match: {prefix: /}\n  request_headers_to_add: [{header: {key: x-client, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}]\n  route: {cluster: up}\n";

}  // namespace

TEST_CASE("headers changed early choose the route and the client's address") {
  FakeUpstream up, left;
  const std::vector<std::string> clusters{cluster_yaml("up", {up.port()}), cluster_yaml("left", {left.port()})};
  SECTION("the route") {
    TestProxy proxy(listener_yaml(kRoutes, early("{append: {header: {key: x-go, value: '%REQ(x-side)%'}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}, {remove: x-side}, {remove_on_match: {key_matcher: {prefix: x-secret}}}")), clusters);
    proxy.get("/", "x-side: left\r\nx-go: right\r\nx-secret-a: 1\r\nx-secret-b: 2\r\n");
    CHECK(left.count() == 1);
    CHECK_FALSE(left.last().has("x-side"));
    CHECK_FALSE(left.last().has("x-secret-a"));
    CHECK_FALSE(left.last().has("x-secret-b"));
    proxy.get("/");
    CHECK(up.count() == 1);
  }
  SECTION("the address, known to formatters only afterwards") {
    TestProxy proxy(listener_yaml(kRoutes, early("{append: {header: {key: x-forwarded-for, value: 9.9.9.9}}}, {append: {header: {key: x-peer, value: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%'}}}")), clusters);
    CHECK(proxy.get("/").status == 200);
    CHECK(up.last().header("x-peer") == "127.0.0.1");
    CHECK(up.last().header("x-client") == "9.9.9.9");
  }
  SECTION("what strangers may not say stays unsaid") {
    TestProxy proxy(listener_yaml(kRoutes, early("{append: {header: {key: x-envoy-internal, value: 'true'}}}, {append: {header: {key: x-envoy-retry-on, value: 5xx}}}")), clusters);
    CHECK(proxy.get("/").status == 200);
    CHECK_FALSE(up.last().has("x-envoy-internal"));
    CHECK_FALSE(up.last().has("x-envoy-retry-on"));
  }
}

}  // namespace early_headers_test
