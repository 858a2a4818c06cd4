// Names that stand for more than themselves: xdstp names in any spelling, globs, aliases; and what is asked for on demand.
#include "tests/unit/controlplane/stream/driver.h"

#include "controlplane/resources/xdstp.h"
#include "controlplane/stream/encode.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

using namespace fairlead;
using namespace fairlead::test;
namespace discovery = envoy::service::discovery::v3;

namespace {

const std::string kEndpoints = "xdstp://a.test/envoy.config.endpoint.v3.ClusterLoadAssignment/";
const std::string kClusters = "xdstp://a.test/envoy.config.cluster.v3.Cluster/";

ResourcePtr virtual_host(const std::string& name, Names aliases, int variant = 1) {
  envoy::config::route::v3::VirtualHost m;
  m.set_name(name + std::to_string(variant));
  m.add_domains("*");
  return resources::make_resource(Type::kVirtualHost, name, m, {}, "", {std::move(aliases), {}});
}

}  // namespace

TEST_CASE("rule 60: xdstp names have one canonical form, whatever the order of their parameters") {
  using resources::canonical_xdstp;
  CHECK(canonical_xdstp("xdstp://a/t.T/x/y?b=2&a=1") == "xdstp://a/t.T/x/y?a=1&b=2");
  CHECK(canonical_xdstp("xdstp://a/t.T/x?a=1") == "xdstp://a/t.T/x?a=1");
  CHECK(canonical_xdstp("xdstp:///t.T/x") == "xdstp:///t.T/x");  // no authority
  CHECK(canonical_xdstp("xdstp://a/t.T/x%20y") == "xdstp://a/t.T/x%20y");
  for (const char* bad : {"xdstp:", "xdstp://", "xdstp://a", "xdstp://a/t.T", "xdstp://a/t.T/", "xdstp://a//x", "xdstp://a/t.T/x?a", "xdstp://a/t.T/x?=1", "xdstp://a/t.T/x?a=1&a=2",
                          "xdstp://a/t.T/x?a=1&", "xdstp://a/t.T/x%2", "xdstp://a/t.T/x#entry=1", "a"}) {
    CAPTURE(bad);
    CHECK_FALSE(canonical_xdstp(bad));
  }
  CHECK(resources::type_in_xdstp("xdstp://a/t.T/x") == "t.T");
  CHECK(resources::glob_of("xdstp://a/t.T/x/y?k=v") == "xdstp://a/t.T/x/*?k=v");
  CHECK(resources::glob_of("xdstp://a/t.T/x") == "xdstp://a/t.T/*");
  CHECK(resources::glob_of("plain/name").empty());
  CHECK(resources::is_glob("xdstp://a/t.T/x/*?k=v"));
  CHECK_FALSE(resources::is_glob("xdstp://a/t.T/x*"));
  CHECK_FALSE(resources::is_glob("*"));
}

TEST_CASE("rule 60: a name is found in any spelling, and answered in the client's") {
  World w;
  w.put({assignment(kEndpoints + "x?a=1&b=2")});
  Delta c(w.now());
  const std::string asked = kEndpoints + "x?b=2&a=1";
  CHECK(shape(c.ask(Type::kEndpoint, {asked})) == Names{"eds[" + asked + "]"});
  c.ack(Type::kEndpoint);
  w.put({assignment(kEndpoints + "x?a=1&b=2", 2)});
  const Output changed = c.see(w);
  REQUIRE(shape(changed) == Names{"eds[" + asked + "]"});
  discovery::DeltaDiscoveryResponse wire;
  REQUIRE(wire.ParseFromString(cpstream::Encoder().delta(changed.responses[0]).flatten()));
  CHECK(wire.resources(0).name() == asked);
  c.ack(Type::kEndpoint);
  w.drop(Type::kEndpoint, kEndpoints + "x?a=1&b=2");
  CHECK(shape(c.see(w)) == Names{"eds[-" + asked + "]"});
  c.ack(Type::kEndpoint);
  CHECK(c.ask(Type::kEndpoint, {}, {asked}).responses.empty());
  w.put({assignment(kEndpoints + "x?a=1&b=2", 3)});
  CHECK(c.see(w).responses.empty());  // given up by the same name
}

