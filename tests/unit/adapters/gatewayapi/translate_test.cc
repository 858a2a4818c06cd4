// What golden files cannot show: changes over time, pointers that stay, hostnames and precedence as tables.
#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "adapters/gatewayapi/hostnames.h"
#include "adapters/gatewayapi/precedence.h"
#include "adapters/gatewayapi/translate.h"
#include "base/file.h"

namespace fairlead::adapters::gatewayapi {
namespace {

constexpr const char* kBase = R"(
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: fairlead}
spec: {controllerName: fairlead.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: one}
spec: {gatewayClassName: fairlead, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two}
spec: {gatewayClassName: fairlead, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r}
spec:
  parentRefs: [{name: one}]
  rules: [{backendRefs: [{name: web, namespace: apps, port: 80}]}]
)";

constexpr const char* kGrant = R"(
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: apps}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: "", kind: Service}]
)";

class World {
 public:
  World() {
    register_groups(store_);
    put(kBase);
  }
  void put(const std::string& yaml) { apply(yaml, {}); }
  void remove(const ObjectKey& key) { apply("", {key}); }
  const Translation& now() const { return now_; }
  const intent::GatewayPtr& gateway(const std::string& name) const { return now_.model.gateways.at({"default", name}); }
  const intent::Route& route() const { return gateway("one")->listeners.at(0).virtual_hosts.at(0)->routes.at(0); }
  size_t diagnostics() const { return store_.snapshot()->diagnostics().size(); }

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

TEST_CASE("a grant takes effect and is revoked at once") {
  World w;
  CHECK_FALSE(w.route().backends.at(0).backend);
  w.put(kGrant);
  CHECK(w.route().backends.at(0).backend);
  w.remove({"gateway.networking.k8s.io", "ReferenceGrant", "apps", "g"});
  CHECK_FALSE(w.route().backends.at(0).backend);
}

TEST_CASE("a service that comes and goes changes its share") {
  World w;
  w.put(kGrant);
  w.remove({"", "Service", "apps", "web"});
  CHECK_FALSE(w.route().backends.at(0).backend);
  w.put("{apiVersion: v1, kind: Service, metadata: {name: web, namespace: apps}, spec: {ports: [{port: 80}]}}");
  CHECK(w.route().backends.at(0).backend->str() == "apps/web/80");
}

TEST_CASE("gateways that a change does not touch keep their pointer") {
  World w;
  const intent::GatewayPtr one = w.gateway("one"), two = w.gateway("two");
  w.put(kGrant);
  CHECK(w.gateway("one") != one);
  CHECK(w.gateway("two") == two);
}

TEST_CASE("proxies listen on the addresses that a Gateway asks for, but on all of theirs behind a Service of its own, whose these are then") {
  World w;
  const auto listens = [&] {
    const intent::Listener& l = w.gateway("one")->listeners.at(0);
    std::vector<std::string> all{l.address};
    all.insert(all.end(), l.more_addresses.begin(), l.more_addresses.end());
    return all;
  };
  CHECK(listens() == std::vector<std::string>{"0.0.0.0"});
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: one, uid: u-1}, spec: {gatewayClassName: fairlead, addresses: [{value: 192.0.2.1}, {value: 192.0.2.2}], "
        "listeners: [{name: http, port: 80, protocol: HTTP}]}}");
  CHECK(listens() == std::vector<std::string>{"192.0.2.1", "192.0.2.2"});
  const auto service = [](const std::string& manager, const std::string& owner) {
    return "{apiVersion: v1, kind: Service, metadata: {name: one-fairlead, labels: {app.kubernetes.io/managed-by: " + manager +
           "}, ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: one, uid: " + owner + "}]}, spec: {ports: [{port: 80}]}}";
  };
  w.put(service("somebody", "u-1"));
  CHECK(listens().size() == 2);
  w.put(service("fairlead-control", "u-2"));
  CHECK(listens().size() == 2);
  w.put(service("fairlead-control", "u-1"));
  CHECK(listens() == std::vector<std::string>{"0.0.0.0"});
  w.remove({"", "Service", "default", "one-fairlead"});
  CHECK(listens().size() == 2);
}

TEST_CASE("a route whose new text is bad is served as it was") {
  World w;
  w.put(kGrant);
  const intent::GatewayPtr before = w.gateway("one");
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: one}], rulez: []}}");
  CHECK(w.gateway("one") == before);
  CHECK(w.diagnostics() == 2);
}

