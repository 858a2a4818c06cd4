// How far the streams of each scope are, as a status writer is told: nobody is done before everybody has answered.
#include <catch2/catch.hpp>

#include <memory>
#include <string>
#include <vector>

#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "tests/unit/controlplane/serve/harness.h"

namespace progress_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;

namespace {

// "2/1": of two streams one is done; "-": no such scope.
std::string far(const serve::Core& core, const std::string& name) {
  for (const verdict::Progress::Scope& s : core.progress().scopes) {
    if (s.name == name) return std::to_string(s.streams) + "/" + std::to_string(s.synced);
  }
  return "-";
}

const std::string kScope = "gateway:default/edge";

// A cluster that shows a certificate.
ResourcePtr with_secret(const std::string& name, const std::string& secret, intent::Origins origins) {
  envoy::config::cluster::v3::Cluster m;
  m.set_name(name);
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext tls;
  auto* sds = tls.mutable_common_tls_context()->add_tls_certificate_sds_secret_configs();
  sds->set_name(secret);
  sds->mutable_sds_config()->mutable_ads();
  m.mutable_transport_socket()->mutable_typed_config()->PackFrom(tls);
  return resources::make_resource(Type::kCluster, name, m, std::move(origins));
}

}  // namespace

TEST_CASE("a stream is done when it has accepted all that is meant for it, and no longer from the moment that something new is") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1)}));
  CHECK(far(s.core, kScope) == "0/0");
  Peer one(s, StreamKind::kSotw, "one"), two(s, StreamKind::kDelta, "two");
  one.ask(Type::kCluster);
  two.ask(Type::kCluster, {"*"});
  CHECK(far(s.core, kScope) == "2/0");
  one.ack(Type::kCluster);
  CHECK(far(s.core, kScope) == "2/1");
  two.ack(Type::kCluster);
  CHECK(far(s.core, kScope) == "2/2");

  s.core.apply(gateway("edge", {cluster("a", 2)}));  // nothing is sent yet
  CHECK(far(s.core, kScope) == "2/0");
  s.settle();
  one.received();
  two.received();
  one.ack(Type::kCluster);
  two.ack(Type::kCluster);
  CHECK(far(s.core, kScope) == "2/2");
  s.core.closed(one.id);
  CHECK(far(s.core, kScope) == "1/1");
}

TEST_CASE("a stream that has refused is done with the rest, and the refusal stands beside it with its origins") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1, {}, {origin("HTTPRoute", "app", 7)}), cluster("b", 1)}));
  Peer one(s, StreamKind::kSotw, "one");
  one.ask(Type::kCluster);
  one.ack_all(one.nack(Type::kCluster, "a: no good"));
  s.settle();
  one.ack_all(one.received());  // what it gets instead
  CHECK(far(s.core, kScope) == "1/1");
  const verdict::Progress progress = s.core.progress();
  REQUIRE(progress.refusals.size() == 1);
  CHECK(progress.refusals[0].scope == kScope);
  REQUIRE(progress.refusals[0].origins.size() == 1);
  CHECK(progress.refusals[0].origins[0].name == "app");
  CHECK_THAT(progress.refusals[0].text, Contains("cds \"a\" was refused by 1 proxy of class envoy") && Contains("no good"));
}

TEST_CASE("a refusal of a secret is told to who uses it") {
  Server s;
  s.apply(gateway("edge", {with_secret("a", "default/key", {origin("HTTPRoute", "app")}), cluster("b", 1, {}, {origin("HTTPRoute", "other")}),
                           secret("default/key", "key", {origin("Secret", "key")})}));
  Peer one(s, StreamKind::kSotw, "one");
  one.ask(Type::kSecret, {"default/key"});
  one.nack(Type::kSecret, "no such curve");
  const verdict::Progress progress = s.core.progress();
  REQUIRE(progress.refusals.size() == 1);
  REQUIRE(progress.refusals[0].origins.size() == 2);
  CHECK(progress.refusals[0].origins[0].kind == "Secret");
  CHECK(progress.refusals[0].origins[1].name == "app");
}

TEST_CASE("what a scope shall have has one version with every replica, which endpoints do not change") {
  Server s, t;
  const auto version = [](const Server& server) {
    for (const verdict::Progress::Scope& scope : server.core.progress().scopes) {
      if (scope.name == kScope) return scope.version;
    }
    return std::string();
  };
  s.apply(gateway("edge", {cluster("a", 1), cluster("b", 1)}));
  t.apply(gateway("edge", {cluster("a", 2)}));
  CHECK(version(s) != version(t));
  t.apply(gateway("edge", {cluster("b", 1), cluster("a", 1)}));
  CHECK_FALSE(version(s).empty());
  CHECK(version(s) == version(t));
}

TEST_CASE("the number that tells of changes is another after every answer, connection and end of one, and the same while nothing happens") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1)}));
  uint64_t last = s.core.progress_epoch();
  const auto moved = [&] {
    const uint64_t before = std::exchange(last, s.core.progress_epoch());
    return before != last;
  };
  CHECK_FALSE(moved());
  Peer one(s, StreamKind::kSotw, "one");
  CHECK(moved());
  one.ask(Type::kCluster);
  moved();
  one.ack(Type::kCluster);
  CHECK(moved());
  s.apply(gateway("edge", {cluster("a", 2)}));
  one.received();
  moved();
  one.nack(Type::kCluster, "a: no good");
  CHECK(moved());
  s.core.closed(one.id);
  CHECK(moved());
  CHECK_FALSE(moved());
}