TEST_CASE("rule 60: state of the world finds a name in any spelling, too") {
  World w;
  w.put({assignment(kEndpoints + "x?a=1&b=2")});
  Sotw c(w.now());
  CHECK(shape(c.ask(Type::kEndpoint, {kEndpoints + "x?b=2&a=1"})) == Names{"eds[" + kEndpoints + "x?a=1&b=2]"});
  CHECK(c.ack(Type::kEndpoint).responses.empty());
}

TEST_CASE("rule 60: a name that is none, or of another type, is answered as one that nobody has") {
  World w;
  w.put({assignment(kEndpoints + "x"), cluster("a")});
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kEndpoint, {"xdstp://broken"})) == Names{"eds[-xdstp://broken]"});
  CHECK(shape(c.ask(Type::kCluster, {kEndpoints + "x"})) == Names{"cds[-" + kEndpoints + "x]"});
}

TEST_CASE("rule 60: a wildcard and xdstp names share a stream") {
  World w;
  w.put({cluster("a"), cluster(kClusters + "x")});
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kCluster, {"*", kClusters + "x"})) == Names{"cds[a " + kClusters + "x]"});
}

TEST_CASE("rule 39: a glob is answered with its members, right below it and with its parameters") {
  World w;
  w.put({cluster(kClusters + "edge/a"), cluster(kClusters + "edge/b"), cluster(kClusters + "edge/deep/c"), cluster(kClusters + "edge/d?k=v"), cluster(kClusters + "other"), cluster("plain")});
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kCluster, {kClusters + "edge/*"})) == Names{"cds[" + kClusters + "edge/a " + kClusters + "edge/b]"});
  c.ack(Type::kCluster);
  CHECK(shape(c.ask(Type::kCluster, {kClusters + "edge/*?k=v"})) == Names{"cds[" + kClusters + "edge/d?k=v]"});
  c.ack(Type::kCluster);
}

TEST_CASE("rule 39: members of a glob come, change and go") {
  World w;
  w.put({cluster(kClusters + "edge/a")});
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster, {kClusters + "edge/*"}));
  w.put({cluster(kClusters + "edge/b"), cluster("plain"), cluster(kClusters + "other/c")});
  CHECK(shape(c.see(w)) == Names{"cds[" + kClusters + "edge/b]"});
  c.ack(Type::kCluster);
  w.put({cluster(kClusters + "edge/a", 2)});
  CHECK(shape(c.see(w)) == Names{"cds[" + kClusters + "edge/a]"});
  c.ack(Type::kCluster);
  w.drop(Type::kCluster, kClusters + "edge/b");
  CHECK(shape(c.see(w)) == Names{"cds[-" + kClusters + "edge/b]"});
  c.ack(Type::kCluster);
  c.ask(Type::kCluster, {}, {kClusters + "edge/*"});
  w.put({cluster(kClusters + "edge/a", 3)});
  CHECK(c.see(w).responses.empty());
  CHECK(c.has(Type::kCluster).empty());
}

TEST_CASE("rule 39: a glob without members is answered at once, and its first member when it comes") {
  World w;
  w.put({cluster("plain")});
  Delta c(w.now());
  CHECK(shape(c.ask(Type::kCluster, {kClusters + "edge/*"})) == Names{"cds[-" + kClusters + "edge/*]"});
  c.ack(Type::kCluster);
  w.put({cluster(kClusters + "edge/a")});
  CHECK(shape(c.see(w)) == Names{"cds[" + kClusters + "edge/a]"});
}

TEST_CASE("rule 39: a client that comes back to a glob with versions gets what differs, what is new, and what has gone") {
  World w;
  w.put({cluster(kClusters + "edge/a"), cluster(kClusters + "edge/b")});
  const std::string current = w.now()->find(Type::kCluster, kClusters + "edge/a")->version;
  Delta c(w.now());
  Request r = c.request(Type::kCluster);
  r.names = {kClusters + "edge/*"};
  r.initial_versions = {{kClusters + "edge/a", current}, {kClusters + "edge/gone", "1"}};
  CHECK(shape(c.send(r)) == Names{"cds[" + kClusters + "edge/b]"});
  c.ack(Type::kCluster);
  CHECK(shape(c.wait(std::chrono::seconds(5))) == Names{"cds[-" + kClusters + "edge/gone]"});  // clusters not before routes may have changed
}

