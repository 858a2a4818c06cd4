// EnvoyResources objects as raw sets: strict reading, Envoy's own rules, last good resources.
#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "adapters/xds/envoy_resources.h"

namespace fairlead::adapters::xds {
namespace {

constexpr const char* kHead =
    "apiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: edge}\nspec:\n  nodes: {ids: [edge-1], clusters: [edge]}\n";

std::string cluster(const std::string& name, const std::string& extra = "") {
  return "  - \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n    name: " + name + "\n" + extra;
}

// One source whose only file has this text.
class World {
 public:
  World() { register_groups(store_); }

  const Translation& put(const std::string& yaml) {
    SourceUpdate u;
    u.source = "file:x";
    u.synced = true;
    const auto documents = doc::parse_yaml(yaml, "x.yaml");
    REQUIRE(documents.ok());
    for (const doc::Value& d : *documents) {
      ObjectPtr o = read_object(d, "file:x", "x.yaml", u.diagnostics);
      REQUIRE(o);
      u.upserted.push_back(o);
    }
    store_.apply(u);
    Translation next = translate(*store_.snapshot(), &last_);
    last_ = std::move(next);
    return last_;
  }
  std::vector<std::string> told() const {
    std::vector<std::string> all;
    for (const Diagnostic& d : store_.snapshot()->diagnostics()) all.push_back(d.str());
    for (const Diagnostic& d : last_.diagnostics()) all.push_back(d.str());
    return all;
  }
  bool tells(const std::string& part) const {
    const std::vector<std::string> all = told();
    return std::any_of(all.begin(), all.end(), [&](const std::string& t) { return t.find(part) != std::string::npos; });
  }
  std::string names() const {
    std::string all;
    for (const auto& [name, entry] : last_.sets) {
      for (const auto& r : entry.set->resources) all += (all.empty() ? "" : " ") + std::string(resources::short_name(r->type)) + ":" + r->name;
    }
    return all;
  }
  const Condition* programmed() const { return last_.status.find({"fairlead.io", "EnvoyResources", "default", "edge"}, {}, "Programmed"); }
  const Condition* accepted() const { return last_.status.find({"fairlead.io", "EnvoyResources", "default", "edge"}, {}, "Accepted"); }

