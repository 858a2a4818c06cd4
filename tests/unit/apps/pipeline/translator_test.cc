// Objects in, updates out: what is made again and what is not, and where everything came from.
#include <catch2/catch.hpp>

#include "adapters/file/file_loader.h"
#include "apps/pipeline/translator.h"
#include "base/file.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace translator_test {

using namespace fairlead;
using namespace fairlead::test;
using pipeline::Translator;
using resources::ResourcePtr;
using resources::Type;

namespace {

// A folder read again and again, as the running control plane reads it.
class Folder {
 public:
  Folder() : loader_(directory.path()) {
    pipeline::register_vocabularies(store);
    store.register_source(loader_.name());
  }
  adapters::ChangeSet read() {
    adapters::ChangeSet changes = store.apply(loader_.load());
    translator.note(changes);
    return changes;
  }
  snapshot::Update full() {
    read();
    return translator.full(*store.snapshot());
  }
  TemporaryDirectory directory;
  adapters::Store store;
  Translator translator;

 private:
  adapters::FileLoader loader_;
};

std::string places(const ResourcePtr& r) {
  std::string out;
  for (const intent::Origin& o : r->origins) out += (out.empty() ? "" : ", ") + o.object() + " " + o.file.substr(o.file.rfind('/') + 1) + ":" + std::to_string(o.line);
  return out;
}

// "a:110 b:91": what an assignment gives its zones.
std::string weights(const ResourcePtr& assignment) {
  envoy::config::endpoint::v3::ClusterLoadAssignment m;
  REQUIRE(m.ParseFromString(std::string(assignment->body())));
  std::string out;
  for (const auto& l : m.endpoints()) absl::StrAppend(&out, out.empty() ? "" : " ", l.locality().zone(), ":", l.load_balancing_weight().value());
  return out;
}

// What a Service's clients report of two zones.
std::vector<topology::LocalityLoad> loads(const std::string& service, double a, double b) {
  const std::string name = "default/" + service + "/80";
  return {{name, {"", "a"}, 100, 0, 1000, a}, {name, {"", "b"}, 100, 0, 1000, b}};
}

const snapshot::Update::Gateway* only_gateway(const snapshot::Update& u) { return u.gateways.size() == 1 ? &u.gateways[0] : nullptr; }

ResourcePtr find(const snapshot::Update::Gateway& g, Type type) {
  for (const ResourcePtr& r : g.resources) {
    if (r->type == type) return r;
  }
  return nullptr;
}

}  // namespace

TEST_CASE("a Gateway's resources come with the places they were written at, endpoints included") {
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml());
  f.directory.write("routes.yaml", route_yaml("app"));
  f.directory.write("services.yaml", service_yaml("app") + slice_yaml("app"));
  const snapshot::Update u = f.full();
  REQUIRE(only_gateway(u));
  CHECK(u.gateways[0].resources.size() == 4);
  CHECK(places(find(u.gateways[0], Type::kEndpoint)) == "Service default/app services.yaml:2, EndpointSlice default/app-1 services.yaml:9");
  CHECK(places(find(u.gateways[0], Type::kCluster)).find("HTTPRoute default/app routes.yaml:") == 0);
  CHECK(u.incomplete == false);
}

TEST_CASE("an endpoint change is one assignment, without any planning") {
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml());
  f.directory.write("routes.yaml", route_yaml("app") + route_yaml("other", "/other"));
  f.directory.write("services.yaml", service_yaml("app") + service_yaml("other"));
  f.directory.write("app.yaml", slice_yaml("app"));
  f.directory.write("other.yaml", slice_yaml("other"));
  f.full();
  const auto plan_before = f.translator.plans();
  f.directory.write("app.yaml", slice_yaml("app", "127.0.0.2"));
  const adapters::ChangeSet changes = f.read();
  CHECK(Translator::endpoints_only(changes));
  const snapshot::Update u = f.translator.endpoints();
  REQUIRE(u.assignments.size() == 1);
  CHECK(u.assignments[0]->name.find("app") != std::string::npos);
  CHECK(u.gateways.empty());
  CHECK_FALSE(u.raw);
  CHECK(u.findings.empty());
  CHECK(f.translator.plans() == plan_before);
  CHECK(f.translator.endpoints().empty());
}

TEST_CASE("lines that move change where an assignment is from, and not its bytes") {
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml());
  f.directory.write("routes.yaml", route_yaml("app"));
  f.directory.write("services.yaml", service_yaml("app") + slice_yaml("app"));
  const ResourcePtr before = find(f.full().gateways.at(0), Type::kEndpoint);
  f.directory.write("services.yaml", "# a comment\n" + service_yaml("app") + slice_yaml("app"));
  const snapshot::Update u = f.full();
  CHECK(u.gateways.empty());
  REQUIRE(u.assignments.size() == 1);
  CHECK(places(u.assignments[0]) == "Service default/app services.yaml:3, EndpointSlice default/app-1 services.yaml:10");
  CHECK(u.assignments[0]->hash == before->hash);
  CHECK(u.assignments[0]->version == before->version);
  CHECK(u.assignments[0]->delta_frame == before->delta_frame);
}

