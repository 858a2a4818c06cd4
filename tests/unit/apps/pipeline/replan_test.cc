// What is made of a change is what would be made of all objects anew: random sequences of changes, compared after each with a translator and a
// pre-flight that have nothing to remember. And that a small change makes little anew.
#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "apps/pipeline/preflight.h"
#include "apps/pipeline/translator.h"
#include "base/descriptors.h"
#include "base/doc.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace replan_test {

using namespace fairlead;
using namespace fairlead::test;
using adapters::ObjectKey;
using pipeline::Preflight;
using pipeline::Translator;
using resources::ResourcePtr;
using resources::Type;

namespace {

constexpr const char* kGatewayGroup = "gateway.networking.k8s.io";

// Everything that the updates have said so far, as those would have it who follow them.
struct Told {
  std::map<intent::ScopeKey, std::map<std::pair<Type, std::string>, ResourcePtr>> scopes;
  std::map<std::string, std::vector<intent::Finding>> findings;
  std::vector<snapshot::Unfit> unfit;

  void take(const snapshot::Update& update) {
    for (const auto& gateway : update.gateways) {
      auto& scope = scopes[gateway.key];
      scope.clear();
      for (const ResourcePtr& r : gateway.resources) scope[{r->type, r->name}] = r;
    }
    for (const intent::ScopeKey& key : update.gone) scopes.erase(key);
    for (const ResourcePtr& a : update.assignments) {
      for (auto& [key, scope] : scopes) {
        if (const auto at = scope.find({a->type, a->name}); at != scope.end()) at->second = a;
      }
    }
    for (const auto& [stage, list] : update.findings) {
      if (list.empty()) findings.erase(stage);
      else findings[stage] = list;
    }
    if (update.unfit) unfit = *update.unfit;
  }
};

std::string text(const ResourcePtr& r) {
  return absl::StrCat(resources::short_name(r->type), " ", r->name, " ", r->version, "\n  references ",
                      absl::StrJoin(r->references, ", ", [](std::string* out, const resources::Reference& ref) { absl::StrAppend(out, resources::short_name(ref.type), " ", ref.name); }),
                      "\n  origins ", absl::StrJoin(r->origins, ", ", [](std::string* out, const intent::Origin& o) { absl::StrAppend(out, o.str(), " in ", o.source); }), "\n");
}

std::string text(const Told& told) {
  std::string out;
  for (const auto& [key, scope] : told.scopes) {
    absl::StrAppend(&out, "scope ", key.str(), "\n");
    for (const auto& [name, r] : scope) out += text(r);
  }
  for (const auto& [stage, findings] : told.findings) {
    absl::StrAppend(&out, "stage ", stage, "\n");
    for (const intent::Finding& f : findings) absl::StrAppend(&out, "  ", f.str(), " in ", f.scope, "\n");
  }
  std::multiset<std::string> unfit;
  for (const snapshot::Unfit& u : told.unfit) unfit.insert(absl::StrCat("unfit ", u.resource->name, " ", u.implementation, " ", u.version, " ", u.message, "\n"));
  for (const std::string& u : unfit) out += u;
  return out;
}

// Objects and those who follow them.
class World {
 public:
  World() {
    pipeline::register_vocabularies(store_);
    store_.register_source("s");
  }

  void put(const std::string& yaml) {
    const auto documents = doc::parse_yaml(yaml, "x.yaml");
    REQUIRE(documents.ok());
    for (const doc::Value& d : *documents) {
      adapters::ObjectPtr object = adapters::read_object(d, "s", "x.yaml", next_.diagnostics);
      REQUIRE(object);
      next_.upserted.push_back(std::move(object));
    }
  }
  void remove(const ObjectKey& key) { next_.removed.push_back(key); }

  const snapshot::Update& step() {
    next_.source = "s";
    next_.synced = true;
    const adapters::ChangeSet changes = store_.apply(std::exchange(next_, {}));
    translator_.note(changes);
    if (Translator::endpoints_only(changes)) {
      last_ = translator_.endpoints();
    } else {
      last_ = translator_.full(*store_.snapshot());
    }
    preflight_.judge(last_);
    told_.take(last_);
    return last_;
  }

