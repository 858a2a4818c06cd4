// Which node gets what, and who conflicts with whom.
#include <catch2/catch.hpp>

#include "controlplane/snapshot/catalog.h"
#include "tests/unit/controlplane/make.h"

using namespace fairlead;
using namespace fairlead::test;
using snapshot::Catalog;
using snapshot::Node;

namespace {

Node node(std::string id, std::string cluster, std::string gateway = "") {
  Node n;
  n.id = std::move(id);
  n.cluster = std::move(cluster);
  n.gateway = std::move(gateway);
  return n;
}

resources::RawSetPtr raw(const std::string& name, std::vector<std::string> ids, std::vector<std::string> clusters,
                         std::vector<ResourcePtr> resources, std::string version = "") {
  auto set = std::make_shared<resources::RawSet>();
  set->name = "default/" + name;
  set->origin = origin("EnvoyResources", name);
  set->node_ids = std::move(ids);
  set->node_clusters = std::move(clusters);
  set->version = std::move(version);
  set->resources = std::move(resources);
  return set;
}

ResourcePtr made_by(const std::string& kind, const std::string& object, const std::string& name, int variant = 1, std::string_view version = {}) {
  return cluster(name, variant, version, {origin(kind, object)});
}

// Of names and versions; that these clusters have no assignments is another matter.
std::vector<intent::Finding> conflicts(const Catalog& c) {
  std::vector<intent::Finding> out = c.findings();
  std::erase_if(out, [](const intent::Finding& f) { return f.reason == "DanglingReference"; });
  return out;
}

}  // namespace

TEST_CASE("metadata fairlead.io/gateway decides, and a name that does not exist gives nothing") {
  Catalog c;
  c.set_gateway({"a", "edge"}, {cluster("x")});
  c.set_gateway({"b", "edge"}, {cluster("y")});
  CHECK(c.join(node("n", "other", "b/edge")).scope == "gateway:b/edge");
  const auto lost = c.join(node("n", "edge", "c/edge"));
  CHECK_FALSE(lost.matched);
  CHECK(lost.scope == "unmatched");
  CHECK(lost.reason.find("c/edge") != std::string::npos);
  CHECK(c.find(lost.scope)->size() == 0);
}

TEST_CASE("metadata fairlead.io/mesh makes a node a client of the mesh, what it is decides how, and namespaces without a scope share one") {
  using intent::Audience;
  Catalog c;
  const auto client = [](const std::string& ns, const std::string& agent) {
    Node n = node("n", ns);  // its cluster counts for nothing
    n.mesh = ns;
    n.user_agent = agent;
    return n;
  };
  const auto waiting = c.join(client("shop", "envoy"));
  CHECK_FALSE(waiting.matched);
  CHECK(waiting.reason == "node metadata fairlead.io/mesh is shop and it is a proxy, but no route has a Service for a parent yet");
  c.set_gateway({"shop", "shop"}, {cluster("g")});
  c.set_gateway({"", "", Audience::kMeshProxy}, {cluster("a")});
  c.set_gateway({"shop", "", Audience::kMeshProxy}, {cluster("b")});
  c.set_gateway({"", "", Audience::kMeshGrpc}, {cluster("c")});
  CHECK(c.scopes() == std::vector<std::string>{"gateway:shop/shop", "mesh-grpc:*", "mesh:*", "mesh:shop"});
  CHECK(c.join(client("shop", "fairlead-proxy")).scope == "mesh:shop");
  CHECK(c.join(client("edge", "envoy")).scope == "mesh:*");
  for (const char* agent : {"gRPC Go", "gRPC C-core linux", "gRPC Node Pure JS", "grpc-java"}) CHECK(c.join(client("shop", agent)).scope == "mesh-grpc:*");
  CHECK(c.join(client("shop", "envoy")).reason == "node metadata fairlead.io/mesh is shop and it is a proxy");
  CHECK(c.join(client("edge", "envoy")).reason == "node metadata fairlead.io/mesh is edge and it is a proxy; no route is for that namespace alone");
  // A Gateway's proxy is none, whatever else it says; and no other node gets there.
  Node both = client("shop", "envoy");
  both.gateway = "shop/shop";
  CHECK(c.join(both).scope == "gateway:shop/shop");
  CHECK(c.join(node("n", "shop")).scope == "gateway:shop/shop");
  CHECK(c.join(node("n", "", "shop/")).scope == "unmatched");
  c.remove_gateway({"shop", "", Audience::kMeshProxy});
  CHECK(c.join(client("shop", "envoy")).scope == "mesh:*");
}

TEST_CASE("a mesh client without a scope gets no raw resources instead, which would go again") {
  Catalog c;
  c.set_raw({raw("rest", {}, {}, {cluster("x")})});
  Node n = node("n", "n");
  CHECK(c.join(n).matched);
  n.mesh = "shop";
  CHECK_FALSE(c.join(n).matched);
  c.set_raw({raw("own", {"n"}, {}, {cluster("x")})});
  CHECK(c.join(n).scope == "raw:default/own");
}

