// Services and EndpointSlices as topology updates.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "adapters/core/core.h"
#include "adapters/core/endpoint_index.h"

namespace fairlead::adapters::core::core_test {
namespace {

ObjectPtr make(const std::string& yaml) {
  std::vector<Diagnostic> errors;
  const auto documents = doc::parse_yaml(yaml, "x.yaml");
  REQUIRE(documents.ok());
  ObjectPtr o = read_object((*documents)[0], "s", "x.yaml", errors);
  REQUIRE(o);
  return o;
}

ObjectPtr service(const std::string& ports) {
  return make("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: " + ports + "}}");
}

ObjectPtr slice(const std::string& name, const std::string& ports, const std::string& endpoints, const std::string& of = "web") {
  return make("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " + name +
              ", labels: {kubernetes.io/service-name: " + of + "}}, addressType: IPv4, ports: " + ports + ", endpoints: " + endpoints + "}");
}

ChangeSet added(std::vector<ObjectPtr> objects) {
  ChangeSet c;
  c.added = std::move(objects);
  return c;
}

std::string text(const std::vector<topology::Endpoint>& endpoints) {
  std::string all;
  for (const topology::Endpoint& e : endpoints) {
    all += (all.empty() ? "" : " ") + e.address + ":" + std::to_string(e.port) + "/" + std::string(topology::health_name(e.health));
  }
  return all;
}

TEST_CASE("slices join their service by label, and ports by name") {
  EndpointIndex index;
  const auto updates = index.apply(added({
      service("[{name: http, port: 80}, {name: admin, port: 9000}, {name: dns, port: 53, protocol: UDP}]"),
      slice("b", "[{name: http, port: 3000}]", "[{addresses: [127.0.0.1]}, {addresses: [10.0.0.2, 10.0.0.9], zone: z1, nodeName: n1}]"),
      slice("a", "[{name: http, port: 3001}, {name: admin, port: 3002}]", "[{addresses: [10.0.0.1]}]"),
      slice("other", "[{name: http, port: 3000}]", "[{addresses: [10.9.9.9]}]", "else"),
  }));
  REQUIRE(updates.size() == 1);
  CHECK(updates[0].service.str() == "default/web");
  REQUIRE(updates[0].ports.size() == 3);
  CHECK(text(updates[0].ports.at(80)) == "10.0.0.1:3001/ready 10.0.0.2:3000/ready 127.0.0.1:3000/ready");
  CHECK(text(updates[0].ports.at(9000)) == "10.0.0.1:3002/ready");
  CHECK(updates[0].ports.at(80)[1].zone == "z1");
  CHECK(updates[0].ports.at(80)[1].node == "n1");
}

TEST_CASE("ports of TCP and of UDP find their own in slices, under one name or number; those of SCTP are nobody's") {
  EndpointIndex index;
  const auto updates = index.apply(added({
      service("[{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}, {name: sctp, port: 54, protocol: SCTP}]"),
      slice("a", "[{name: dns, port: 5353, protocol: UDP}, {name: dns, port: 1}, {name: dns-tcp, port: 5354}, {name: sctp, port: 5355, protocol: SCTP}]", "[{addresses: [10.0.0.1]}]"),
  }));
  REQUIRE(updates.size() == 1);
  REQUIRE(updates[0].ports.size() == 2);
  CHECK(text(updates[0].ports.at({53, true})) == "10.0.0.1:5353/ready");
  CHECK(text(updates[0].ports.at(53)) == "10.0.0.1:5354/ready");
}

TEST_CASE("conditions of endpoints: absent is ready, terminating may still serve") {
  EndpointIndex index;
  const auto updates = index.apply(added({
      service("[{port: 80}]"),
      slice("a", "[{port: 3000}]",
            "[{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], conditions: {ready: false}}, "
            "{addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}, "
            "{addresses: [10.0.0.4], conditions: {ready: null}}, {addresses: [10.0.0.5], conditions: {ready: false, serving: true}}]"),
  }));
  REQUIRE(updates.size() == 1);
  CHECK(text(updates[0].ports.at(80)) ==
        "10.0.0.1:3000/ready 10.0.0.2:3000/not-ready 10.0.0.3:3000/serving 10.0.0.4:3000/ready 10.0.0.5:3000/not-ready");
}

TEST_CASE("a service without slices has its ports, empty; a slice without its service is nothing") {
  EndpointIndex index;
  CHECK(index.apply(added({slice("a", "[{port: 3000}]", "[{addresses: [10.0.0.1]}]")})).empty());
  const auto updates = index.apply(added({service("[{port: 80}, {name: x, port: 81}]")}));
  REQUIRE(updates.size() == 1);
  CHECK(text(updates[0].ports.at(80)) == "10.0.0.1:3000/ready");
  CHECK(updates[0].ports.at(81).empty());
}

TEST_CASE("what the checks of Services and slices have read is used, and nothing of it where something is wrong") {
  const auto objects = [] {
    return std::vector<ObjectPtr>{service("[{name: http, port: 80}, {name: dns, port: 53, protocol: UDP}]"),
                                  slice("a", "[{name: http, port: 3000}, {name: dns, port: 53, protocol: UDP}]", "[{addresses: [10.0.0.2], zone: z}, {addresses: [10.0.0.1], nodeName: n, conditions: {ready: false}}]")};
  };
  const std::vector<ObjectPtr> kept = objects();
  std::vector<Diagnostic> out;
  check_core(*kept[0], out);
  check_discovery(*kept[1], out);
  CHECK(out.empty());
  CHECK(kept[0]->reading.get<Service>() != nullptr);
  CHECK(kept[1]->reading.get<EndpointSlice>() != nullptr);
  EndpointIndex one, other;
  CHECK(one.apply(added(kept)) == other.apply(added(objects())));
  const ObjectPtr bad = slice("a", "[{port: 3000}]", "[{addresses: [web.example.com]}]");
  check_discovery(*bad, out);
  CHECK(out.size() == 1);
  CHECK(bad->reading.get<EndpointSlice>() == nullptr);
}

TEST_CASE("only services whose endpoints differ are reported") {
  EndpointIndex index;
  const ObjectPtr s = service("[{port: 80}]");
  const ObjectPtr a = slice("a", "[{port: 3000}]", "[{addresses: [10.0.0.1]}]");
  index.apply(added({s, a}));
  ChangeSet same;
  same.changed = {slice("a", "[{port: 3000}]", "[{addresses: [10.0.0.1], hostname: renamed}]"), s};
  CHECK(index.apply(same).empty());
  ChangeSet gone;
  gone.removed = {a};
  CHECK(EndpointIndex::is_endpoint_only(gone));
  const auto updates = index.apply(gone);
  REQUIRE(updates.size() == 1);
  CHECK(updates[0].ports.at(80).empty());
  ChangeSet no_service;
  no_service.removed = {s};
  CHECK_FALSE(EndpointIndex::is_endpoint_only(no_service));
  REQUIRE(index.apply(no_service).size() == 1);
  CHECK(index.apply(no_service).empty());
}

TEST_CASE("a slice that changes its service leaves the old one") {
  EndpointIndex index;
  index.apply(added({service("[{port: 80}]"), make("{apiVersion: v1, kind: Service, metadata: {name: api}, spec: {ports: [{port: 80}]}}"),
                     slice("a", "[{port: 3000}]", "[{addresses: [10.0.0.1]}]")}));
  ChangeSet moved;
  moved.changed = {slice("a", "[{port: 3000}]", "[{addresses: [10.0.0.1]}]", "api")};
  const auto updates = index.apply(moved);
  REQUIRE(updates.size() == 2);
  CHECK(updates[0].service.name == "api");
  CHECK(updates[0].ports.at(80).size() == 1);
  CHECK(updates[1].ports.at(80).empty());
}

TEST_CASE("strict readers name what is wrong; slices nobody can use are warned about") {
  std::vector<Diagnostic> out;
  CHECK(check_discovery(*make("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: a}, addressType: FQDN, "
                              "endpoints: [{addresses: [a.example.com]}]}"), out));
  REQUIRE(out.size() == 2);
  CHECK(out[0].severity == Severity::kWarning);
  CHECK(out[0].field == "metadata.labels");
  CHECK(out[1].field == "addressType");
  out.clear();
  CHECK(check_core(*make("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {portz: []}}"), out));
  REQUIRE(out.size() == 1);
  CHECK(out[0].message == "unknown field; did you mean 'ports'?");
  out.clear();
  CHECK(check_core(*make("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 53, protocol: UDP}, {port: 53}, {port: 53, protocol: UDP}]}}"), out));
  REQUIRE(out.size() == 1);
  CHECK(out[0].field == "spec.ports[2].port");
  out.clear();
  CHECK_FALSE(check_core(*make("{apiVersion: v1, kind: Secret, metadata: {name: a}, data: {}}"), out));
  REQUIRE(out.size() == 1);
  CHECK(out[0].severity == Severity::kNote);
}

TEST_CASE("every namespace has its name among its labels, with or without an object") {
  Store store;
  store.register_group("", check_core);
  SourceUpdate u;
  u.source = "s";
  u.upserted = {make("{apiVersion: v1, kind: Namespace, metadata: {name: blue, labels: {team: b}}}")};
  store.apply(u);
  CHECK(namespace_labels(*store.snapshot(), "blue") ==
        std::map<std::string, std::string>{{"team", "b"}, {"kubernetes.io/metadata.name", "blue"}});
  CHECK(namespace_labels(*store.snapshot(), "red") == std::map<std::string, std::string>{{"kubernetes.io/metadata.name", "red"}});
}

}  // namespace
}  // namespace fairlead::adapters::core::core_test
