// What routes bring to load balancing: hash policies, hosts and priorities that retries avoid, and dropped load.
#include <catch2/catch.hpp>

#include <map>
#include <set>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace balancing_test {

using namespace fairlead::testing;

namespace {

std::string route(const std::string& path, const std::string& action) { return "- match: {path: " + path + "}\n  route: {" + action + "}\n"; }

// A static cluster; each entry is the YAML of a locality's fields beside its one endpoint's port.
struct Place {
  uint16_t port;
  std::string endpoint = "", locality = "";
};
std::string cluster(const std::string& name, const std::vector<Place>& places, const std::string& more = "", const std::string& policy = "") {
  std::string out = "name: " + name + "\ntype: STATIC\n" + more + "\nload_assignment:\n  cluster_name: " + name + "\n" + policy + "  endpoints:\n";
  for (const Place& p : places) {
    out += "  - {" + p.locality + "lb_endpoints: [{" + p.endpoint + "endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: " + std::to_string(p.port) + "}}}}]}\n";
  }
  return out;
}

std::string extension(const std::string& type, const std::string& more = "") { return "{name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry." + type + more + "}}"; }

FakeUpstream::Handler failing() {
  return [](const UpstreamRequest&) { return UpstreamReply{.status = 503, .body = "no"}; };
}

const std::string kRetry = "retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 0.001s}, ";

}  // namespace

TEST_CASE("a hash policy keeps a key on its host") {
  FakeUpstream one(FakeUpstream::named("one")), two(FakeUpstream::named("two")), three(FakeUpstream::named("three"));
  const std::vector<Place> places{{one.port()}, {two.port()}, {three.port()}};
  TestProxy proxy(listener_yaml(route("/", "cluster: ring, hash_policy: [{header: {header_name: x-key}}]") + route("/cookie", "cluster: ring, hash_policy: [{cookie: {name: sess, ttl: 60s, path: /}}]") +
                                route("/session", "cluster: ring, hash_policy: [{cookie: {name: sess}}]") + route("/plain", "cluster: plain, hash_policy: [{cookie: {name: sess, ttl: 60s}}]")),
                  {cluster("ring", places, "lb_policy: RING_HASH"), cluster("plain", places)});
  SECTION("by header") {
    std::set<std::string> used;
    for (int key = 0; key < 20; ++key) {
      const std::string header = "x-key: key-" + std::to_string(key) + "\r\n";
      const std::string host = proxy.get("/", header).body;
      used.insert(host);
      for (int again = 0; again < 3; ++again) CHECK(proxy.get("/", header).body == host);
    }
    CHECK(used.size() == 3);
  }
  SECTION("by a cookie that the client is given") {
    const RawResponse first = proxy.get("/cookie");
    const std::string cookie = first.header("set-cookie");
    INFO(cookie);
    REQUIRE(cookie.size() == std::string("sess=\"0123456789abcdef\"; Max-Age=60; Path=/; HttpOnly").size());
    CHECK(cookie.substr(0, 6) == "sess=\"");
    CHECK(cookie.substr(22) == "\"; Max-Age=60; Path=/; HttpOnly");
    for (int again = 0; again < 5; ++again) {
      const RawResponse next = proxy.get("/cookie", "cookie: sess=" + cookie.substr(6, 16) + "\r\n");
      CHECK(next.body == first.body);
      CHECK_FALSE(next.has("set-cookie"));
    }
    CHECK_FALSE(proxy.get("/session").has("set-cookie"));  // no ttl
    CHECK_FALSE(proxy.get("/plain").has("set-cookie"));    // nobody asks for the hash
  }
  SECTION("the cookie is the same for all requests of a connection") {
    RawSocket client = proxy.connect();
    std::set<std::string> cookies;
    for (int i = 0; i < 3; ++i) {
      client.send("GET /cookie HTTP/1.1\r\nhost: a\r\n\r\n");
      cookies.insert(client.read_response().header("set-cookie"));
    }
    CHECK(cookies.size() == 1);
  }
}