 private:
  Store store_;
  Translation last_;
};

TEST_CASE("an object becomes a set with its nodes, version, resources and their lines") {
  World w;
  const Translation& t = w.put(std::string(kHead) + "  version: \"7\"\n  resources:\n" + cluster("a") +
                               "  - \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment\n    cluster_name: a\n");
  INFO(doc::to_yaml(to_doc(t.status)));
  REQUIRE(t.sets.size() == 1);
  const resources::RawSet& set = *t.sets.at("default/edge").set;
  CHECK(w.told().empty());
  CHECK(set.node_ids == std::vector<std::string>{"edge-1"});
  CHECK(set.node_clusters == std::vector<std::string>{"edge"});
  CHECK(set.version == "7");
  CHECK(w.names() == "cds:a eds:a");
  REQUIRE(set.resources[0]->origins.size() == 1);
  CHECK(set.resources[0]->origins[0].str() == "x.yaml:8: EnvoyResources default/edge: spec.resources[0]");
  CHECK(set.resources[1]->origins[0].line == 10);
  CHECK(set.resources[0]->version == "7");
  CHECK(w.accepted()->status == Truth::kTrue);
}

TEST_CASE("without nodes it is for every proxy that nothing else claims; without a version, content hashes") {
  World w;
  const Translation& t = w.put("apiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: edge}\nspec:\n  resources:\n" + cluster("a"));
  const resources::RawSet& set = *t.sets.at("default/edge").set;
  CHECK(set.for_unclaimed());
  CHECK(set.version.empty());
  CHECK(set.resources[0]->version.size() == 16);
}

TEST_CASE("a bad resource costs only itself and keeps its last good version") {
  World w;
  w.put(std::string(kHead) + "  resources:\n" + cluster("a") + cluster("b") + cluster("c"));
  REQUIRE(w.names() == "cds:a cds:b cds:c");
  SECTION("an unknown field") {
    w.put(std::string(kHead) + "  resources:\n" + cluster("a", "    conect_timeout: 1s\n") + cluster("d"));
    CHECK(w.names() == "cds:a cds:d");
    CHECK(w.tells("x.yaml:9: EnvoyResources default/edge: spec.resources[0].conect_timeout: unknown field"));
    CHECK(w.tells("the last good version of cds resource 'a' stays in use"));
    CHECK(w.accepted()->status == Truth::kFalse);
    CHECK(w.accepted()->reason == "Invalid");
  }
  SECTION("a value Envoy's rules refuse, at its line") {
    w.put(std::string(kHead) + "  resources:\n" + cluster("a", "    lb_policy: ROUND_ROBIN\n    connect_timeout: 0s\n") + cluster("b"));
    CHECK(w.names() == "cds:a cds:b");
    CHECK(w.tells("x.yaml:10: EnvoyResources default/edge: spec.resources[0].connect_timeout: "));
  }
  SECTION("a resource whose name cannot be told keeps whatever is missing") {
    w.put(std::string(kHead) + "  resources:\n" + cluster("a") + "  - name: b\n");
    CHECK(w.names() == "cds:a cds:b cds:c");
    CHECK(w.tells("spec.resources[1].@type: is required"));
  }
  SECTION("repaired, what was left out goes") {
    w.put(std::string(kHead) + "  resources:\n" + cluster("a", "    bad: 1\n"));
    CHECK(w.names() == "cds:a");
    w.put(std::string(kHead) + "  resources:\n" + cluster("b"));
    CHECK(w.names() == "cds:b");
    CHECK(w.told().empty());
    CHECK(w.accepted()->status == Truth::kTrue);
  }
}

TEST_CASE("errors inside a typed_config are found with their place") {
  World w;
  w.put(std::string(kHead) + R"(  resources:
  - "@type": type.googleapis.com/envoy.config.listener.v3.Listener
    name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 80}}
    filter_chains:
    - filters:
      - name: hcm
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          codec_type: AUTO
          route_config: {name: r}
)");
  CHECK(w.names().empty());
  CHECK(w.tells("stat_prefix"));
}

TEST_CASE("types that proxies do not ask for, nameless and repeated resources") {
  World w;
  w.put(std::string(kHead) + "  resources:\n  - \"@type\": type.googleapis.com/envoy.config.cluster.v3.Clustr\n    name: x\n" +
        "  - \"@type\": type.googleapis.com/google.protobuf.Duration\n    value: 1s\n" +
        "  - \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n    connect_timeout: 1s\n" + cluster("a") + cluster("a") +
        "  - just text\n");
  CHECK(w.names() == "cds:a");
  CHECK(w.tells("spec.resources[0].@type: \"type.googleapis.com/envoy.config.cluster.v3.Clustr\" is not a type that proxies ask for; did you mean"));
  CHECK(w.tells("envoy.config.listener.v3.Listener"));
  CHECK(w.tells("spec.resources[2]"));
  CHECK(w.tells("x.yaml:15: EnvoyResources default/edge: spec.resources[4]: 'a' is given at line 13 already"));
  CHECK(w.tells("spec.resources[5]: expected a resource"));
}

TEST_CASE("an object of the wrong shape is bad as a whole and keeps its last good set") {
  World w;
  w.put(std::string(kHead) + "  resources:\n" + cluster("a"));
  for (const char* spec : {"spec: {resources: {}}", "spec: {nodes: {}, resources: []}", "spec: {nodes: {id: [a]}, resources: []}",
                           "spec: {version: \"\", resources: []}", "spec: {version: 7, resources: []}", "spec: {}", "spec: {resurces: []}"}) {
    INFO(spec);
    w.put("apiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: edge}\n" + std::string(spec));
    CHECK(w.names() == "cds:a");
    CHECK_FALSE(w.told().empty());
  }
}

TEST_CASE("unknown kinds and versions of our own group") {
  World w;
  w.put("{apiVersion: fairlead.io/v1alpha1, kind: EnvoyResource, metadata: {name: a}}");
  CHECK(w.tells("unknown kind 'EnvoyResource'; did you mean 'EnvoyResources'?"));
  w.put("{apiVersion: fairlead.io/v1, kind: EnvoyResources, metadata: {name: b}}");
  CHECK(w.tells("fairlead.io/v1alpha1 only, not fairlead.io/v1"));
}

