// What clients of the mesh get besides what routes make: Services by name, and no more than they ask for.
#include "apps/pipeline/mesh_scopes.h"

#include <catch2/catch.hpp>

#include <string>

#include "apps/pipeline/translator.h"
#include "base/doc.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace mesh_scopes_test {

using namespace fairlead;
using namespace fairlead::test;
using intent::Audience;
using intent::ScopeKey;
using pipeline::Translator;
using resources::ResourcePtr;
using resources::Type;
using snapshot::Asked;

namespace {

const ScopeKey kAllGrpc{"", "", Audience::kMeshGrpc}, kShopGrpc{"shop", "", Audience::kMeshGrpc}, kAllProxies{"", "", Audience::kMeshProxy}, kShopProxies{"shop", "", Audience::kMeshProxy};

// Objects and what the updates have said of them.
class World {
 public:
  World() {
    pipeline::register_vocabularies(store_);
    store_.register_source("s");
  }
  snapshot::Update step(const std::string& yaml, std::vector<adapters::ObjectKey> removed = {}) {
    adapters::SourceUpdate u;
    u.source = "s";
    u.synced = true;
    u.removed = std::move(removed);
    const auto documents = doc::parse_yaml(yaml, "x.yaml");
    REQUIRE(documents.ok());
    for (const doc::Value& d : *documents) u.upserted.push_back(adapters::read_object(d, "s", "x.yaml", u.diagnostics));
    translator.note(store_.apply(u));
    return full();
  }
  snapshot::Update full() {
    snapshot::Update u = translator.full(*store_.snapshot());
    for (const auto& g : u.gateways) {
      auto& scope = scopes[g.key];
      scope.clear();
      for (const ResourcePtr& r : g.resources) scope[{r->type, r->name}] = r;
    }
    for (const ScopeKey& key : u.gone) scopes.erase(key);
    return u;
  }
  // The names of a scope's resources of the type, each with a blank behind it.
  std::string names(const ScopeKey& key, Type type) const {
    std::string out;
    if (const auto scope = scopes.find(key); scope != scopes.end()) {
      for (const auto& [name, r] : scope->second) out += name.first == type ? name.second + " " : "";
    }
    return out;
  }

  Translator translator;
  std::map<ScopeKey, std::map<std::pair<Type, std::string>, ResourcePtr>> scopes;

 private:
  adapters::Store store_;
};

std::string mesh_route(const std::string& name, const std::string& ns, const std::string& service) {
  return absl::StrCat("---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: ", name, ", namespace: ", ns, "}\nspec:\n  parentRefs: [{group: \"\", kind: Service, namespace: default, name: ", service,
                      "}]\n  rules: [{backendRefs: [{name: ", service, ", namespace: default, port: 80}]}]\n");
}
std::string with_ip(const std::string& service, const std::string& ip) {
  std::string of = service_yaml(service);
  return of.insert(of.find("  ports:"), "  clusterIP: " + ip + "\n") + slice_yaml(service);
}
Asked asked(const ScopeKey& by, std::set<std::string> names, bool all = false) { return {{{by, std::move(names)}}, all}; }

}  // namespace

TEST_CASE("a Service is named by itself, its namespace and its port, with as much of the domain as clients write") {
  const intent::BackendKey cart{"shop", "cart", 80};
  for (const char* name : {"cart.shop:80", "cart.shop.svc:80", "cart.shop.svc.cluster.local:80"}) CHECK(pipeline::service_named(name) == cart);
  for (const char* name : {"cart:80", "cart.shop", "cart.shop:http", "cart.shop:0", "cart.shop:65536", ".shop:80", "cart.:80", "cart.shop.svc.example.com:80", "cart.shop.cluster.local:80", ":80", ""}) {
    INFO(name);
    CHECK_FALSE(pipeline::service_named(name));
  }
}

TEST_CASE("nothing is made for a mesh that nobody is in") {
  World w;
  w.step(gateway_yaml() + with_ip("cart", "10.96.0.1") + route_yaml("cart"));
  CHECK(w.scopes.size() == 1);
  CHECK_FALSE(w.translator.ask({}));
}