TEST_CASE("rule 52: a resource is found by its aliases, and sent under its own name with them") {
  World w;
  w.put({virtual_host("edge/app", {"edge/a.test", "edge/b.test"}), virtual_host("edge/other", {"edge/c.test"})});
  Delta c(w.now());
  const Output o = c.ask(Type::kVirtualHost, {"edge/a.test"});
  REQUIRE(shape(o) == Names{"vhds[edge/app]"});
  discovery::DeltaDiscoveryResponse wire;
  REQUIRE(wire.ParseFromString(cpstream::Encoder().delta(o.responses[0]).flatten()));
  CHECK(wire.resources(0).name() == "edge/app");
  CHECK(std::vector<std::string>(wire.resources(0).aliases().begin(), wire.resources(0).aliases().end()) == Names{"edge/a.test", "edge/b.test"});
  c.ack(Type::kVirtualHost);
  CHECK(c.session.client_has(Type::kVirtualHost, "edge/app"));
  // by another alias of the same: sent again, once
  CHECK(shape(c.ask(Type::kVirtualHost, {"edge/b.test", "edge/app"})) == Names{"vhds[edge/app]"});
  c.ack(Type::kVirtualHost);
  w.put({virtual_host("edge/app", {"edge/a.test", "edge/b.test"}, 2), virtual_host("edge/other", {"edge/c.test"}, 2)});
  CHECK(shape(c.see(w)) == Names{"vhds[edge/app]"});
  c.ack(Type::kVirtualHost);
  w.drop(Type::kVirtualHost, "edge/app");
  CHECK(shape(c.see(w)) == Names{"vhds[-edge/app]"});
}

TEST_CASE("rule 52: giving up the alias is giving up the resource; an alias nobody has is answered at once") {
  World w;
  w.put({virtual_host("edge/app", {"edge/a.test"})});
  Delta c(w.now());
  c.ack_all(c.ask(Type::kVirtualHost, {"edge/a.test"}));
  CHECK(c.ask(Type::kVirtualHost, {}, {"edge/a.test"}).responses.empty());
  w.put({virtual_host("edge/app", {"edge/a.test"}, 2)});
  CHECK(c.see(w).responses.empty());
  // not as removed: Envoy would wait on; as something without a body
  const Output none = c.ask(Type::kVirtualHost, {"edge/z.test"});
  REQUIRE(shape(none) == Names{"vhds[edge/z.test]"});
  discovery::DeltaDiscoveryResponse wire;
  REQUIRE(wire.ParseFromString(cpstream::Encoder().delta(none.responses[0]).flatten()));
  CHECK(wire.resources(0).name() == "edge/z.test");
  CHECK(wire.resources(0).aliases(0) == "edge/z.test");
  CHECK_FALSE(wire.resources(0).has_resource());
  c.ack(Type::kVirtualHost);
  CHECK_FALSE(c.session.client_has(Type::kVirtualHost, "edge/z.test"));
  w.put({virtual_host("edge/z", {"edge/z.test"})});
  CHECK(shape(c.see(w)) == Names{"vhds[edge/z]"});
}

TEST_CASE("rule 59: what is asked for on demand is answered at once and alone, or said not to be") {
  World w;
  w.put({cluster("a"), cluster("b"), assignment("a"), virtual_host("edge/app", {"edge/a.test"})});
  Delta c(w.now());
  c.ack_all(c.ask(Type::kCluster, {"a"}));
  CHECK(shape(c.ask(Type::kCluster, {"b"})) == Names{"cds[b]"});
  c.ack(Type::kCluster);
  CHECK(shape(c.ask(Type::kCluster, {"c"})) == Names{"cds[-c]"});
  c.ack(Type::kCluster);
  CHECK(shape(c.ask(Type::kVirtualHost, {"edge/a.test"})) == Names{"vhds[edge/app]"});
}
