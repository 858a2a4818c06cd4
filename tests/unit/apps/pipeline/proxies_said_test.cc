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
  CHECK(v.gateways.size() == 2);
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

TEST_CASE("a refusal in a scope of raw resources alone is no Gateway's") {
  verdict::Progress p;
  p.refusals.push_back({"raw:default/extra", {from("EnvoyResources", "extra", "")}, "CDS refused", false});
  CHECK(proxies_said(p).refusals.empty());
}

}  // namespace
}  // namespace fairlead::pipeline::proxies_said_test
