// Discovered HTTP filters: the proxy driven over ADS, and by a file.
#include <signal.h>

#include <catch2/catch.hpp>

#include "base/file.h"
#include "tests/integration/support/raw_socket.h"
#include "tests/integration/xds/fake_ads.h"
#include "tests/integration/xds/proxy_process.h"
#include "tests/integration/xds/texts.h"

namespace fairlead::testing::extensions_test {
namespace {

using Catch::Matchers::Contains;

const std::string kFilters = "type.googleapis.com/envoy.extensions.filters.http.";
const std::string kAds = "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 10s}";

// A direct response behind one discovered filter, which may be a fault or a header_mutation.
std::string discovering_listener(const std::string& name, const std::string& filter, const std::string& source = kAds, const std::string& more = "", const std::string& answer = "direct") {
  return absl::StrCat("name: ", name, R"(
address: {socket_address: {address: 127.0.0.1, port_value: 0}}
filter_chains:
- filters:
  - name: envoy.filters.network.http_connection_manager
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: )", name, R"(
      access_log:
      - name: log
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog
          log_format: {text_format_source: {inline_string: "LOG %RESPONSE_CODE% %RESPONSE_FLAGS% <%RESPONSE_CODE_DETAILS%>\n"}}
      route_config: {virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: )", answer, R"(}}}]}]}
      http_filters:
      - name: )", filter, R"(
        config_discovery:
          config_source: )", source, R"(
          type_urls: [)", kFilters, "fault.v3.HTTPFault, ", kFilters, R"(header_mutation.v3.HeaderMutation]
          )", more, R"(
      - name: router
        typed_config: {"@type": )", kFilters, R"(router.v3.Router}
)");
}
std::string header(const std::string& name, const std::string& value) {
  return absl::StrCat("name: ", name, "\ntyped_config: {'@type': ", kFilters, "header_mutation.v3.HeaderMutation, mutations: {response_mutations: [{append: {header: {key: x-filter, value: ", value, "}}}]}}\n");
}
std::string abort_with(int status) {
  return absl::StrCat("{'@type': ", kFilters, "fault.v3.HTTPFault, abort: {http_status: ", status, ", percentage: {numerator: 100}}}");
}
std::string filter_stat(const std::string& filter, const std::string& leaf) { return absl::StrCat("extension_config_discovery.http_filter.", filter, ".", leaf); }

// Up to the answers for listener discovery, incremental.
void begin(FakeAds& ads, const std::vector<std::string>& listeners) {
  ads.next_delta("cds");
  ads.send_delta("cds", "c1", {});
  ads.next_delta("cds");
  ads.next_delta("lds");
  std::vector<std::pair<std::string, std::string>> all;
  for (const std::string& l : listeners) all.emplace_back("1", l);
  ads.send_delta("lds", "l1", all);
  CHECK_FALSE(ads.next_delta("lds").has_error_detail());
}

TEST_CASE("a listener is not there before its filter is; updates reach connections that are open; a removed filter leaves 500 with NFCF and no details") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin(ads, {discovering_listener("l", "x")});
  const auto request = ads.next_delta("ecds");
  REQUIRE(request.resource_names_subscribe_size() == 1);
  CHECK(request.resource_names_subscribe(0) == "x");
  CHECK(proxy.admin("/listeners").body.empty());
  CHECK(proxy.stat(filter_stat("x", "update_attempt")) == "1");
  ads.send_delta("ecds", "1", {{"v1", header("x", "one")}});
  CHECK_FALSE(ads.next_delta("ecds").has_error_detail());
  proxy.wait_for_state("LIVE");
  RawSocket connection = RawSocket::connect(proxy.port("l"));
  const auto ask = [&] {
    connection.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    return connection.read_response();
  };
  CHECK(ask().header("x-filter") == "one");
  CHECK_THAT(proxy.admin("/config_dump?resource=ecds_filters").body, Contains("\"version_info\": \"v1\"") && Contains("HeaderMutation") && Contains("\"last_updated\""));
  ads.send_delta("ecds", "2", {{"v2", "name: x\ntyped_config: " + abort_with(418)}});
  CHECK_FALSE(ads.next_delta("ecds").has_error_detail());
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "2");
  CHECK(ask().status == 418);
  CHECK(proxy.stat("http.l.fault.aborts_injected") == "1");
  ads.send_delta("ecds", "3", {}, {"x"});
  CHECK_FALSE(ads.next_delta("ecds").has_error_detail());
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "3");
  const auto missing = ask();
  CHECK(missing.status == 500);
  CHECK(missing.body.empty());
  CHECK_THAT(proxy.admin("/config_dump?resource=ecds_filters").body, !Contains("HTTPFault"));
  CHECK(proxy.stat("listener_manager.listener_modified") == "0");
  CHECK(proxy.stat("http.l.downstream_cx_total") == "1");  // all on one connection
  proxy.signal(SIGTERM);
  proxy.wait_exit();
  CHECK_THAT(proxy.log(), Contains("LOG 500 NFCF <>"));
}