TEST_CASE("a gRPC client gets the Services that it asks for and no others, with routes or without, by each name") {
  World w;
  w.step(with_ip("cart", "10.96.0.1") + with_ip("plain", "10.96.0.2") + with_ip("unasked", "10.96.0.3") + mesh_route("r", "default", "cart"));
  CHECK(w.names(kAllGrpc, Type::kListener) == "cart.default.svc.cluster.local:80 ");
  CHECK(w.translator.ask(asked(kShopGrpc, {"plain.default.svc:80", "cart.default:80", "cart.default.svc.cluster.local:80", "none.default:80", "plain.default:81", "nonsense"})));
  w.full();
  CHECK(w.names(kAllGrpc, Type::kListener) == "cart.default.svc.cluster.local:80 cart.default:80 plain.default.svc:80 ");
  CHECK(w.names(kAllGrpc, Type::kRoute) == "default/cart/80 default/plain/80 ");
  CHECK(w.names(kAllGrpc, Type::kCluster) == "default/cart/80 default/plain/80 ");
  CHECK(w.names(kAllGrpc, Type::kEndpoint) == "default/cart/80 default/plain/80 ");
  CHECK(w.names(kAllProxies, Type::kListener) == "default/cart/80 fairlead/outbound ");
  CHECK_FALSE(w.translator.ask(asked(kShopGrpc, {"cart.default:80"})));
  CHECK(w.full().gateways.empty());
  // A Service that comes later is there then, and one that goes is not.
  w.step(with_ip("none", "10.96.0.4"));
  CHECK(w.names(kAllGrpc, Type::kListener) == "cart.default.svc.cluster.local:80 cart.default:80 none.default:80 plain.default.svc:80 ");
  w.step("", {{"", "Service", "default", "plain"}, {"discovery.k8s.io", "EndpointSlice", "default", "plain-1"}});
  CHECK(w.names(kAllGrpc, Type::kListener) == "cart.default.svc.cluster.local:80 cart.default:80 none.default:80 ");
  CHECK(w.translator.ask(asked(kShopGrpc, {}, true)));
  w.full();
  CHECK(w.names(kAllGrpc, Type::kListener) == "cart.default.svc.cluster.local:80 ");
}

TEST_CASE("what a gRPC client is given is what it understands: a connection manager by its name and a table of its own") {
  World w;
  w.step(with_ip("cart", "10.96.0.1"));
  w.translator.ask(asked(kShopGrpc, {"cart.default:80"}));
  w.full();
  envoy::config::listener::v3::Listener l;
  REQUIRE(l.ParseFromString(std::string(w.scopes.at(kAllGrpc).at({Type::kListener, "cart.default:80"})->body())));
  CHECK(l.name() == "cart.default:80");
  CHECK(l.has_api_listener());
  CHECK_FALSE(l.has_address());
  envoy::config::route::v3::RouteConfiguration t;
  REQUIRE(t.ParseFromString(std::string(w.scopes.at(kAllGrpc).at({Type::kRoute, "default/cart/80"})->body())));
  REQUIRE(t.virtual_hosts_size() == 1);
  CHECK(t.virtual_hosts(0).domains(0) == "*");
  CHECK(t.virtual_hosts(0).routes(0).match().prefix() == "/");
  CHECK(t.virtual_hosts(0).routes(0).route().cluster() == "default/cart/80");
}

TEST_CASE("proxies of the mesh pass all on before the first route and after the last") {
  World w;
  w.step(with_ip("cart", "10.96.0.1"));
  CHECK(w.translator.ask(asked(kShopProxies, {})));
  w.full();
  CHECK(w.names(kAllProxies, Type::kListener) == "fairlead/outbound ");
  CHECK(w.names(kAllProxies, Type::kCluster) == "fairlead/outbound ");
  // Clients of a namespace with routes of its own have a scope of their own, and the other one when these are gone.
  w.step(mesh_route("r", "shop", "cart"));
  CHECK(w.names(kShopProxies, Type::kListener) == "default/cart/80 fairlead/outbound ");
  CHECK_FALSE(w.scopes.contains(kAllProxies));
  const snapshot::Update last = w.step("", {{"gateway.networking.k8s.io", "HTTPRoute", "shop", "r"}});
  CHECK(w.names(kAllProxies, Type::kListener) == "fairlead/outbound ");
  CHECK_FALSE(w.scopes.contains(kShopProxies));
  CHECK(last.gone.size() == 2);  // and that of gRPC clients, of whom there are none
}

TEST_CASE("endpoints of a Service that was asked for go the fast path") {
  World w;
  w.step(with_ip("cart", "10.96.0.1"));
  w.translator.ask(asked(kShopGrpc, {"cart.default:80"}));
  w.full();
  const snapshot::Update u = w.step(slice_yaml("cart", "127.0.0.9"));
  REQUIRE(u.assignments.size() == 1);
  CHECK(u.assignments[0]->name == "default/cart/80");
}

}  // namespace mesh_scopes_test
