// Endpoints as published: health, priorities, hosts that come and go, and names resolved for them.
#include <catch2/catch.hpp>

#include <map>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "dataplane/net/dns.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/cluster_resolver.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace endpoint_test {

using namespace fairlead;
using namespace fairlead::testing;
using namespace std::chrono_literals;

namespace {

const char* kToUp = "- match: {prefix: /}\n  route: {cluster: up}\n";

// One endpoint a line: port, health, priority.
struct Place {
  uint16_t port;
  std::string health = "HEALTHY";
  int priority = 0;
};

std::string cluster_of(const std::vector<Place>& places, const std::string& more = "") {
  std::string out = "name: up\ntype: STATIC\n" + more + "load_assignment:\n  cluster_name: up\n  endpoints:\n";
  for (const Place& p : places) {
    out += "  - {priority: " + std::to_string(p.priority) + ", lb_endpoints: [{health_status: " + p.health + ", endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: " + std::to_string(p.port) + "}}}}]}\n";
  }
  return out;
}

std::map<std::string, int> answers(const TestProxy& proxy, int requests) {
  std::map<std::string, int> out;
  for (int i = 0; i < requests; ++i) ++out[proxy.get("/").body];
  return out;
}

std::shared_ptr<const config::ClusterConfig> parse(const std::string& yaml) {
  envoy::config::cluster::v3::Cluster proto;
  REQUIRE(doc::to_message(doc::parse_one(yaml, "test.yaml").value(), &proto).ok());
  return config::parse_cluster(proto).value();
}

}  // namespace

TEST_CASE("unhealthy and draining endpoints get nothing") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b")), c(FakeUpstream::named("c"));
  TestProxy proxy(listener_yaml(kToUp), {cluster_of({{a.port()}, {b.port(), "UNKNOWN"}, {c.port(), "UNHEALTHY"}})});
  CHECK(answers(proxy, 10) == std::map<std::string, int>{{"a", 5}, {"b", 5}});
  CHECK(proxy.stat("cluster.up.membership_total") == 3);
  CHECK(proxy.stat("cluster.up.membership_healthy") == 2);
  proxy.publish({cluster_of({{a.port(), "DRAINING"}, {b.port()}, {c.port()}})});
  CHECK(answers(proxy, 10) == std::map<std::string, int>{{"b", 5}, {"c", 5}});
}

TEST_CASE("too few healthy endpoints: health is ignored") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b")), c(FakeUpstream::named("c"));
  TestProxy proxy(listener_yaml(kToUp), {cluster_of({{a.port()}, {b.port(), "UNHEALTHY"}, {c.port(), "UNHEALTHY"}})});
  CHECK(answers(proxy, 9) == std::map<std::string, int>{{"a", 3}, {"b", 3}, {"c", 3}});
  CHECK(proxy.stat("cluster.up.lb_healthy_panic") == 9);
}

TEST_CASE("the next priority serves when the first is down") {
  FakeUpstream a(FakeUpstream::named("a")), b(FakeUpstream::named("b"));
  TestProxy proxy(listener_yaml(kToUp), {cluster_of({{a.port()}, {b.port(), "HEALTHY", 1}})});
  CHECK(answers(proxy, 4) == std::map<std::string, int>{{"a", 4}});
  proxy.publish({cluster_of({{a.port(), "UNHEALTHY"}, {b.port(), "HEALTHY", 1}})});
  CHECK(answers(proxy, 4) == std::map<std::string, int>{{"b", 4}});
}

TEST_CASE("names become hosts, and what is no name stays") {
  net::EventLoop loop("test");
  auto resolver = net::DnsResolver::create(loop, {}).value();
  std::map<std::string, std::shared_ptr<const config::EndpointSet>> published;
  upstream::ClusterResolver clusters(loop, resolver.get(), 1, [&](const std::string& name, auto set) { published[name] = set; });
  clusters.add(parse("name: fixed\ntype: STATIC\n"));
  CHECK(published.count("fixed") == 1);
  clusters.add(parse(R"(
name: named
type: STRICT_DNS
dns_lookup_family: V4_ONLY
load_assignment:
  cluster_name: named
  endpoints:
  - lb_endpoints:
    - endpoint: {address: {socket_address: {address: localhost, port_value: 81}}}
    - endpoint: {address: {socket_address: {address: 192.0.2.7, port_value: 82}}}
)"));
  CHECK(published.count("named") == 0);
  REQUIRE(loop.run_until([&] { return published.count("named") == 1; }, 10s));
  const auto& endpoints = published["named"]->priorities.at(0).at(0).endpoints;
  REQUIRE(endpoints.size() == 2);
  CHECK(endpoints[0].address.text() == "127.0.0.1:81");
  CHECK(endpoints[0].hostname == "localhost");
  CHECK(endpoints[1].address.text() == "192.0.2.7:82");
  CHECK(clusters.lookups("named").successes == 1);
}

TEST_CASE("a name that does not resolve leaves its cluster empty but known") {
  net::EventLoop loop("test");
  std::shared_ptr<const config::EndpointSet> published;
  upstream::ClusterResolver clusters(loop, nullptr, 1, [&](const std::string&, auto set) { published = set; });
  clusters.add(parse("name: gone\ntype: STRICT_DNS\nload_assignment: {cluster_name: gone, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: nowhere.invalid, port_value: 1}}}}]}]}\n"));
  REQUIRE(loop.run_until([&] { return published != nullptr; }, 10s));
  CHECK(published->size() == 0);
  CHECK(clusters.lookups("gone").failures == 1);
}

}  // namespace endpoint_test