TEST_CASE("what did not change keeps its pointer; an empty list is an empty set") {
  World w;
  const std::string a = std::string(kHead) + "  resources:\n" + cluster("a");
  const resources::RawSetPtr before = w.put(a).sets.at("default/edge").set;
  const Translation& again = w.put("{apiVersion: fairlead.io/v1alpha1, kind: EnvoyResources, metadata: {name: other}, spec: {resources: []}}");
  CHECK(again.sets.at("default/edge").set == before);
  CHECK(again.sets.at("default/other").set->resources.empty());
  CHECK(w.told().empty());
}

TEST_CASE("changed bytes under an unchanged version are refused and the old kept") {
  World w;
  w.put(std::string(kHead) + "  version: \"1\"\n  resources:\n" + cluster("a"));
  const Translation& t = w.put(std::string(kHead) + "  version: \"1\"\n  resources:\n" + cluster("b"));
  CHECK(w.names() == "cds:a");
  CHECK_FALSE(t.findings().empty());
  CHECK(w.accepted()->status == Truth::kFalse);
  CHECK(w.accepted()->reason == "VersionUnchanged");
  CHECK(w.accepted()->message.starts_with("spec.version: "));
  w.put(std::string(kHead) + "  version: \"2\"\n  resources:\n" + cluster("b"));
  CHECK(w.names() == "cds:b");
}

TEST_CASE("Accepted names every field that is wrong, up to some, and Programmed is the proxies' to say as long as anything is in use") {
  World w;
  w.put(std::string(kHead) + "  resources:\n" + cluster("a", "    bad: 1\n") + cluster("b"));
  CHECK(w.accepted()->message.starts_with("spec.resources[0].bad: unknown field"));
  CHECK(w.accepted()->message.ends_with(" (what is bad costs only itself)"));
  CHECK(w.programmed()->status == Truth::kUnknown);
  w.put(std::string(kHead) + "  resources:\n" + cluster("a") + cluster("b", "    bad: 1\n"));
  CHECK(w.accepted()->message.ends_with(" (what is bad costs only itself; last good versions stay in use)"));
  std::string many = std::string(kHead) + "  resources:\n";
  for (int i = 0; i < 8; ++i) many += cluster("c" + std::to_string(i), "    bad: 1\n");
  w.put(many);
  CHECK(w.accepted()->message.find("spec.resources[4].bad: ") != std::string::npos);
  CHECK(w.accepted()->message.find("spec.resources[5].bad: ") == std::string::npos);
  CHECK(w.accepted()->message.find("; and 3 more (") != std::string::npos);
}

TEST_CASE("an object that is bad as a whole is not accepted in the generation that is bad, with or without a last good one") {
  const std::string bad = "apiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: edge, generation: 7}\nspec: {nodes: {}, resources: []}\n";
  World w;
  w.put(std::string(kHead) + "  resources:\n" + cluster("a"));
  w.put(bad);
  CHECK(w.accepted()->status == Truth::kFalse);
  CHECK(w.accepted()->observed_generation == 7);
  CHECK(w.accepted()->message ==
        "spec.nodes: names no proxy: give ids or clusters, or leave nodes out for every proxy that nothing else claims; its last good version stays in use");
  CHECK(w.programmed()->status == Truth::kUnknown);
  World v;
  v.put(bad);
  CHECK(v.accepted()->reason == "Invalid");
  CHECK(v.programmed()->status == Truth::kFalse);
  CHECK(v.programmed()->message == "nothing of it is in use");
}