// A document of base.yaml of the golden folder.
std::string golden(const std::string& name) {
  const auto text = read_file(std::string(FAIRLEAD_SOURCE_DIR) + "/tests/golden/gatewayapi/base.yaml");
  REQUIRE(text.ok());
  const size_t at = text->find("metadata: {name: " + name + "}"), begin = text->rfind("\n---\n", at) + 5, end = text->find("\n---\n", at);
  return text->substr(begin, end == std::string::npos ? end : end + 1 - begin);
}

TEST_CASE("a secret whose new text is bad is served as it was, and the listener says so; a new one is served anew") {
  World w;
  const std::string good = golden("a");
  w.put(good);
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: two}, spec: {gatewayClassName: fairlead, listeners: "
        "[{name: tls, port: 443, protocol: HTTPS, hostname: a.example.com, tls: {certificateRefs: [{name: a}]}}]}}");
  const intent::GatewayPtr before = w.gateway("two");
  REQUIRE(before->secrets.size() == 1);
  CHECK(before->secrets[0].name == "default/a");
  const ObjectKey gateway{"gateway.networking.k8s.io", "Gateway", "default", "two"};
  const auto condition = [&](const char* type) { return *w.now().status.find(gateway, {{}, "tls", 0}, type); };
  CHECK(condition("ResolvedRefs").status == Truth::kTrue);
  std::string bad = good;
  bad.replace(bad.find("tls.crt: ") + 9, 8, "AAAAAAAA");
  w.put(bad);
  CHECK(w.gateway("two") == before);
  CHECK(condition("ResolvedRefs").status == Truth::kFalse);
  CHECK(condition("ResolvedRefs").reason == "InvalidCertificateRef");
  CHECK(condition("ResolvedRefs").message.find("Secret default/a is not valid: x.yaml:6: data[\"tls.crt\"]: no certificate in PEM form; the last good one is served") != std::string::npos);
  CHECK(condition("Programmed").status == Truth::kUnknown);
  w.put(golden("wild").replace(golden("wild").find("wild"), 4, "a"));
  CHECK(w.gateway("two")->secrets.at(0).certificate_chain != before->secrets[0].certificate_chain);
  CHECK(condition("ResolvedRefs").status == Truth::kTrue);
  w.remove({"", "Secret", "default", "a"});
  CHECK(w.gateway("two")->listeners.empty());
  CHECK(condition("Programmed").status == Truth::kFalse);
}

TEST_CASE("an authority whose new text is bad is trusted as it was, and the policy says that it is not valid") {
  World w;
  w.put("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 443}]}}");
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: p}, spec: {targetRefs: [{group: '', kind: Service, name: web}], "
        "validation: {hostname: web.example.com, caCertificateRefs: [{group: '', kind: ConfigMap, name: authority}]}}}");
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: secured}, spec: {parentRefs: [{name: two}], "
        "rules: [{backendRefs: [{name: web, port: 443}]}]}}");
  w.put(golden("authority"));
  const ObjectKey policy{"gateway.networking.k8s.io", "BackendTLSPolicy", "default", "p"};
  const StatusScope scope{{"gateway.networking.k8s.io", "Gateway", "default", "two"}, "", 0};
  const auto condition = [&](const char* type) { return *w.now().status.find(policy, scope, type); };
  CHECK(condition("Accepted").status == Truth::kTrue);
  const intent::GatewayPtr before = w.gateway("two");
  REQUIRE(before->backend_tls.size() == 1);
  w.put("{apiVersion: v1, kind: ConfigMap, metadata: {name: authority}, data: {ca.crt: ''}}");
  CHECK(w.gateway("two") == before);
  CHECK(condition("Accepted").status == Truth::kFalse);
  CHECK(condition("Accepted").reason == "NoValidCACertificate");
  CHECK(condition("ResolvedRefs").reason == "InvalidCACertificateRef");
  w.put(golden("authority"));
  CHECK(condition("Accepted").status == Truth::kTrue);
  w.remove({"", "ConfigMap", "default", "authority"});
  CHECK(condition("Accepted").reason == "NoValidCACertificate");
  CHECK(w.gateway("two")->backend_tls.empty());
}

TEST_CASE("a class that goes takes its gateways with it") {
  World w;
  w.remove({"gateway.networking.k8s.io", "GatewayClass", "", "fairlead"});
  CHECK(w.now().model.gateways.empty());
  CHECK(w.now().diagnostics.size() == 2);  // the two Gateways; the parent of the route exists, as somebody else's
}

