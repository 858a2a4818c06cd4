// How origins and findings read, and what a dumped intent leaves out.
#include <catch2/catch.hpp>

#include "controlplane/intent/intent.h"

using namespace fairlead::intent;

namespace {

Origin route() {
  Origin o;
  o.file = "routes.yaml";
  o.line = 12;
  o.group = "gateway.networking.k8s.io";
  o.kind = "HTTPRoute";
  o.ns = "default";
  o.name = "app";
  o.generation = 3;
  o.field = "spec.rules[0]";
  return o;
}

}  // namespace

TEST_CASE("an origin names file and line, or the object at its generation") {
  Origin o = route();
  CHECK(o.str() == "routes.yaml:12: HTTPRoute default/app: spec.rules[0]");
  o.file.clear();
  CHECK(o.place() == "HTTPRoute default/app@3");
  CHECK(o.str() == "HTTPRoute default/app@3: spec.rules[0]");
  o.ns.clear();
  CHECK(o.object() == "HTTPRoute app");
}

TEST_CASE("an origin that knows no object reads as its place alone") {
  Origin o{.file = "routes.yaml", .line = 3};
  CHECK(o.str() == "routes.yaml:3");
  o.kind = "Service", o.ns = "default", o.field = "metadata";
  CHECK(o.str() == "routes.yaml:3: Service: metadata");
  o.file.clear(), o.kind.clear(), o.ns.clear(), o.field.clear(), o.name = "edge";
  CHECK(o.str() == "edge");
}

TEST_CASE("an object stays the same through edits of line, field and generation") {
  Origin later = route();
  later.line = 90;
  later.generation = 4;
  later.field = "spec.rules[7]";
  CHECK(route().same_object(later));
  later.name = "other";
  CHECK_FALSE(route().same_object(later));
}

TEST_CASE("origins are kept once, in the order they came") {
  Origins list;
  Origin other = route();
  other.name = "a";
  add_origin(list, route());
  add_origin(list, other);
  add_origin(list, route());
  REQUIRE(list.size() == 2);
  CHECK(list[1].name == "a");
}

TEST_CASE("a finding reads as place, object, reason, message") {
  const Finding f{Severity::kError, route(), "default/edge", "HostnameConflict", "taken"};
  CHECK(f.str() == "routes.yaml:12: HTTPRoute default/app: spec.rules[0]: HostnameConflict: taken");
  CHECK(severity_name(f.severity) == "error");
}

TEST_CASE("a dumped intent has no field at its default and no line numbers") {
  auto gateway = std::make_shared<Gateway>();
  gateway->key = {"default", "edge"};
  gateway->origin = route();
  Listener l;
  l.name = "http";
  l.port = 80;
  gateway->listeners.push_back(l);
  Model model;
  model.gateways[gateway->key] = gateway;
  const std::string text = to_yaml(model);
  CHECK(text.find("routes.yaml") == std::string::npos);
  CHECK(text.find("hostname") == std::string::npos);
  CHECK(text.find("virtual_hosts") == std::string::npos);
  CHECK(text.find("protocol: HTTP") != std::string::npos);
}