TEST_CASE("the node's cluster decides when one Gateway alone has that name") {
  Catalog c;
  c.set_gateway({"a", "edge"}, {cluster("x")});
  CHECK(c.join(node("n", "edge")).scope == "gateway:a/edge");
  c.set_gateway({"b", "edge"}, {cluster("y")});
  const auto both = c.join(node("n", "edge"));
  CHECK_FALSE(both.matched);
  CHECK(both.reason.find("a/edge, b/edge") != std::string::npos);
  CHECK(c.join(node("n", "nothing")).reason.find("nothing") != std::string::npos);
  CHECK(c.join(node("n", "")).reason.find("neither") != std::string::npos);
}

TEST_CASE("raw resources go to the ids and clusters they name, or to whom nothing else claims") {
  Catalog c;
  c.set_gateway({"a", "edge"}, {cluster("x")});
  c.set_raw({raw("mine", {"edge-1"}, {"pool"}, {cluster("m")}), raw("rest", {}, {}, {cluster("z")})});
  CHECK(c.join(node("edge-1", "none")).scope == "raw:default/mine");
  CHECK(c.join(node("n", "pool")).scope == "raw:default/mine");
  CHECK(c.join(node("edge-1", "edge")).scope == "gateway:a/edge+raw:default/mine");
  CHECK(c.join(node("n", "edge")).scope == "gateway:a/edge");
  const auto rest = c.join(node("n", "stranger"));
  CHECK(rest.scope == "raw:default/rest");
  CHECK(rest.matched);
  CHECK(c.find("gateway:a/edge+raw:default/mine")->of(Type::kCluster).size() == 2);
}

TEST_CASE("a name that a plan and a raw set make is a conflict, told on both; the plan's is served") {
  Catalog c;
  c.set_gateway({"a", "edge"}, {made_by("HTTPRoute", "app", "same", 1)});
  c.set_raw({raw("mine", {}, {"edge"}, {made_by("EnvoyResources", "mine", "same", 2)})});
  const auto findings = conflicts(c);
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].reason == "NameConflict");
  CHECK(findings[0].origin.kind == "EnvoyResources");
  CHECK(findings[0].message.find("HTTPRoute default/app") != std::string::npos);
  CHECK(findings[1].origin.kind == "HTTPRoute");
  CHECK(findings[0].severity == intent::Severity::kError);
  CHECK(findings[1].message.find("EnvoyResources default/mine") != std::string::npos);
  CHECK(findings[1].severity == intent::Severity::kWarning);  // it loses nothing
  CHECK(c.find("gateway:a/edge+raw:default/mine")->find(Type::kCluster, "same")->hash == cluster("same", 1)->hash);
  c.set_raw({});
  CHECK(conflicts(c).empty());
}

TEST_CASE("two raw sets with one name conflict; the first by name is served") {
  Catalog c;
  c.set_raw({raw("b", {"n"}, {}, {made_by("EnvoyResources", "b", "same", 2)}), raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "same", 1)})});
  CHECK(conflicts(c).size() == 2);
  CHECK(c.find("raw:default/a+raw:default/b")->find(Type::kCluster, "same")->hash == cluster("same", 1)->hash);
}

TEST_CASE("beside a Gateway that makes resources of the type, of two raw sets with one name the first by name is served, and they are told so") {
  Catalog c;
  c.set_gateway({"a", "edge"}, {cluster("x")});
  c.set_raw({raw("b", {}, {"edge"}, {made_by("EnvoyResources", "b", "same", 2)}), raw("a", {}, {"edge"}, {made_by("EnvoyResources", "a", "same", 1)})});
  const auto findings = conflicts(c);
  REQUIRE(findings.size() == 2);
  for (const intent::Finding& f : findings) CHECK(f.message.find("the first by name is served") != std::string::npos);
}

TEST_CASE("two raw sets that give one type different versions: an error on both, and what was served stays") {
  Catalog c;
  c.set_raw({raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "x", 1, "7")}, "7")});
  c.join(node("n", ""));
  CHECK(c.find("raw:default/a")->of(Type::kCluster).version() == "7");
  c.set_raw({raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "x", 1, "7")}, "7"),
             raw("b", {"n"}, {}, {made_by("EnvoyResources", "b", "y", 1, "8")}, "8")});
  const auto findings = conflicts(c);
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].reason == "VersionConflict");
  CHECK(findings[0].message.find("\"7\"") != std::string::npos);
  CHECK(findings[0].message.find("\"8\"") != std::string::npos);
  const auto both = c.find("raw:default/a+raw:default/b");
  CHECK(both->find(Type::kCluster, "x"));
  CHECK_FALSE(both->find(Type::kCluster, "y"));
}