TEST_CASE("hostnames meet in the narrower one") {
  struct Row {
    const char *a, *b, *both;
  };
  for (const Row& row : {Row{"", "", ""}, Row{"", "a.com", "a.com"}, Row{"", "*.com", "*.com"}, Row{"a.com", "a.com", "a.com"},
                         Row{"a.com", "b.com", "-"}, Row{"*.com", "a.com", "a.com"}, Row{"*.com", "a.b.com", "a.b.com"},
                         Row{"*.a.com", "a.com", "-"}, Row{"*.com", "*.a.com", "*.a.com"}, Row{"*.a.com", "*.b.com", "-"},
                         Row{"*.a.com", "xa.com", "-"}, Row{"*.a.com", "b.xa.com", "-"}, Row{"*.com", "*.com", "*.com"}}) {
    INFO(row.a << " and " << row.b);
    CHECK(intersect(row.a, row.b).value_or("-") == row.both);
    CHECK(intersect(row.b, row.a).value_or("-") == row.both);
  }
  CHECK(route_hostnames("", {}) == std::vector<std::string>{"*"});
  CHECK(route_hostnames("*.a.com", {}) == std::vector<std::string>{"*.a.com"});
  CHECK(route_hostnames("x.a.com", {"*.a.com", "x.a.com", "b.com"}) == std::vector<std::string>{"x.a.com"});
  CHECK(route_hostnames("x.a.com", {"b.com"}).empty());
}

RankedRoute ranked(intent::PathMatchType type, const std::string& path, bool method, size_t headers, size_t query, int created,
                   const std::string& object, size_t rule, size_t match) {
  RankedRoute r;
  r.route.match.path = {type, path};
  if (method) r.route.match.method = "GET";
  r.route.match.headers.resize(headers);
  r.route.match.query.resize(query);
  r.created = std::chrono::sys_seconds(std::chrono::seconds(created));
  r.object = object;
  r.rule = rule;
  r.match = match;
  return r;
}

TEST_CASE("each criterion of precedence outweighs all that follow") {
  using enum intent::PathMatchType;
  // From first to last tried: every row differs from the one before in exactly one criterion, against all later ones.
  const std::vector<RankedRoute> order = {
      ranked(kExact, "/a", false, 0, 0, 9, "z/z", 9, 9),     ranked(kRegex, "/long.*", false, 0, 0, 9, "z/z", 9, 9),
      ranked(kRegex, "/l.*", true, 9, 9, 1, "a/a", 0, 0),    ranked(kPrefix, "/longer", false, 0, 0, 9, "z/z", 9, 9),
      ranked(kPrefix, "/lon/", true, 0, 0, 9, "z/z", 9, 9),  ranked(kPrefix, "/lon", false, 2, 0, 9, "z/z", 9, 9),
      ranked(kPrefix, "/lon", false, 1, 9, 9, "z/z", 9, 9),  ranked(kPrefix, "/lon", false, 1, 8, 1, "z/z", 9, 9),
      ranked(kPrefix, "/lon", false, 1, 8, 2, "a/z", 9, 9),  ranked(kPrefix, "/lon", false, 1, 8, 2, "b/a", 0, 9),
      ranked(kPrefix, "/lon", false, 1, 8, 2, "b/a", 1, 0),  ranked(kPrefix, "/lon", false, 1, 8, 2, "b/a", 1, 1),
  };
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t j = 0; j < order.size(); ++j) {
      INFO(i << " and " << j);
      CHECK(tried_before(order[i], order[j]) == (i < j));
    }
  }
}

TEST_CASE("among GRPCRoutes the service outweighs the method, and that the headers") {
  const auto call = [](GrpcName service, GrpcName method, size_t headers, const std::string& object) {
    RankedRoute r = ranked(intent::PathMatchType::kPrefix, "/", false, headers, 0, 1, object, 0, 0);
    r.grpc = GrpcMethod{service, method};
    return r;
  };
  const std::vector<RankedRoute> order = {
      call({0, 9}, {2, 0}, 0, "z/z"), call({0, 8}, {0, 3}, 0, "z/z"), call({0, 8}, {0, 2}, 9, "z/z"), call({0, 8}, {1, 9}, 9, "z/z"), call({0, 8}, {2, 0}, 2, "z/z"),
      call({0, 8}, {2, 0}, 1, "a/a"), call({1, 20}, {0, 9}, 9, "a/a"), call({1, 3}, {0, 9}, 9, "a/a"), call({2, 0}, {0, 9}, 9, "a/a"), call({2, 0}, {2, 0}, 0, "a/a"),
  };
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t j = 0; j < order.size(); ++j) {
      INFO(i << " and " << j);
      CHECK(tried_before(order[i], order[j]) == (i < j));
    }
  }
}