TEST_CASE("a filter of a type that is not allowed is refused; the last good one keeps serving, and other filters of the response come in") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin(ads, {discovering_listener("l", "x"), discovering_listener("m", "z")});
  ads.next_delta("ecds");
  ads.send_delta("ecds", "1", {{"1", header("x", "one")}, {"1", header("z", "one")}});
  CHECK_FALSE(ads.next_delta("ecds").has_error_detail());
  proxy.wait_for_state("LIVE");
  ads.send_delta("ecds", "2", {{"2", absl::StrCat("name: x\ntyped_config: {'@type': ", kFilters, "buffer.v3.Buffer, max_request_bytes: 1}")}, {"2", header("z", "two")}});
  const auto refused = ads.next_delta("ecds");
  CHECK_THAT(refused.error_detail().message(), Contains("filter config 'x'") && Contains("Error: filter config has type URL envoy.extensions.filters.http.buffer.v3.Buffer but expect "
                                                                                         "envoy.extensions.filters.http.fault.v3.HTTPFault, envoy.extensions.filters.http.header_mutation.v3.HeaderMutation."));
  CHECK(proxy.get("l", "/").header("x-filter") == "one");
  CHECK(proxy.stat(filter_stat("x", "update_rejected")) == "1");
  CHECK(proxy.stat(filter_stat("x", "config_fail")) == "1");
  proxy.wait_for_stat(filter_stat("z", "config_reload"), "2");
  CHECK(proxy.get("m", "/").header("x-filter") == "two");
}

TEST_CASE("defaults: at once without warming, after a removal, and in the place of what the filter does not allow") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  const std::string fallback = absl::StrCat("default_config: ", abort_with(419));
  begin(ads, {discovering_listener("l", "x", kAds, fallback + "\n          apply_default_config_without_warming: true")});
  ads.next_delta("ecds");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.get("l", "/").status == 419);
  ads.send_delta("ecds", "1", {{"1", header("x", "one")}});
  ads.next_delta("ecds");
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "1");
  CHECK(proxy.get("l", "/").header("x-filter") == "one");
  ads.send_delta("ecds", "2", {}, {"x"});
  ads.next_delta("ecds");
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "2");
  CHECK(proxy.get("l", "/").status == 419);
}

TEST_CASE("a silent server: the listener serves 500 after the initial fetch timeout, and the filter when it comes") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), false));
  ads.next("cds");
  ads.send("cds", "1", "c1", {});
  ads.next("lds");
  ads.send("lds", "1", "l1", {discovering_listener("l", "x", "{ads: {}, resource_api_version: V3, initial_fetch_timeout: 0.2s}")});
  CHECK(ads.next("ecds").resource_names(0) == "x");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.get("l", "/").status == 500);
  proxy.wait_for_stat(filter_stat("x", "init_fetch_timeout"), "1");
  proxy.wait_for_stat(filter_stat("x", "config_fail"), "1");
  ads.send("ecds", "1", "e1", {header("x", "late")});
  CHECK(ads.next("ecds").version_info() == "1");
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "1");
  CHECK(proxy.get("l", "/").header("x-filter") == "late");
  CHECK(proxy.stat(filter_stat("x", "version_text")) == "\"1\"");
  ads.send("ecds", "2", "e2", {});  // says nothing about what it leaves out
  CHECK(ads.next("ecds").version_info() == "2");
  CHECK(proxy.get("l", "/").header("x-filter") == "late");
}

