// Which addresses of which nodes a Service of type NodePort is reached at.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "adapters/provision/nodes.h"
#include "base/doc.h"

namespace fairlead::adapters::provision::nodes_test {
namespace {

ObjectPtr object(const std::string& yaml) {
  std::vector<Diagnostic> wrong;
  ObjectPtr out = read_object(*doc::parse_one(yaml, ""), "nodes", "", wrong);
  REQUIRE(out);
  return out;
}

// `addresses`: "ExternalIP 192.0.2.1, InternalIP 10.0.0.1"
ObjectPtr node(const std::string& name, const std::string& addresses, const std::string& ready = "True", const std::string& created = "2026-01-01T00:00:00Z") {
  std::string list;
  for (size_t at = 0; at < addresses.size();) {
    const size_t space = addresses.find(' ', at), end = std::min(addresses.find(", ", at), addresses.size());
    absl::StrAppend(&list, list.empty() ? "" : ", ", "{type: ", addresses.substr(at, space - at), ", address: \"", addresses.substr(space + 1, end - space - 1),
                    "\"}");
    at = end + 2;
  }
  return object(absl::StrCat("apiVersion: v1\nkind: Node\nmetadata: {name: ", name, ", creationTimestamp: \"", created,
                             "\"}\nstatus: {conditions: [{type: MemoryPressure, status: \"False\"}, {type: Ready, status: \"", ready, "\"}], addresses: [",
                             list, "]}"));
}

ObjectPtr slice(const std::string& name, const std::string& endpoints, const std::string& service = "edge-fairlead") {
  return object(absl::StrCat("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: ", name,
                             ", namespace: shop, labels: {kubernetes.io/service-name: ", service, "}}\nendpoints: [", endpoints, "]"));
}

ObjectPtr service(const std::string& spec) {
  return object(
      absl::StrCat("apiVersion: v1\nkind: Service\nmetadata: {name: edge-fairlead, namespace: shop}\nspec: {type: NodePort, ports: [{port: 80, nodePort: "
                   "30080}, {port: 53, protocol: UDP, nodePort: 30053}], ",
                   spec, "}"));
}

struct World {
  Nodes nodes;
  bool put(std::vector<ObjectPtr> objects) {
    SourceUpdate u;
    u.synced = true;
    u.upserted = std::move(objects);
    return nodes.take(u);
  }
  std::string at(const std::string& spec = "externalTrafficPolicy: Cluster") const {
    std::string why;
    const std::vector<std::string> found = nodes.addresses(*service(spec), why);
    return found.empty() ? why : absl::StrJoin(found, " ");
  }
};

TEST_CASE("of ready nodes it is the external addresses, else the internal ones, the oldest nodes first") {
  World w;
  CHECK_FALSE(w.nodes.known());
  w.put({node("a", "InternalIP 10.0.0.1, Hostname a, ExternalIP 192.0.2.1"), node("b", "InternalIP 10.0.0.2", "True", "2025-01-01T00:00:00Z"),
         node("c", "ExternalIP 192.0.2.3", "False"), node("d", "ExternalIP 192.0.2.4", "Unknown")});
  CHECK(w.nodes.known());
  CHECK(w.at() == "10.0.0.2 192.0.2.1");
  w.put({node("c", "ExternalIP 192.0.2.3")});
  CHECK(w.at() == "10.0.0.2 192.0.2.1 192.0.2.3");
}

TEST_CASE("addresses are of the families that the Service has") {
  World w;
  w.put({node("a", "InternalIP 10.0.0.1, InternalIP 2001:db8::1, ExternalIP 192.0.2.1")});
  CHECK(w.at("ipFamilies: [IPv4]") == "192.0.2.1");
  CHECK(w.at("ipFamilies: [IPv6]") == "2001:db8::1");
  w.put({node("a", "InternalIP 10.0.0.1, InternalIP 2001:db8::1")});
  CHECK(w.at("ipFamilies: [IPv4, IPv6]") == "10.0.0.1 2001:db8::1");
  w.put({node("a", "InternalIP 10.0.0.1")});
  CHECK(w.at("ipFamilies: [IPv6]") == "no ready node has an address of the families of Service shop/edge-fairlead");
}

TEST_CASE("where a node answers for its own pods alone, it is nodes with a ready proxy and no others") {
  const std::string local = "externalTrafficPolicy: Local";
  World w;
  w.put({node("a", "InternalIP 10.0.0.1"), node("b", "InternalIP 10.0.0.2"), node("c", "InternalIP 10.0.0.3")});
  CHECK(w.at(local) == "no node has a ready proxy of Service shop/edge-fairlead (externalTrafficPolicy: Local)");
  w.put({slice("s1", "{nodeName: b, conditions: {ready: true}}, {nodeName: c, conditions: {ready: false}}"), slice("s2", "{nodeName: a}", "another")});
  CHECK(w.at(local) == "10.0.0.2");
  CHECK(w.at() == "10.0.0.1 10.0.0.2 10.0.0.3");
  w.put({slice("s3", "{nodeName: c}")});
  CHECK(w.at(local) == "10.0.0.2 10.0.0.3");
  w.put({node("b", "InternalIP 10.0.0.2", "False"), node("c", "InternalIP 10.0.0.3", "False")});
  CHECK(w.at(local) == "no node that has a ready proxy is ready itself");
}

TEST_CASE("no more addresses are told than a Gateway's status has room for") {
  World w;
  for (int i = 10; i < 40; ++i) w.put({node(absl::StrCat("n", i), absl::StrCat("InternalIP 10.0.0.", i))});
  std::string why;
  const auto found = w.nodes.addresses(*service("externalTrafficPolicy: Cluster"), why);
  CHECK(found.size() == kMostAddresses);
  CHECK(found.front() == "10.0.0.10");
  CHECK(why == "");
}

TEST_CASE("a heartbeat changes nothing; what goes, comes, or cannot be read does") {
  World w;
  CHECK(w.put({node("a", "InternalIP 10.0.0.1"), slice("s", "{nodeName: a}")}));
  CHECK_FALSE(w.put({node("a", "InternalIP 10.0.0.1"), slice("s", "{nodeName: a}, {nodeName: a}")}));
  CHECK_FALSE(w.put({}));
  CHECK(w.put({slice("s", "")}));
  SourceUpdate gone;
  gone.synced = true;
  gone.removed = {{"", "Node", "", "a"}};
  CHECK(w.nodes.take(gone));
  CHECK(w.at() == "no node is ready");
  CHECK_FALSE(w.nodes.take(gone));
  SourceUpdate forbidden;
  forbidden.diagnostics.push_back({Severity::kError, {"", "Node", "", ""}, "", 0, "", "Node: list: 403: no"});
  CHECK(w.nodes.take(forbidden));
  CHECK(w.nodes.trouble() == "Node: list: 403: no");
  CHECK(w.put({}));
  CHECK(w.nodes.trouble() == "");
}

TEST_CASE("the Service's ports are told with the nodes'") {
  CHECK(node_ports(*service("externalTrafficPolicy: Cluster")) == "80/TCP is 30080, 53/UDP is 30053");
  CHECK(node_ports(*object("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 80}]}}")) == "");
}

}  // namespace
}  // namespace fairlead::adapters::provision::nodes_test
