// What golden files cannot show: changes over time, pointers that stay, and which host a name is answered by.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "adapters/core/core.h"
#include "adapters/ingress/hosts.h"
#include "adapters/ingress/translate.h"
#include "base/doc.h"

namespace fairlead::adapters::ingress {
namespace {

constexpr const char* kBase = R"(
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: one}
spec: {controller: fairlead.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: two}
spec: {controller: fairlead.io/ingress-controller}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec: {ingressClassName: one, defaultBackend: {service: {name: web, port: {number: 80}}}}
)";

class World {
 public:
  World() {
    register_groups(store_);
    store_.register_group("", core::check_core);
    put(kBase);
  }
  void put(const std::string& yaml) { apply(yaml, {}); }
  void remove(const ObjectKey& key) { apply("", {key}); }
  intent::GatewayPtr gateway(const std::string& name) const {
    const auto found = now_.model.gateways.find({"IngressClass", name});
    return found == now_.model.gateways.end() ? nullptr : found->second;
  }
  size_t routes(const std::string& name) const {
    const auto& hosts = gateway(name)->listeners.at(0).virtual_hosts;
    return hosts.empty() ? 0 : hosts.at(0)->routes.size();
  }
  const Translation& now() const { return now_; }
  const ObjectSnapshot& snapshot() const { return *store_.snapshot(); }

 private:
  void apply(const std::string& yaml, std::vector<ObjectKey> removed) {
    SourceUpdate u;
    u.source = "s";
    u.synced = true;
    u.removed = std::move(removed);
    const auto documents = doc::parse_yaml(yaml, "x.yaml");
    REQUIRE(documents.ok());
    for (const doc::Value& d : *documents) u.upserted.push_back(read_object(d, "s", "x.yaml", u.diagnostics));
    store_.apply(u);
    Translation next = translate(*store_.snapshot(), &now_);
    now_ = std::move(next);
  }
  Store store_;
  Translation now_;
};

TEST_CASE("a class that nothing changes keeps its pointer, and one without Ingresses is served empty") {
  World world;
  const intent::GatewayPtr one = world.gateway("one"), two = world.gateway("two");
  REQUIRE((one && two));
  CHECK(world.routes("one") == 1);
  CHECK(world.routes("two") == 0);
  world.put(R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: b}
spec: {ingressClassName: two, defaultBackend: {service: {name: web, port: {number: 80}}}}
)");
  CHECK(world.gateway("one") == one);
  CHECK(world.gateway("two") != two);
  CHECK(world.routes("two") == 1);
}

TEST_CASE("an Ingress that changes its class moves, and a class that goes takes its own along") {
  World world;
  world.put(R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec: {ingressClassName: two, defaultBackend: {service: {name: web, port: {number: 80}}}}
)");
  CHECK(world.routes("one") == 0);
  CHECK(world.routes("two") == 1);
  world.remove({"networking.k8s.io", "IngressClass", "", "two"});
  CHECK(world.gateway("two") == nullptr);
  REQUIRE(world.now().diagnostics.size() == 1);
  CHECK(world.now().diagnostics[0].str() == "x.yaml:2: Ingress default/a: spec.ingressClassName: IngressClass two does not exist");
}

TEST_CASE("a broken version of an Ingress leaves its last good one served") {
  World world;
  const intent::GatewayPtr one = world.gateway("one");
  world.put(R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec: {ingressClassName: one, defaultBackend: {service: {name: web, port: {number: lots}}}}
)");
  CHECK(world.gateway("one") == one);
  CHECK_FALSE(world.snapshot().diagnostics().empty());
}

TEST_CASE("a service that comes later is found") {
  World world;
  world.put(R"(
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: a}
spec: {ingressClassName: one, defaultBackend: {service: {name: late, port: {name: http}}}}
)");
  const auto backend = [&] { return world.gateway("one")->listeners.at(0).virtual_hosts.at(0)->routes.at(0)->backends.at(0).backend; };
  CHECK_FALSE(backend());
  world.put("{apiVersion: v1, kind: Service, metadata: {name: late}, spec: {ports: [{name: http, port: 8080}]}}");
  CHECK(backend() == intent::BackendKey{"default", "late", 8080});
  CHECK(world.now().diagnostics.empty());
}

intent::Route route(const std::string& path) {
  intent::Route r;
  r.name = path;
  r.match.path.value = path;
  return r;
}

// The names of the routes of a host, in their order.
std::string names(const std::vector<intent::VirtualHost>& hosts, const std::string& hostname) {
  std::string out;
  for (const intent::VirtualHost& h : hosts) {
    if (h.hostname != hostname) continue;
    for (const intent::Route& r : h.routes) out += (out.empty() ? "" : " ") + r.name;
  }
  return out;
}

TEST_CASE("a name is answered by the rules of its own host, else of the wildcard one label above, else of those without") {
  HostTable table;
  table.add("", route("/any"));
  table.add("*.a.org", route("/wild"));
  table.add("x.a.org", route("/own"));
  const auto all = table.virtual_hosts("");
  CHECK(names(all, "*") == "/any");
  CHECK(names(all, "x.a.org") == "/own");
  CHECK(names(all, "*.a.org") == "/wild /any");
  for (const auto& [listener, expected] : std::vector<std::pair<std::string, std::string>>{
           {"x.a.org", "/own"}, {"y.a.org", "/wild"}, {"z.y.a.org", "/any"}, {"a.org", "/any"}, {"b.org", "/any"}, {"*.b.org", "/any"}}) {
    INFO(listener);
    CHECK(names(table.virtual_hosts(listener), listener) == expected);
  }
  const auto wildcard = table.virtual_hosts("*.a.org");
  CHECK(names(wildcard, "x.a.org") == "/own");
  CHECK(names(wildcard, "*.a.org") == "/wild /any");
  CHECK(names(wildcard, "*").empty());
}

TEST_CASE("the first of two with one path and type has it, and a trailing slash of a prefix is none") {
  HostTable table;
  CHECK(table.add("a.org", route("/foo")) == nullptr);
  const intent::Route* first = table.add("a.org", route("/foo/"));
  REQUIRE(first);
  CHECK(first->name == "/foo");
  intent::Route exact = route("/foo");
  exact.match.path.type = intent::PathMatchType::kExact;
  CHECK(table.add("a.org", exact) == nullptr);
  CHECK(table.add("b.org", route("/foo")) == nullptr);
}

}  // namespace
}  // namespace fairlead::adapters::ingress