  void compare_with_fresh() const {
    Translator fresh;
    adapters::ChangeSet all;
    store_.snapshot()->for_each([&](const adapters::ObjectPtr& o) { all.added.push_back(o); });
    fresh.note(all);
    snapshot::Update update = fresh.full(*store_.snapshot());
    Preflight("1.2.3").judge(update);
    Told anew;
    anew.take(update);
    const auto& mine = translator_.gateway_api();
    const auto& its = fresh.gateway_api();
    CHECK(intent::to_yaml(mine.model) == intent::to_yaml(its.model));
    REQUIRE(mine.model.gateways.size() == its.model.gateways.size());
    for (const auto& [key, gateway] : its.model.gateways) CHECK(*mine.model.gateways.at(key) == *gateway);
    CHECK(doc::to_yaml(adapters::to_doc(mine.status)) == doc::to_yaml(adapters::to_doc(its.status)));
    CHECK(mine.status.objects() == its.status.objects());
    CHECK(mine.diagnostics == its.diagnostics);
    CHECK(text(told_) == text(anew));
    for (const auto& [key, scope] : told_.scopes) {
      for (const auto& [name, r] : scope) {
        if (r->type != Type::kRoute) continue;
        // The bytes and the references are those of the message.
        const auto message = parse_message(resources::type_url(r->type), r->body());
        REQUIRE(message.ok());
        const ResourcePtr whole = resources::make_resource(r->type, r->name, **message, r->origins);
        CHECK(whole->hash == r->hash);
        CHECK(whole->references == r->references);
        CHECK(whole->delta_frame == r->delta_frame);
        CHECK(whole->sotw_frame() == r->sotw_frame());
      }
    }
  }

  const Told& told() const { return told_; }
  const Translator& translator() const { return translator_; }

 private:
  adapters::Store store_;
  adapters::SourceUpdate next_;
  Translator translator_;
  Preflight preflight_{"1.2.3"};
  snapshot::Update last_;
  Told told_;
};

class Objects {
 public:
  explicit Objects(unsigned seed) : random_(seed) {}

  // One object that comes, changes or goes.
  void change(World& world) {
    const size_t kind = below(100);
    if (kind < 60) return route(world);
    if (kind < 72) return grpc_route(world);
    if (kind < 78) return service(world);
    if (kind < 84) return slice(world);
    if (kind < 88) return either(world, {kGatewayGroup, "ReferenceGrant", "other", "g"}, grant());
    if (kind < 91) return either(world, {kGatewayGroup, "BackendTLSPolicy", "default", "p"}, policy());
    if (kind < 94) return either(world, {kGatewayGroup, "ListenerSet", "default", "more"}, listener_set());
    if (kind < 97) return either(world, {kGatewayGroup, "TLSRoute", "default", "t"}, tls_route());
    world.put(gateway());
  }

  std::string gateway() {
    return absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge}, spec: {gatewayClassName: fairlead, allowedListeners: {namespaces: {from: Same}}, listeners: [",
                        "{name: http, protocol: HTTP, port: 8080, allowedRoutes: {namespaces: {from: ", pick({"All", "Same"}), "}}}, ",
                        "{name: wild, protocol: HTTP, port: 8080, hostname: '*.a.test'}, {name: exact, protocol: HTTP, port: 8080, hostname: x.a.test}, ",
                        "{name: pass, protocol: TLS, port: 8443, tls: {mode: Passthrough}}, {name: other, protocol: HTTP, port: ", pick({"9090", "9091"}), "}]}}");
  }

 private:
  size_t below(size_t n) { return random_() % n; }
  std::string pick(std::vector<std::string> of) { return of[below(of.size())]; }

  void either(World& world, const ObjectKey& key, const std::string& yaml) {
    if (below(3) == 0) world.remove(key);
    else world.put(yaml);
  }