TEST_CASE("a listener that changes goes on serving with its filter, whether the filter changes too or leaves") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  begin(ads, {discovering_listener("l", "x")});
  ads.next_delta("ecds");
  ads.send_delta("ecds", "1", {{"1", header("x", "one")}});
  ads.next_delta("ecds");
  proxy.wait_for_state("LIVE");
  ads.send_delta("lds", "l2", {{"2", discovering_listener("l", "x", kAds, "", "changed")}});
  ads.next_delta("lds");
  proxy.wait_for_body("l", "/", "changed");
  CHECK(proxy.get("l", "/").header("x-filter") == "one");
  ads.send_delta("lds", "l3", {{"3", discovering_listener("l", "w", kAds, "", "again")}});
  ads.next_delta("lds");
  const auto request = ads.next_delta("ecds");
  CHECK(request.resource_names_subscribe(0) == "w");
  CHECK(proxy.get("l", "/").header("x-filter") == "one");  // the old form, as long as w is on its way
  ads.send_delta("ecds", "2", {{"1", header("w", "two")}});
  proxy.wait_for_body("l", "/", "again");
  CHECK(proxy.get("l", "/").header("x-filter") == "two");
  CHECK(proxy.stat(filter_stat("x", "update_attempt")).empty());  // its subscription is over
}

TEST_CASE("what routes say for a filter of the same name but of another type is passed over") {
  FakeAds ads;
  ProxyProcess proxy(ads_bootstrap(ads.port(), true));
  std::string with_fault = discovering_listener("l", "x");
  const std::string route = "match: {prefix: /}, ";
  with_fault.insert(with_fault.find(route), absl::StrCat("typed_per_filter_config: {x: ", abort_with(418), "}, "));
  begin(ads, {with_fault});
  ads.next_delta("ecds");
  ads.send_delta("ecds", "1", {{"1", header("x", "one")}});
  ads.next_delta("ecds");
  proxy.wait_for_state("LIVE");
  CHECK(proxy.get("l", "/").header("x-filter") == "one");
  ads.send_delta("ecds", "2", {{"2", absl::StrCat("name: x\ntyped_config: {'@type': ", kFilters, "fault.v3.HTTPFault}")}});
  ads.next_delta("ecds");
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "2");
  CHECK(proxy.get("l", "/").status == 418);  // now it is its own
}

TEST_CASE("a static listener takes its filter from a watched file") {
  TemporaryDirectory directory;
  const std::string path = directory.path() + "/filter.yaml";
  const auto response = [&](const std::string& version, const std::string& filter) {
    return absl::StrCat("version_info: '", version, "'\nresources:\n", item(absl::StrCat("'@type': type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig\n", filter), 0));
  };
  REQUIRE(replace_file(path, response("1", header("x", "one"))).ok());
  ProxyProcess proxy(absl::StrCat("node: {id: node-1, cluster: edge}\n", static_bootstrap({}, {discovering_listener("l", "x", absl::StrCat("{path_config_source: {path: ", path, "}, resource_api_version: V3}"))})));
  proxy.wait_for_state("LIVE");
  CHECK(proxy.get("l", "/").header("x-filter") == "one");
  REQUIRE(replace_file(path, response("2", header("x", "two"))).ok());
  proxy.wait_for_stat(filter_stat("x", "config_reload"), "2");
  CHECK(proxy.get("l", "/").header("x-filter") == "two");
}

}  // namespace
}  // namespace fairlead::testing::extensions_test