constexpr const char* kGroupName = "gateway.networking.k8s.io";

TEST_CASE("a ListenerSet comes and goes with its listeners, and with its Gateway's leave") {
  World w;
  const std::string set = "{apiVersion: gateway.networking.k8s.io/v1, kind: ListenerSet, metadata: {name: s}, spec: {parentRef: {name: two}, listeners: [{name: http, port: 81, protocol: HTTP}]}}";
  const std::string open = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: two}, spec: {gatewayClassName: fairlead, allowedListeners: {namespaces: {from: Same}}, "
                           "listeners: [{name: http, port: 80, protocol: HTTP}]}}";
  const ObjectKey key{kGroupName, "ListenerSet", "default", "s"}, gateway{kGroupName, "Gateway", "default", "two"};
  const auto accepted = [&] { return w.now().status.find(key, {}, "Accepted"); };
  w.put(set);
  CHECK(w.gateway("two")->listeners.size() == 1);
  CHECK(accepted()->reason == "NotAllowed");
  CHECK(w.now().status.objects().at(gateway).at({}).attached_listener_sets == -1);
  w.put(open);
  REQUIRE(w.gateway("two")->listeners.size() == 2);
  CHECK(w.gateway("two")->listeners[1].name == "default/s/http");
  CHECK(accepted()->status == Truth::kTrue);
  CHECK(w.now().status.objects().at(gateway).at({}).attached_listener_sets == 1);
  w.remove(key);
  CHECK(w.gateway("two")->listeners.size() == 1);
  CHECK(w.now().status.objects().at(gateway).at({}).attached_listener_sets == 0);
  CHECK(accepted() == nullptr);
}

TEST_CASE("when the route that came first goes, the next one has what it had") {
  World w;
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: two}, spec: {gatewayClassName: fairlead, listeners: [{name: http, port: 80, protocol: HTTP}, "
        "{name: tcp, port: 90, protocol: TCP}]}}");
  w.put("{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 80}]}}");
  for (const char* name : {"a", "b"}) {
    w.put(std::string("{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: ") + name + "}, spec: {parentRefs: [{name: two}], rules: [{backendRefs: [{name: x, port: 80}]}]}}");
  }
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {parentRefs: [{name: two}], rules: [{backendRefs: [{name: x, port: 80}]}]}}");
  w.put("{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: b}, spec: {parentRefs: [{name: two}], rules: [{backendRefs: [{name: x, port: 80}]}]}}");
  const auto listener = [&](size_t i) -> const intent::Listener& { return w.gateway("two")->listeners.at(i); };
  const auto accepted = [&](const char* kind) { return *w.now().status.find({kGroupName, kind, "default", "b"}, {{kGroupName, "Gateway", "default", "two"}, "", 0}, "Accepted"); };
  CHECK(listener(1).l4_route->origin.name == "a");
  CHECK(accepted("TCPRoute").status == Truth::kTrue);
  CHECK(accepted("TCPRoute").message == "connections of listener tcp go to TCPRoute default/a, which comes first");
  CHECK(accepted("GRPCRoute").reason == "HostnameConflict");
  CHECK(listener(0).virtual_hosts.at(0)->routes.at(0)->origin.kind == "HTTPRoute");
  w.remove({kGroupName, "TCPRoute", "default", "a"});
  w.remove({kGroupName, "HTTPRoute", "default", "a"});
  CHECK(listener(1).l4_route->origin.name == "b");
  CHECK(accepted("TCPRoute").message.empty());
  CHECK(accepted("GRPCRoute").status == Truth::kTrue);
  CHECK(listener(0).virtual_hosts.at(0)->routes.at(0)->origin.kind == "GRPCRoute");
}

TEST_CASE("the features that are told are sorted, each once, as the conformance suite reads them") {
  World w;
  const std::vector<std::string>& features = w.now().status.objects().at({kGroupName, "GatewayClass", "", "fairlead"}).at({}).supported_features;
  CHECK(std::is_sorted(features.begin(), features.end()));
  CHECK(std::adjacent_find(features.begin(), features.end()) == features.end());
  CHECK(std::find(features.begin(), features.end(), "GRPCRoute") != features.end());
}

}  // namespace
}  // namespace fairlead::adapters::gatewayapi