TEST_CASE("a Service weighed by load has its zones' weights made of reports; only its assignment is sent, and only when weights changed") {
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml());
  f.directory.write("routes.yaml", route_yaml("app") + route_yaml("other", "/other"));
  f.directory.write("other.yaml", zones_yaml("other", false));
  f.directory.write("app.yaml", zones_yaml("app", true));
  const snapshot::Update first = f.full();
  REQUIRE(only_gateway(first));
  CHECK(f.translator.weighs());
  for (const ResourcePtr& r : first.gateways[0].resources) {
    envoy::config::cluster::v3::Cluster c;
    if (r->type != Type::kCluster) continue;
    REQUIRE(c.ParseFromString(std::string(r->body())));
    const bool app = r->name == "default/app/80";
    CHECK(c.common_lb_config().has_locality_weighted_lb_config() == app);
    CHECK(c.lrs_report_endpoint_metrics_size() == (app ? 2 : 0));
  }
  SimulatedClock clock;
  int sent = 0;
  std::string last;
  for (int i = 0; i < 60; ++i) {
    clock.advance(std::chrono::seconds(10));
    std::vector<topology::LocalityLoad> all = loads("app", 0.2, 0.8);
    for (const auto& more : loads("other", 0.2, 0.8)) all.push_back(more);
    const auto changed = f.translator.loads(all, clock.monotonic());
    const snapshot::Update u = f.translator.endpoints();
    CHECK(u.assignments.size() == changed.size());
    if (u.empty()) continue;
    ++sent;
    CHECK(u.assignments[0]->name == "default/app/80");
    CHECK(u.gateways.empty());
    last = weights(u.assignments[0]);
  }
  CHECK(sent > 2);
  CHECK(sent < 10);
  CHECK(last == "a:195 b:51");  // half and twice as busy: seven steps each way
  // endpoints that change keep them
  std::string more = zones_yaml("app", true);
  f.directory.write("app.yaml", more + "- addresses: [127.0.0.3]\n  zone: b\n");
  f.read();
  const snapshot::Update endpoints = f.translator.endpoints();
  REQUIRE(endpoints.assignments.size() == 1);
  CHECK(weights(endpoints.assignments[0]) == "a:195 b:103");
  // without the annotation they are the plain ones at once, and the cluster does not look at them any more
  f.directory.write("app.yaml", zones_yaml("app", false));
  const snapshot::Update plain = f.full();
  REQUIRE(plain.assignments.size() == 1);
  CHECK(weights(plain.assignments[0]) == "a:1 b:1");
  REQUIRE(only_gateway(plain));
  CHECK_FALSE(f.translator.weighs());
}

TEST_CASE("a backend that no route names any more begins with plain weights when one does again") {
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml());
  f.directory.write("routes.yaml", route_yaml("app"));
  f.directory.write("app.yaml", zones_yaml("app", true));
  f.full();
  SimulatedClock clock;
  for (int i = 0; i < 60; ++i) {
    clock.advance(std::chrono::seconds(10));
    f.translator.loads(loads("app", 0.2, 0.8), clock.monotonic());
  }
  CHECK(f.translator.endpoints().assignments.size() == 1);
  f.directory.write("routes.yaml", "");
  f.full();
  f.directory.write("routes.yaml", route_yaml("app"));
  const snapshot::Update again = f.full();
  REQUIRE(only_gateway(again));
  CHECK(weights(find(again.gateways[0], Type::kEndpoint)) == "a:1 b:1");
}

TEST_CASE("what a Service's weights are to be made of is one of two words; another is a warning and the default") {
  Folder f;
  std::string odd = zones_yaml("app", true);
  odd.replace(odd.find("weights: load"), 13, "weights: lode");
  f.directory.write("app.yaml", odd);
  f.full();
  CHECK_FALSE(f.translator.weighs());
  const auto found = f.store.snapshot()->diagnostics();
  REQUIRE(found.size() == 1);
  CHECK(found[0].severity == adapters::Severity::kWarning);
  CHECK(found[0].message == "fairlead.io/locality-weights: expected \"load\" or \"endpoints\", got \"lode\"; taken as \"endpoints\"");
}

TEST_CASE("a slice that changes its service takes its endpoints and its place with it") {
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml());
  f.directory.write("routes.yaml", route_yaml("app") + route_yaml("other", "/other"));
  f.directory.write("services.yaml", service_yaml("app") + service_yaml("other"));
  f.directory.write("slice.yaml", slice_yaml("app"));
  f.full();
  std::string moved = slice_yaml("app");
  moved.replace(moved.find("service-name: app"), 17, "service-name: other");
  f.directory.write("slice.yaml", moved);
  f.read();
  const snapshot::Update u = f.translator.endpoints();
  REQUIRE(u.assignments.size() == 2);
  for (const ResourcePtr& r : u.assignments) {
    const bool other = r->name.find("other") != std::string::npos;
    CHECK((places(r).find("EndpointSlice") != std::string::npos) == other);
  }
}