TEST_CASE("a new version of an object with nothing new but its status is not read again") {
  Store store;
  register_groups(store);
  const auto put = [&](const std::string& more) {
    SourceUpdate u;
    u.source = "kubernetes";
    u.synced = true;
    u.upserted = {read_object(*doc::parse_one(std::string(kHead) + "  resources:\n" + cluster("a") + more, ""), "kubernetes", "", u.diagnostics)};
    store.apply(u);
    return store.snapshot();
  };
  const Translation first = translate(*put(""));
  const Translation then = translate(*put("status: {conditions: [{type: Accepted, status: \"True\"}]}\n"), &first);
  CHECK(then.sets.at("default/edge").set == first.sets.at("default/edge").set);
  CHECK(then.sets.at("default/edge").object != first.sets.at("default/edge").object);
  const Translation last = translate(*put("  version: \"2\"\n"), &then);
  CHECK(last.sets.at("default/edge").set != first.sets.at("default/edge").set);
}

// A Resource around a virtual host or a cluster; `more` are fields of the Resource.
std::string wrapped(const std::string& more, const std::string& type = "route.v3.VirtualHost", const std::string& rest = ", domains: [a.test]") {
  return "  - \"@type\": type.googleapis.com/envoy.service.discovery.v3.Resource\n" + more + "    resource: {\"@type\": type.googleapis.com/envoy.config." + type + ", name: app" + rest + "}\n";
}

TEST_CASE("a Resource gives its message a name, aliases and a time to live") {
  World w;
  const Translation& t = w.put(std::string(kHead) + "  resources:\n" + wrapped("    name: edge/app\n    aliases: [edge/a.test]\n    ttl: 30s\n") +
                               wrapped("    ttl: 1.5s\n", "cluster.v3.Cluster", ""));
  CHECK(w.told().empty());
  REQUIRE(w.names() == "cds:app vhds:edge/app");
  const auto& all = t.sets.at("default/edge").set->resources;
  CHECK(all[0]->envelope.ttl == std::chrono::milliseconds(1500));
  CHECK(all[1]->envelope.aliases == std::vector<std::string>{"edge/a.test"});
  CHECK(all[1]->envelope.ttl == std::chrono::seconds(30));
  CHECK(all[1]->timed);
}

TEST_CASE("what is wrong with a Resource is told where it stands, and the rest is kept") {
  const auto told = [](const std::string& resource, const std::string& what) {
    World w;
    w.put(std::string(kHead) + "  resources:\n" + resource + cluster("good"));
    CHECK(w.names() == "cds:good");
    INFO(w.told().at(0));
    CHECK(w.tells(what));
  };
  told(wrapped("    ttl: 10ms\n"), "x.yaml:8: EnvoyResources default/edge: spec.resources[0].ttl: is not between 1s and a year");
  told(wrapped("    version: \"1\"\n"), "spec.resources[0].version: is that of the whole object: give it as spec.version");
  told(wrapped("    alias: [x]\n"), "spec.resources[0].alias: unknown field");
  told(wrapped("    aliases: [x]\n", "cluster.v3.Cluster", ""), "spec.resources[0].aliases: only virtual hosts have aliases");
  told("  - \"@type\": type.googleapis.com/envoy.service.discovery.v3.Resource\n    name: x\n", "spec.resources[0].resource: is required (a resource: a map with @type)");
  told(wrapped("", "cluster.v3.Cluster", ", bad: 1"), "spec.resources[0].resource.bad: unknown field");
}

TEST_CASE("an xdstp name is kept in its one form, names its own type, and is no glob") {
  World w;
  w.put(std::string(kHead) + "  resources:\n" + cluster("\"xdstp://a/envoy.config.cluster.v3.Cluster/x?b=2&a=1\""));
  CHECK(w.told().empty());
  CHECK(w.names() == "cds:xdstp://a/envoy.config.cluster.v3.Cluster/x?a=1&b=2");
  for (const char* bad : {"xdstp://a/x", "xdstp://a/envoy.config.cluster.v3.Cluster/*"}) {
    World v;
    v.put(std::string(kHead) + "  resources:\n" + cluster(std::string("\"") + bad + "\""));
    CHECK(v.tells("is not xdstp://AUTHORITY/TYPE/ID?KEY=VALUE"));
  }
  World v;
  v.put(std::string(kHead) + "  resources:\n" + cluster("\"xdstp://a/envoy.config.listener.v3.Listener/x\""));
  CHECK(v.tells("is a name of type envoy.config.listener.v3.Listener, but this is envoy.config.cluster.v3.Cluster"));
}

}  // namespace
}  // namespace fairlead::adapters::xds
