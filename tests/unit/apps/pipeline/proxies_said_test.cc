// What proxies said, in the words of the objects that their configuration came from.
#include <catch2/catch.hpp>

#include <string>

#include "apps/pipeline/proxies_said.h"

namespace fairlead::pipeline::proxies_said_test {
namespace {

using adapters::ObjectKey;

const ObjectKey kEdge{"gateway.networking.k8s.io", "Gateway", "default", "edge"};

intent::Origin from(const std::string& kind, const std::string& name, const std::string& field) {
  intent::Origin o;
  o.group = "gateway.networking.k8s.io";
  o.kind = kind;
  o.ns = "default";
  o.name = name;
  o.field = field;
  return o;
}

// "HTTPRoute default/app spec.rules[0]", one a line, sorted.
std::string lines(const adapters::kubernetes::Verdicts& v) {
  std::string out;
  for (const auto& [key, r] : v.refusals) out += key.str() + " " + r.field + "\n";
  return out;
}

TEST_CASE("a Gateway is done when the proxies of all its scopes are") {
  verdict::Progress p;
  p.scopes = {{"gateway:default/edge", "v1", 2, 2}, {"gateway:default/edge+raw:default/extra", "v2", 1, 0}, {"gateway:default/idle", "v3", 0, 0}, {"raw:default/extra", "v4", 4, 4}, {"unmatched", "", 3, 0}};
  adapters::kubernetes::Verdicts v = proxies_said(p);
  CHECK(v.gateways.size() == 3);  // the raw resources are for proxies, too
  CHECK(v.gateways.at(kEdge) == adapters::kubernetes::Progress{3, false, "v1"});
  CHECK(v.gateways.at({"gateway.networking.k8s.io", "Gateway", "default", "idle"}).proxies == 0);
  p.scopes[1].synced = 1;
  CHECK(proxies_said(p).gateways.at(kEdge) == adapters::kubernetes::Progress{3, true, "v1"});
}

TEST_CASE("a refusal is every object's that the resource was made from, with the field where that is one") {
  verdict::Progress p;
  p.refusals.push_back({"gateway:default/edge", {from("Gateway", "edge", "spec.listeners[0]"), from("HTTPRoute", "app", "spec.rules[0]"), from("HTTPRoute", "app", "spec.rules[1]")}, "RDS refused: no", false});
  CHECK(lines(proxies_said(p)) == "Gateway default/edge spec.listeners[0]\nHTTPRoute default/app \n");
}

TEST_CASE("where the proxies' words name a route, the refusal is its, and not the other routes'") {
  verdict::Progress p;
  p.refusals.push_back({"gateway:default/edge",
                        {from("Gateway", "edge", "spec.listeners[0]"), from("HTTPRoute", "app", "spec.rules[0]"), from("HTTPRoute", "app-2", "spec.rules[0]"), from("HTTPRoute", "other", "spec.rules[0]")},
                        "RDS refused: route default/app-2/rule/3/match/1: bad regex",
                        false});
  CHECK(lines(proxies_said(p)) == "Gateway default/edge spec.listeners[0]\nHTTPRoute default/app-2 spec.rules[3].matches[1]\n");
}

TEST_CASE("raw resources are done when the proxies of all scopes they are in are, in the version of their own content") {
  const ObjectKey extra{"fairlead.io", "EnvoyResources", "default", "extra"};
  verdict::Progress p;
  p.scopes = {{"gateway:default/edge+raw:default/extra", "v2", 1, 1}, {"raw:default/extra", "v4", 4, 4}, {"raw:default/extra+raw:default/more", "v5", 1, 0}};
  p.raw = {{"default/extra", "content"}, {"default/idle", "other"}};
  CHECK(proxies_said(p).gateways.at(extra) == adapters::kubernetes::Progress{6, false, "content"});
  CHECK(proxies_said(p).gateways.size() == 3);
  p.scopes[2].synced = 1;
  CHECK(proxies_said(p).gateways.at(extra) == adapters::kubernetes::Progress{6, true, "content"});
}

TEST_CASE("a refusal of raw resources is theirs, wherever they are served, and no Gateway's where they are alone") {
  verdict::Progress p;
  intent::Origin own = from("EnvoyResources", "extra", "spec.resources[2]");
  own.group = "fairlead.io";
  const ObjectKey extra{"fairlead.io", "EnvoyResources", "default", "extra"};
  p.refusals.push_back({"raw:default/extra", {own}, "CDS refused", false});
  const adapters::kubernetes::Verdicts alone = proxies_said(p);
  REQUIRE(alone.refusals.size() == 1);
  CHECK(alone.refusals.begin()->first == extra);
  CHECK(alone.refusals.begin()->second == adapters::kubernetes::Refusal{extra, "spec.resources[2]", "CDS refused", false});
  p.refusals[0].scope = "gateway:default/edge+raw:default/extra";
  CHECK(proxies_said(p).refusals.count(extra) == 2);  // it is said in the name of either
}

TEST_CASE("Ingresses hear of what proxies of their class refuse, and which path it was") {
  verdict::Progress p;
  intent::Origin shop = from("Ingress", "shop", "spec.rules[0].http.paths[0]"), other = from("Ingress", "other", "spec.rules[0].http.paths[0]");
  shop.group = other.group = "networking.k8s.io";
  p.scopes = {{"gateway:IngressClass/fairlead", "v1", 2, 2}};
  p.refusals.push_back({"gateway:IngressClass/fairlead", {shop, other}, "RDS refused: default/shop/rule/1/path/2: bad", false});
  const adapters::kubernetes::Verdicts v = proxies_said(p);
  const ObjectKey of_class{"networking.k8s.io", "IngressClass", "", "fairlead"};
  CHECK(v.gateways.at(of_class).proxies == 2);
  REQUIRE(v.refusals.size() == 1);
  CHECK(v.refusals.begin()->first.name == "shop");
  CHECK(v.refusals.begin()->second.gateway == of_class);
  CHECK(v.refusals.begin()->second.field == "spec.rules[1].http.paths[2]");
}

TEST_CASE("what is found wrong without the proxies is said of the object and the field that it came from") {
  verdict::Progress p;
  p.faults.push_back({"gateway:default/edge", from("Gateway", "edge", "spec.listeners[1]"), "AddressConflict", "it overlaps", false});
  p.faults.push_back({"gateway:default/edge", from("HTTPRoute", "app", "spec.rules[0]"), "NameConflict", "it is also made elsewhere", true});
  const adapters::kubernetes::Verdicts v = proxies_said(p);
  CHECK(v.refusals.find(kEdge)->second == adapters::kubernetes::Refusal{kEdge, "spec.listeners[1]", "it overlaps", false, "AddressConflict", false});
  CHECK(v.refusals.find({"gateway.networking.k8s.io", "HTTPRoute", "default", "app"})->second ==
        adapters::kubernetes::Refusal{kEdge, "spec.rules[0]", "it is also made elsewhere", false, "NameConflict", true});
}

TEST_CASE("of clients of the mesh only what they refuse is told, whichever of their scopes it is in") {
  verdict::Progress p;
  p.scopes = {{"mesh:*", "v1", 2, 2}, {"mesh-grpc:shop", "v2", 1, 0}};
  CHECK(proxies_said(p).gateways.empty());
  p.refusals.push_back({"mesh:*", {from("HTTPRoute", "app", "spec.rules[0]")}, "RDS refused: no", false});
  p.refusals.push_back({"mesh-grpc:shop", {from("GRPCRoute", "g", "spec.rules[0]")}, "RDS refused: no", false});
  const adapters::kubernetes::Verdicts v = proxies_said(p);
  CHECK(lines(v) == "GRPCRoute default/g spec.rules[0]\nHTTPRoute default/app spec.rules[0]\n");
  for (const auto& [key, r] : v.refusals) CHECK(r.gateway == adapters::kubernetes::kMesh);
}

}  // namespace
}  // namespace fairlead::pipeline::proxies_said_test