TEST_CASE("services that share a UDP listener share an assignment, which follows each of them") {
  const auto udp = [](std::string yaml) {
    for (size_t at = 0; (at = yaml.find("{name: http, port: ", at)) != std::string::npos; at += 20) yaml.insert(yaml.find('}', at), ", protocol: UDP");
    return yaml;
  };
  Folder f;
  f.directory.write("gateway.yaml", gateway_yaml() + "  - {name: udp, protocol: UDP, port: 53}\n");
  f.directory.write("routes.yaml", "apiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata: {name: r}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: "
                                   "[{name: app, port: 80, weight: 3}, {name: other, port: 80}]}]}\n");
  f.directory.write("services.yaml", udp(service_yaml("app") + service_yaml("other")));
  f.directory.write("app.yaml", udp(slice_yaml("app")));
  f.directory.write("other.yaml", udp(slice_yaml("other")));
  const snapshot::Update first = f.full();
  const ResourcePtr before = find(first.gateways.at(0), Type::kEndpoint);
  REQUIRE(before);
  CHECK(before->name == "default/edge/0.0.0.0/53/udp");
  CHECK(places(before) == "Service default/app services.yaml:2, EndpointSlice default/app-1 app.yaml:2, Service default/other services.yaml:9, EndpointSlice default/other-1 other.yaml:2");
  f.directory.write("other.yaml", udp(slice_yaml("other", "127.0.0.2")));
  CHECK(Translator::endpoints_only(f.read()));
  const snapshot::Update u = f.translator.endpoints();
  REQUIRE(u.assignments.size() == 1);
  CHECK(u.assignments[0]->name == before->name);
  CHECK(u.assignments[0]->hash != before->hash);
  CHECK(f.translator.endpoints().empty());
  f.directory.write("routes.yaml", "");
  const snapshot::Update without = f.full();
  CHECK_FALSE(find(without.gateways.at(0), Type::kEndpoint));
  f.directory.write("other.yaml", udp(slice_yaml("other", "127.0.0.3")));
  f.read();
  CHECK(f.translator.endpoints().assignments.empty());
}

TEST_CASE("what did not change is not made again") {
  Folder f;
  f.directory.write("a.yaml", gateway_yaml("one") + route_yaml("app", "/", "one") + service_yaml("app"));
  f.directory.write("b.yaml", "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: two}\nspec:\n  gatewayClassName: fairlead\n  listeners:\n  - {name: http, protocol: HTTP, port: 8081}\n" + route_yaml("web", "/", "two"));
  f.directory.write("raw.yaml", raw_yaml("mine", cluster_yaml("m")));
  CHECK(f.full().gateways.size() == 2);
  f.directory.write("c.yaml", route_yaml("more", "/more", "two"));
  const snapshot::Update u = f.full();
  REQUIRE(only_gateway(u));
  CHECK(u.gateways[0].key.name == "two");
  CHECK_FALSE(u.raw);
  CHECK(u.gone.empty());
  CHECK(f.full().gateways.empty());
}

TEST_CASE("a Gateway that is removed is told as gone, with its findings") {
  Folder f;
  f.directory.write("a.yaml", gateway_yaml() + route_yaml("app"));
  f.full();
  f.directory.write("a.yaml", route_yaml("app"));
  const snapshot::Update u = f.full();
  REQUIRE(u.gone.size() == 1);
  CHECK(u.gone[0].str() == "default/edge");
  bool cleared = false;
  for (const auto& [stage, findings] : u.findings) cleared |= stage == "plan:default/edge" && findings.empty();
  CHECK(cleared);
}

TEST_CASE("an object that cannot be read makes the sources incomplete only while no good version of it is in use") {
  Folder f;
  f.directory.write("good.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  CHECK(f.full().incomplete == false);
  SECTION("a new bad object") {
    f.directory.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: new}\nspec: {ports: 7}\n");
    CHECK(f.full().incomplete == true);
    CHECK_FALSE(f.full().incomplete);  // told once
    f.directory.write("bad.yaml", service_yaml("new"));
    CHECK(f.full().incomplete == false);
  }
  SECTION("a good object that goes bad keeps its last good version") {
    std::string bad = service_yaml("app");
    bad.replace(bad.find("port: 80"), 8, "port: xx");
    f.directory.write("good.yaml", gateway_yaml() + route_yaml("app") + bad);
    const snapshot::Update u = f.full();
    CHECK_FALSE(u.incomplete);
    CHECK(u.gateways.empty());
  }
  SECTION("a text that is no YAML") {
    f.directory.write("bad.yaml", "kind: [\n");
    CHECK(f.full().incomplete == true);
  }
  SECTION("a raw resource that breaks Envoy's rules") {
    f.directory.write("raw.yaml", raw_yaml("mine", cluster_yaml("m", "0s")));
    CHECK(f.full().incomplete == true);
  }
}

}  // namespace translator_test