TEST_CASE("retries avoid the hosts that their predicates reject") {
  FakeUpstream bad(failing()), good(FakeUpstream::named("good"));
  // The host that fails has most of the weight: without a predicate retries go there nearly always.
  const auto proxy_with = [&](const std::string& predicate, const std::string& bad_endpoint) {
    return std::make_unique<TestProxy>(listener_yaml(route("/", "cluster: up, " + kRetry + "host_selection_retry_max_attempts: 500, retry_host_predicate: [" + predicate + "]}")),
                                       std::vector{cluster("up", {{bad.port(), "load_balancing_weight: 100, " + bad_endpoint, "locality: {zone: a}, "}, {good.port(), "load_balancing_weight: 1, ", "locality: {zone: b}, "}})});
  };
  std::unique_ptr<TestProxy> proxy;
  SECTION("previous hosts") { proxy = proxy_with(extension("host.previous_hosts.v3.PreviousHostsPredicate"), ""); }
  SECTION("canaries") { proxy = proxy_with(extension("host.omit_canary_hosts.v3.OmitCanaryHostsPredicate"), "metadata: {filter_metadata: {envoy.lb: {canary: true}}}, "); }
  SECTION("labelled hosts") {
    proxy = proxy_with(extension("host.omit_host_metadata.v3.OmitHostMetadataConfig", ", metadata_match: {filter_metadata: {envoy.lb: {stage: old}}}"), "metadata: {filter_metadata: {envoy.lb: {stage: old, more: 1}}}, ");
  }
  for (int i = 0; i < 10; ++i) CHECK(proxy->get("/").body == "good");
  CHECK(bad.count() >= 1);  // first attempts go anywhere
}

TEST_CASE("retries leave the priorities of earlier attempts") {
  FakeUpstream first(failing()), second(failing()), third(FakeUpstream::named("third"));
  const std::vector<Place> places{{first.port(), "", "priority: 0, "}, {second.port(), "", "priority: 1, "}, {third.port(), "", "priority: 2, "}};
  const auto retry = [&](const std::string& frequency) { return kRetry + "num_retries: 3, retry_priority: " + extension("priority.previous_priorities.v3.PreviousPrioritiesConfig", ", update_frequency: " + frequency) + "}"; };
  TestProxy proxy(listener_yaml(route("/", "cluster: up, " + retry("1")) + route("/slow", "cluster: up, " + retry("2"))), {cluster("up", places)});
  CHECK(proxy.get("/").body == "third");
  CHECK(first.count() == 1);
  CHECK(second.count() == 1);
  CHECK(proxy.get("/slow").status == 503);  // the third attempt is the first to move on, the fourth follows it
  CHECK(first.count() == 3);
  CHECK(second.count() == 3);
  CHECK(third.count() == 1);
}

TEST_CASE("dropped load is answered without a host") {
  FakeUpstream up;
  const auto dropping = [&](const std::string& name, int percent) {
    return cluster(name, {{up.port()}}, "", "  policy: {drop_overloads: [{category: c, drop_percentage: {numerator: " + std::to_string(percent) + "}}]}\n");
  };
  TestProxy proxy(listener_yaml(route("/all", "cluster: all, " + kRetry + "num_retries: 3}") + route("/most", "cluster: most") + route("/none", "cluster: none")), {dropping("all", 100), dropping("most", 99), dropping("none", 0)});
  const RawResponse all = proxy.get("/all");
  CHECK(all.status == 503);
  CHECK(all.body == "unconditional drop overload");
  CHECK(all.header("x-envoy-unconditional-drop-overload") == "true");
  CHECK(proxy.access_log(1)[0] == "503 UDO unconditional_drop_overload");
  CHECK(proxy.stat("cluster.all.upstream_rq_503") == 1);
  CHECK(proxy.stat("cluster.all.upstream_rq_retry") == 0);
  CHECK(proxy.get("/none").status == 200);
  CHECK(up.count() == 1);
  RawResponse most;
  size_t asked = 2;
  for (; asked < 22 && most.status != 503; ++asked) most = proxy.get("/most");
  CHECK(most.status == 503);
  CHECK(most.body == "drop overload");
  CHECK(most.header("x-envoy-drop-overload") == "true");
  CHECK(proxy.access_log(asked).back() == "503 DO drop_overload");
}

}  // namespace balancing_test
