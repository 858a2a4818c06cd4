// What is told of what clients of the mesh ask for: once, and not what nobody asks for any more.
#include "controlplane/serve/mesh_clients.h"

#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

#include "tests/unit/controlplane/serve/harness.h"

namespace mesh_clients_test {

using namespace fairlead;
using namespace fairlead::test;
using intent::Audience;
using serve::MeshClients;
using snapshot::Asked;

namespace {

snapshot::Node client(const std::string& ns, const std::string& agent) {
  snapshot::Node n;
  n.id = "n";
  n.mesh = ns;
  n.user_agent = agent;
  return n;
}

const intent::ScopeKey kShop{"shop", "", Audience::kMeshGrpc}, kProxies{"shop", "", Audience::kMeshProxy};

}  // namespace

TEST_CASE("each name is told once, by the namespace of whoever asks first; of a proxy only that it is there") {
  std::vector<Asked> told;
  MeshClients clients([&](Asked a) { told.push_back(std::move(a)); });
  clients.came(client("shop", "gRPC Go"));
  REQUIRE(told.size() == 1);
  CHECK(told[0].names == Asked::Names{{kShop, {}}});
  clients.asks(client("shop", "gRPC Go"), {"a", "b"});
  clients.asks(client("shop", "gRPC C-core"), {"b", "a"});
  clients.asks(client("shop", "gRPC C-core"), {"b", "c"});
  clients.came(client("shop", "envoy"));
  clients.asks(client("shop", "envoy"), {"d"});
  REQUIRE(told.size() == 4);
  CHECK(told[1].names == Asked::Names{{kShop, {"a", "b"}}});
  CHECK(told[2].names == Asked::Names{{kShop, {"c"}}});
  CHECK(told[3].names == Asked::Names{{kProxies, {}}});
  for (const Asked& a : told) CHECK_FALSE(a.all);
}

TEST_CASE("no more names are kept than there may be") {
  size_t told = 0;
  MeshClients clients([&](const Asked& a) {
    for (const auto& [key, names] : a.names) told += names.size();
  });
  std::vector<std::string> names;
  for (size_t i = 0; i < MeshClients::kMostNames + 10; ++i) names.push_back(std::to_string(i));
  log::set_level(log::Level::off);
  clients.asks(client("shop", "gRPC Go"), names);
  CHECK(told == MeshClients::kMostNames);
  clients.anew({}, 0);
  clients.asks(client("shop", "gRPC Go"), {"again"});
  CHECK(told == MeshClients::kMostNames + 1);
}

TEST_CASE("streams of mesh clients say what they want, and once enough have gone what is left is told") {
  std::vector<Asked> told;
  serve::Core::Options options;
  options.mesh_asked = [&](Asked a) { told.push_back(std::move(a)); };
  Server s(options);
  s.apply(gateway("edge", {cluster("a"), assignment("a")}));
  const auto connect = [&](const std::string& name) {
    const auto id = s.core.open(StreamKind::kSotw, std::nullopt, peer());
    REQUIRE(id.ok());
    envoy::service::discovery::v3::DiscoveryRequest r;
    r.mutable_node()->set_id("n");
    r.mutable_node()->set_user_agent_name("gRPC Go");
    (*r.mutable_node()->mutable_metadata()->mutable_fields())["fairlead.io/mesh"].set_string_value("shop");
    r.set_type_url(std::string(resources::type_url(Type::kListener)));
    r.add_resource_names(name);
    s.core.request(*id, r.SerializeAsString());
    return *id;
  };
  const StreamId stays = connect("stays:80");
  REQUIRE(told.size() == 2);
  CHECK(told[0].names == Asked::Names{{kShop, {}}});
  CHECK(told[1].names == Asked::Names{{kShop, {"stays:80"}}});
  CHECK(s.core.records()[0].scope == "unmatched");
  for (int i = 0; i < 100; ++i) s.core.closed(connect("goes:80"));
  REQUIRE(told.size() == 4);
  CHECK(told[2].names == Asked::Names{{kShop, {"goes:80"}}});
  CHECK(told[3].all);
  CHECK(told[3].names == Asked::Names{{kShop, {"stays:80"}}});
  s.core.closed(stays);
  // Other clients are none of the mesh's.
  Peer proxy(s, StreamKind::kDelta, "p");
  proxy.ask(Type::kListener);
  CHECK(told.size() == 4);
}

}  // namespace mesh_clients_test