namespace {

// "DanglingReference HTTPRoute app", one a line; '~' before a remark.
std::string faults(const serve::Core& core) {
  std::string out;
  for (const verdict::Progress::Fault& f : core.progress().faults) out += (f.remark ? "~" : "") + f.reason + " " + f.origin.kind + " " + f.origin.name + "\n";
  return out;
}

snapshot::Update raw(const std::string& name, std::vector<ResourcePtr> resources) {
  auto set = std::make_shared<resources::RawSet>();
  set->name = "default/" + name;
  set->origin = origin("EnvoyResources", name);
  set->node_ids = {"one"};
  set->resources = std::move(resources);
  snapshot::Update u;
  u.raw = std::vector<resources::RawSetPtr>{std::move(set)};
  return u;
}

}  // namespace

TEST_CASE("what nobody refuses and is not served all the same is told with its origin, also where only a proxy's coming brings it together") {
  Server s;
  s.apply(gateway("edge", {cluster("a", 1, {}, {origin("HTTPRoute", "app")}), assignment("a"), listener("l", "nowhere", 1, {origin("Gateway", "edge")})}));
  CHECK(faults(s.core) == "DanglingReference Gateway edge\n");
  s.apply(gateway("edge", {cluster("a", 1, {}, {origin("HTTPRoute", "app")}), assignment("a")}));
  CHECK(faults(s.core).empty());

  s.apply(raw("mine",
              {cluster("a", 2, {}, {origin("EnvoyResources", "mine")}), assignment("a"), routes("r", {"elsewhere"}, 1, {origin("EnvoyResources", "mine")})}));
  CHECK(faults(s.core) == "~DanglingReference EnvoyResources mine\n");  // alone it has no rival; the cluster may be in a bootstrap
  Peer one(s, StreamKind::kSotw, "one");
  one.ask(Type::kCluster);
  const std::string now = faults(s.core);
  CHECK_THAT(now, Contains("NameConflict EnvoyResources mine\n"));
  CHECK_THAT(now, Contains("~NameConflict HTTPRoute app\n"));  // whose it stays is only told
}

TEST_CASE("what planning found in a Gateway is told in its scope") {
  Server s;
  snapshot::Update u = gateway("edge", {cluster("a", 1)});
  u.findings.emplace_back("plan:default/edge", std::vector<intent::Finding>{{intent::Severity::kError, origin("Gateway", "edge"), "default/edge",
                                                                             "AddressConflict", "listener \"b\" overlaps"}});
  u.findings.emplace_back("objects",
                          std::vector<intent::Finding>{{intent::Severity::kError, origin("Gateway", "edge"), "", "Invalid", "an adapter tells this itself"}});
  s.apply(std::move(u));
  bool told = false;
  for (const verdict::Progress::Fault& f : s.core.progress().faults) {
    CHECK(f.reason != "Invalid");
    told |= f.reason == "AddressConflict" && f.scope == kScope && f.text == "listener \"b\" overlaps" && !f.remark;
  }
  CHECK(told);
}

TEST_CASE("what planning found for clients of the mesh is told in the mesh's scopes") {
  Server s;
  snapshot::Update u = gateway("edge", {cluster("a", 1)});
  for (const char* scope : {"mesh:*", "mesh-grpc:shop"}) {
    u.findings.emplace_back(std::string("plan:") + scope,
                            std::vector<intent::Finding>{{intent::Severity::kWarning, origin("HTTPRoute", "r"), scope, "UnknownBackend", "no such Service"}});
  }
  s.apply(std::move(u));
  std::set<std::string> scopes;
  for (const verdict::Progress::Fault& f : s.core.progress().faults) scopes.insert(f.scope);
  CHECK(scopes == std::set<std::string>{"mesh:*", "mesh-grpc:shop"});
}

TEST_CASE("a secret that connections may not carry is told where it is missing, once for all of them") {
  Server s;
  s.apply(gateway("edge", {with_secret("a", "default/key", {origin("BackendTLSPolicy", "p")}), secret("default/key", "key", {origin("Secret", "key")})}));
  std::vector<std::unique_ptr<Peer>> far;
  for (const char* node : {"one", "two"}) {
    far.push_back(std::make_unique<Peer>(s, StreamKind::kSotw, node, "edge", "envoy", std::nullopt, peer("10.1.2.3")));
    far.back()->ask(Type::kSecret, {"default/key"});
  }
  const std::vector<verdict::Progress::Fault> told = s.core.progress().faults;
  REQUIRE(told.size() == 1);
  CHECK(told[0].origin.kind == "BackendTLSPolicy");
  CHECK(told[0].reason == "SecretNotSent");
  CHECK(told[0].text ==
        "sds \"default/key\" is not sent to 2 proxies whose connection is neither on this machine nor over TLS: the first is node one at 10.1.2.3:1");
}

TEST_CASE("raw resources have one version with every replica, which their content alone makes") {
  Server s, t;
  s.apply(raw("mine", {cluster("a", 1), cluster("b", 1)}));
  t.apply(raw("mine", {cluster("a", 1), cluster("b", 1)}));
  t.apply(gateway("edge", {}));
  Peer one(t, StreamKind::kSotw, "one");
  one.ask(Type::kCluster);
  const auto version = [](const Server& server) { return server.core.progress().raw.at(0).version; };
  CHECK(s.core.progress().raw.at(0).name == "default/mine");
  CHECK(version(s) == version(t));
  t.apply(raw("mine", {cluster("a", 2), cluster("b", 1)}));
  CHECK(version(s) != version(t));
}

}  // namespace progress_test
