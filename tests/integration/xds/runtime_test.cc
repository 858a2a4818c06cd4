// The runtime of a running proxy: the admin endpoint turns a fraction of a route, for requests on connections that are open already.
#include <catch2/catch.hpp>

#include "tests/integration/support/raw_socket.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing {
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

TEST_CASE("a runtime without an admin layer is not modified") {
  ProxyProcess proxy(static_bootstrap({}, {listener("l", kRoutes)}));
  proxy.wait_for_state("LIVE");
  const RawResponse refused = proxy.admin("/runtime_modify?share=100", "POST");
  CHECK(refused.status == 503);
  CHECK(refused.body == "No admin layer specified");
}

}  // namespace fairlead::testing