TEST_CASE("an assignment reaches every scope whose plan has it, and no other") {
  Catalog c;
  c.set_gateway({"a", "one"}, {cluster("x"), assignment("x")});
  c.set_gateway({"a", "two"}, {cluster("x"), assignment("x")});
  c.set_gateway({"a", "three"}, {cluster("y"), assignment("y")});
  CHECK(c.set_assignment(assignment("x", 2)) == std::vector<std::string>{"gateway:a/one", "gateway:a/two"});
  CHECK(c.set_assignment(assignment("x", 2)).empty());
  CHECK(c.find("gateway:a/one")->find(Type::kEndpoint, "x") == c.find("gateway:a/two")->find(Type::kEndpoint, "x"));
}

TEST_CASE("only scopes that changed are named, and membership tells when nodes must be joined again") {
  Catalog c;
  c.set_gateway({"a", "one"}, {cluster("x")});
  c.set_gateway({"a", "two"}, {cluster("y")});
  const uint64_t membership = c.membership();
  CHECK(c.set_gateway({"a", "one"}, {cluster("x", 2)}) == std::vector<std::string>{"gateway:a/one"});
  CHECK(c.set_gateway({"a", "one"}, {cluster("x", 2)}).empty());
  CHECK(c.membership() == membership);
  c.remove_gateway({"a", "one"});
  CHECK(c.membership() > membership);
  CHECK_FALSE(c.join(node("n", "one")).matched);
}

TEST_CASE("changed bytes under an unchanged verbatim version are refused and the old kept") {
  std::vector<intent::Finding> findings;
  const auto first = raw("a", {}, {}, {cluster("x", 1, "7"), cluster("y", 1, "7")}, "7");
  const auto kept = resources::accept_raw_set(first, raw("a", {}, {}, {cluster("x", 2, "7"), cluster("y", 1, "7")}, "7"), findings);
  CHECK(kept == first);
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].reason == "VersionUnchanged");
  CHECK(findings[0].message.find("\"x\"") != std::string::npos);
  findings.clear();
  CHECK(resources::accept_raw_set(first, raw("a", {}, {}, {cluster("x", 1, "7")}, "7"), findings) == first);
  CHECK(findings.size() == 1);
}

TEST_CASE("under a new verbatim version only what changed has it") {
  std::vector<intent::Finding> findings;
  const auto first = raw("a", {}, {}, {cluster("x", 1, "7"), cluster("y", 1, "7")}, "7");
  const auto second = resources::accept_raw_set(first, raw("a", {}, {}, {cluster("x", 2, "8"), cluster("y", 1, "8")}, "8"), findings);
  CHECK(findings.empty());
  CHECK(second->resources[0]->version == "8");
  CHECK(second->resources[1]->version == "7");
  const auto third = resources::accept_raw_set(second, raw("a", {}, {}, {cluster("x", 2, "9"), cluster("y", 1, "9")}, "9"), findings);
  CHECK(third->resources[0]->version == "8");
  CHECK(third->resources[1]->version == "7");
}

TEST_CASE("what a scope refers to and lacks is a finding on the referring object, until it is there") {
  Catalog c;
  c.set_raw({raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "x", 1)})});
  REQUIRE(c.findings().size() == 1);
  CHECK(c.findings()[0].reason == "DanglingReference");
  CHECK(c.findings()[0].origin.name == "a");
  c.set_raw({raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "x", 1), assignment("x")})});
  CHECK(c.findings().empty());
}

TEST_CASE("two versions for one type from the start: what the second has may still be in use, so nothing counts as removed") {
  Catalog c;
  const std::vector<resources::RawSetPtr> both{raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "x", 1, "7")}, "7"),
                                               raw("b", {"n"}, {}, {made_by("EnvoyResources", "b", "y", 1, "8")}, "8")};
  c.set_raw(both);
  CHECK(c.incomplete());
  c.set_raw({both[1], both[0]});
  CHECK(c.incomplete());
  c.set_raw({both[0], raw("b", {"n"}, {}, {made_by("EnvoyResources", "b", "y", 1, "7")}, "7")});
  CHECK_FALSE(c.incomplete());
  c.set_raw(both);  // now there is something that was served before
  CHECK_FALSE(c.incomplete());
}

TEST_CASE("a raw set that comes with another version than the one that is served changes nothing, whatever its name") {
  Catalog c;
  const auto old = raw("b", {"n"}, {}, {made_by("EnvoyResources", "b", "y", 1, "8")}, "8");
  c.set_raw({old});
  c.join(node("n", ""));
  c.set_raw({raw("a", {"n"}, {}, {made_by("EnvoyResources", "a", "x", 1, "7")}, "7"), old});
  const auto both = c.find("raw:default/a+raw:default/b");
  CHECK(both->find(Type::kCluster, "y"));
  CHECK_FALSE(both->find(Type::kCluster, "x"));
  CHECK_FALSE(c.incomplete());
}
