// Files in, findings and snapshots out: what `fairlead check` and `translate` print.
#include <catch2/catch.hpp>

#include "apps/pipeline/offline.h"
#include "base/file.h"
#include "tests/unit/apps/pipeline/yaml.h"

namespace offline_test {

using namespace fairlead;
using namespace fairlead::test;

namespace {

std::string texts(const pipeline::Offline& o, const std::string& base) {
  std::string out;
  for (const intent::Finding& f : o.findings) {
    std::string text = std::string(intent::severity_name(f.severity)) + ": " + f.str() + "\n";
    for (size_t at; (at = text.find(base + "/")) != std::string::npos;) text.erase(at, base.size() + 1);
    out += text;
  }
  return out;
}

}  // namespace

TEST_CASE("a good folder has no finding, and every scope its snapshot") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app") + slice_yaml("app"));
  auto o = pipeline::run_offline({d.path()});
  REQUIRE(o.ok());
  CHECK(texts(**o, d.path()) == "");
  CHECK((*o)->catalog.find("gateway:default/edge")->size() == 4);
  CHECK((*o)->objects->size() == 5);
}

TEST_CASE("a path that is not there is an error") {
  CHECK(absl::IsNotFound(pipeline::run_offline({"/nonexistent/folder"}).status()));
}

TEST_CASE("a name that a plan also makes is a conflict on both") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  auto plain = pipeline::run_offline({d.path()});
  REQUIRE(plain.ok());
  std::string name;
  (*plain)->catalog.find("gateway:default/edge")->of(resources::Type::kCluster).for_each([&](const auto& r) { name = r->name; });
  d.write("raw.yaml", raw_yaml("mine", cluster_yaml(name)));
  auto o = pipeline::run_offline({d.path()});
  REQUIRE(o.ok());
  const std::string found = texts(**o, d.path());
  INFO(found);
  CHECK(found.find("EnvoyResources default/mine: spec.resources[0]: NameConflict: cds \"" + name + "\" is also made by HTTPRoute default/app") != std::string::npos);
  CHECK(found.find("HTTPRoute default/app: spec.rules[0]") != std::string::npos);
  CHECK(found.find("is also made by EnvoyResources default/mine") != std::string::npos);
  CHECK(found.find("the one made from the Gateway is served") != std::string::npos);
}

TEST_CASE("two objects that give one type different versions in one scope are an error naming both") {
  TemporaryDirectory d;
  d.write("one.yaml", raw_yaml("one", cluster_yaml("a"), "clusters: [edge]", "1"));
  d.write("two.yaml", raw_yaml("two", cluster_yaml("b"), "clusters: [edge]", "2"));
  auto o = pipeline::run_offline({d.path()});
  REQUIRE(o.ok());
  const std::string found = texts(**o, d.path());
  INFO(found);
  CHECK(found.find("EnvoyResources default/one: VersionConflict: cds is given versions \"1\" and \"2\" in one scope; the other object is EnvoyResources default/two (two.yaml:2)") != std::string::npos);
  CHECK(found.find("EnvoyResources default/two: VersionConflict: cds is given versions \"1\" and \"2\" in one scope; the other object is EnvoyResources default/one (one.yaml:2)") != std::string::npos);
}

TEST_CASE("references that lead nowhere and what fairlead-proxy would refuse are told with their place") {
  TemporaryDirectory d;
  d.write("a.yaml", gateway_yaml() + route_yaml("nowhere"));
  d.write("raw.yaml", raw_yaml("mine", "  - {\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: x, connect_timeout: 1s, type: STATIC, lb_subset_config: {fallback_policy: ANY_ENDPOINT}}\n", "clusters: [pool]"));
  auto o = pipeline::run_offline({d.path()});
  REQUIRE(o.ok());
  const std::string found = texts(**o, d.path());
  INFO(found);
  CHECK(found.find("a.yaml:") != std::string::npos);
  CHECK(found.find("nowhere") != std::string::npos);
  CHECK(found.find("warning: raw.yaml:8: EnvoyResources default/mine: spec.resources[0]: NotSupportedByProxy: fairlead-proxy would refuse it: ") != std::string::npos);
}

}  // namespace offline_test