  std::string metadata(const std::string& name, const std::string& ns) {
    return absl::StrCat("metadata: {name: ", name, ", namespace: ", ns, ", generation: ", 1 + below(3), ", creationTimestamp: \"2026-01-0", 1 + below(3), "T00:00:00Z\"}");
  }
  std::string parents() {
    return pick({"[{name: edge, namespace: default}]", "[{name: edge, namespace: default}]", "[{name: edge, namespace: default, sectionName: wild}]",
                 "[{name: edge, namespace: default, sectionName: other}, {name: inner, namespace: default}]", "[{name: inner, namespace: default}]", "[{name: edge, namespace: default, port: 9090}]",
                 "[{name: more, namespace: default, kind: ListenerSet, group: gateway.networking.k8s.io}]", "[{name: egde, namespace: default}]", "[{name: edge, namespace: default, sectionName: none}]",
                 "[{group: \"\", kind: Service, name: svc-0, namespace: default}]", "[{group: \"\", kind: Service, name: svc-1, namespace: default, port: 80}, {name: edge, namespace: default}]",
                 "[{group: \"\", kind: Service, name: svc-1, namespace: default}, {group: \"\", kind: Service, name: svc-2, namespace: default, sectionName: more}]",
                 "[{group: \"\", kind: Service, name: far, namespace: other}, {group: \"\", kind: Service, name: svc-9, namespace: default}]"});
  }
  std::string hostnames() {
    std::set<std::string> names;
    for (size_t i = below(4); i > 0; --i) names.insert(pick({"a.test", "x.a.test", "'*.a.test'", "y.a.test", "b.test", "'*.test'"}));
    return absl::StrCat("[", absl::StrJoin(names, ", "), "]");
  }
  std::string backends() {
    std::vector<std::string> all;
    for (size_t i = below(3); i > 0; --i) {
      all.push_back(pick({"{name: svc-0, port: 80}", "{name: svc-1, port: 80, weight: 3}", "{name: svc-2, port: 80}", "{name: svc-2, port: 81, weight: 0}", "{name: svc-9, port: 80}",
                          "{name: far, namespace: other, port: 80}"}));
    }
    return absl::StrCat("[", absl::StrJoin(all, ", "), "]");
  }
  std::string rule() {
    const std::string match = pick({"{path: {type: PathPrefix, value: /a}}", "{path: {type: Exact, value: /b}}", "{path: {type: RegularExpression, value: '/c.*'}}", "{method: GET}",
                                    "{headers: [{name: x, value: y}]}", "{path: {type: PathPrefix, value: /}}"});
    const std::string filter = pick({"", "", "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: v, value: \"1\"}]}}], ",
                                     "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: v, value: \"2\"}]}}], ",
                                     "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: svc-1, port: 80}}}], ", "filters: [{type: CORS, cors: {allowOrigins: ['https://a.test']}}], ",
                                     "filters: [{type: ExtensionRef, extensionRef: {group: x.test, kind: Y, name: z}}], ", "sessionPersistence: {sessionName: s}, "});
    return absl::StrCat("{matches: [", match, "], ", filter, "backendRefs: ", backends(), "}");
  }
  void route(World& world) {
    const std::string name = absl::StrCat("r-", below(8)), ns = pick({"default", "default", "other"});
    const ObjectKey key{kGatewayGroup, "HTTPRoute", ns, name};
    if (below(5) == 0) return world.remove(key);
    const std::string rules = below(40) == 0 ? "[{bad: field}]" : below(3) == 0 ? absl::StrCat("[", rule(), ", ", rule(), "]") : absl::StrCat("[", rule(), "]");
    world.put(absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, ", metadata(name, ns), ", spec: {parentRefs: ", parents(), ", hostnames: ", hostnames(), ", rules: ", rules, "}}"));
  }
  void grpc_route(World& world) {
    const std::string name = absl::StrCat("g-", below(2));
    const ObjectKey key{kGatewayGroup, "GRPCRoute", "default", name};
    if (below(2) == 0) return world.remove(key);
    world.put(absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, ", metadata(name, "default"), ", spec: {parentRefs: ", parents(), ", hostnames: [", pick({"g.test", "a.test", "'*.a.test'"}),
                           "], rules: [{matches: [{method: {service: ", pick({"a.B", "c.D"}), "}}], backendRefs: ", backends(), "}]}}"));
  }
  void service(World& world) {
    const bool far = below(4) == 0;
    const std::string name = far ? "far" : absl::StrCat("svc-", below(3)), ns = far ? "other" : "default";
    either(world, {"", "Service", ns, name},
           absl::StrCat("{apiVersion: v1, kind: Service, metadata: {name: ", name, ", namespace: ", ns, "}, spec: {clusterIP: ", pick({"None", "10.96.0.1", "10.96.0.2", "10.96.0.3"}), ", ports: [{name: http, port: 80, appProtocol: ", pick({"http", "kubernetes.io/h2c"}), "}, {name: more, port: 81}]}}"));
  }
  void slice(World& world) {
    const std::string name = absl::StrCat("svc-", below(3));
    either(world, {"discovery.k8s.io", "EndpointSlice", "default", name + "-1"},
           absl::StrCat("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: ", name, "-1, namespace: default, labels: {kubernetes.io/service-name: ", name,
                        "}}, addressType: IPv4, ports: [{name: http, port: 8080}], endpoints: [{addresses: [10.0.0.", 1 + below(9), "]}]}"));
  }
  static std::string grant() {
    return "{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: {name: g, namespace: other}, spec: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}], "
           "to: [{group: \"\", kind: Service}]}}";
  }
  std::string policy() {
    return absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: p, namespace: default}, spec: {targetRefs: [{group: \"\", kind: Service, name: ", pick({"svc-0", "svc-2"}),
                        "}], validation: {hostname: svc.test, wellKnownCACertificates: ", pick({"System", "Nothing"}), "}}}");
  }
  std::string listener_set() {
    return absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: ListenerSet, metadata: {name: more, namespace: default}, spec: {parentRef: {name: edge}, listeners: [{name: set, protocol: HTTP, port: ",
                        pick({"7070", "8080"}), "}]}}");
  }
  std::string tls_route() {
    return absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: TLSRoute, metadata: {name: t, namespace: default}, spec: {parentRefs: [{name: edge}], hostnames: [", pick({"a.test", "t.test"}),
                        "], rules: [{backendRefs: [{name: svc-0, port: 80}]}]}}");
  }

  std::mt19937 random_;
};

constexpr const char* kClass =
    "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: fairlead}\nspec: {controllerName: fairlead.io/gateway-controller}\n---\n"
    "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: inner}\nspec: {gatewayClassName: fairlead, listeners: [{name: http, protocol: HTTP, port: 80, allowedRoutes: {namespaces: {from: All}}}]}\n";

}  // namespace

TEST_CASE("after any sequence of changes all is as if it were made of the objects anew") {
  uint64_t whole = 0, followed = 0;
  for (unsigned seed = 1; seed <= 5; ++seed) {
    World world;
    Objects objects(seed);
    world.put(kClass);
    world.put(objects.gateway());
    for (int i = 0; i < 3; ++i) world.put(service_yaml(absl::StrCat("svc-", i)) + slice_yaml(absl::StrCat("svc-", i)));
    world.step();
    std::mt19937 random(seed);
    for (int step = 0; step < 50; ++step) {
      for (unsigned i = 1 + random() % 2; i > 0; --i) objects.change(world);
      world.step();
      INFO("seed " << seed << ", step " << step);
      world.compare_with_fresh();
    }
    whole += world.translator().translated().whole;
    followed += world.translator().translated().followed;
  }
  // Both ways were gone.
  CHECK(whole > 50);
  CHECK(followed > 50);
}

TEST_CASE("a changed route at a Service makes the scopes of its clients anew, without a whole translation") {
  World world;
  const auto route = [](const std::string& name, const std::string& ns, const std::string& value) {
    return absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: ", name, ", namespace: ", ns, "}, spec: {parentRefs: [{group: \"\", kind: Service, name: svc-0, namespace: default}], ",
                        "rules: [{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: v, value: ", value, "}]}}], backendRefs: [{name: svc-0, port: 80}]}]}}");
  };
  world.put(gateway_yaml());
  for (int i = 0; i < 3; ++i) world.put(service_yaml(absl::StrCat("svc-", i)) + slice_yaml(absl::StrCat("svc-", i)));
  world.put(route("producer", "default", "a"));
  world.put(route("consumer", "other", "a"));
  world.step();
  const uint64_t whole = world.translator().translated().whole;
  const intent::ScopeKey all{"", "", intent::Audience::kMeshGrpc}, other{"other", "", intent::Audience::kMeshGrpc}, proxies{"", "", intent::Audience::kMeshProxy};
  const auto before = world.told().scopes;
  REQUIRE(before.contains(all));
  REQUIRE(before.contains(other));
  REQUIRE(before.contains(proxies));
  world.put(route("consumer", "other", "b"));
  world.step();
  CHECK(world.translator().translated().whole == whole);
  const std::pair<Type, std::string> table{Type::kRoute, "default/svc-0/80"};
  CHECK(world.told().scopes.at(all) == before.at(all));
  CHECK(world.told().scopes.at(other).at(table) != before.at(other).at(table));
  world.compare_with_fresh();
  world.remove({kGatewayGroup, "HTTPRoute", "other", "consumer"});
  world.step();
  CHECK(world.translator().translated().whole == whole);
  CHECK_FALSE(world.told().scopes.contains(other));
  world.compare_with_fresh();
}

TEST_CASE("one changed route makes one route table anew, and everything else stays the same by pointer") {
  World world;
  const auto route = [](int i, const std::string& value) {
    return absl::StrCat("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r-", i, "}, spec: {parentRefs: [{name: edge}], hostnames: [h-", i / 10, ".test], rules: [{matches: [{path: {value: /",
                        i, "}}], filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: v, value: ", value, "}]}}], backendRefs: [{name: svc-", i % 7, ", port: 80}]}]}}");
  };
  world.put(gateway_yaml());
  for (int i = 0; i < 7; ++i) world.put(service_yaml(absl::StrCat("svc-", i)) + slice_yaml(absl::StrCat("svc-", i)));
  for (int i = 0; i < 100; ++i) world.put(route(i, "a"));
  world.step();
  const auto before = world.told().scopes.at({"default", "edge"});
  const uint64_t whole = world.translator().translated().whole;
  const std::vector<plan::PlanPtr> plans_before = world.translator().plans();
  world.put(route(42, "b"));
  world.step();
  const auto& after = world.told().scopes.at({"default", "edge"});
  CHECK(world.translator().translated().whole == whole);
  REQUIRE(before.size() == after.size());
  std::vector<std::string> changed;
  for (const auto& [name, r] : after) {
    if (before.at(name) != r) changed.push_back(absl::StrCat(resources::short_name(r->type), " ", r->name));
  }
  CHECK(changed == std::vector<std::string>{"rds default/edge/0.0.0.0/8080"});
  const std::vector<plan::PlanPtr> plans = world.translator().plans();
  REQUIRE(plans.size() == 1);
  REQUIRE(plans[0]->clusters.size() == 7);
  for (size_t i = 0; i < 7; ++i) CHECK(plans[0]->clusters[i].get() == plans_before[0]->clusters[i].get());
  const auto& old_hosts = before.at({Type::kRoute, "default/edge/0.0.0.0/8080"})->virtual_hosts->all;
  const auto& hosts = after.at({Type::kRoute, "default/edge/0.0.0.0/8080"})->virtual_hosts->all;
  REQUIRE(old_hosts.size() == hosts.size());
  int others = 0;
  for (size_t i = 0; i < hosts.size(); ++i) others += hosts[i] != old_hosts[i] ? 1 : 0;
  CHECK(others == 1);
  world.compare_with_fresh();
}

TEST_CASE("a Service that comes makes anew what it changes, and keeps the rest by pointer") {
  World world;
  world.put(gateway_yaml());
  for (int i = 0; i < 20; ++i) world.put(service_yaml(absl::StrCat("svc-", i)) + slice_yaml(absl::StrCat("svc-", i)) + route_yaml(absl::StrCat("svc-", i), absl::StrCat("/", i)));
  world.step();
  const auto before = world.told().scopes.at({"default", "edge"});
  world.put(service_yaml("svc-20") + slice_yaml("svc-20") + route_yaml("svc-20", "/20"));
  world.step();
  const auto& after = world.told().scopes.at({"default", "edge"});
  int kept = 0;
  for (const auto& [name, r] : before) kept += after.at(name) == r ? 1 : 0;
  CHECK(kept == static_cast<int>(before.size()) - 1);
  CHECK(after.size() == before.size() + 2);
  world.compare_with_fresh();
}

}  // namespace replan_test
