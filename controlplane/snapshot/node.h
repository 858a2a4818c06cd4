// Who a client says it is, and which scope that gives it. Values; any thread.
#pragma once

#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/intent/intent.h"
#include "controlplane/resources/raw.h"

namespace fairlead::snapshot {

struct Node {
  std::string id;
  std::string cluster;
  std::string gateway;     // metadata "fairlead.io/gateway": "NS/NAME"; empty when absent
  std::string mesh;        // metadata "fairlead.io/mesh": the namespace that a client of the mesh runs in; empty when absent
  std::string user_agent;  // "envoy", "fairlead-proxy", "gRPC C++", …
  std::string user_agent_version;
  std::vector<std::string> client_features;  // sorted
  std::shared_ptr<const std::string> metadata;  // all of it, a serialised google.protobuf.Struct; null when absent, or more than is kept
};

// Clients that accept and refuse alike: implementation, version and features. The key of quarantine.
struct ClientClass {
  std::string name;  // "envoy/1.40.0#1f2e3d4c": implementation / version # hash of the features
  auto operator<=>(const ClientClass&) const = default;
  bool operator==(const ClientClass&) const = default;
};
ClientClass class_of(const Node& node);

// A client of the mesh asks for Services by name, or has connections to them redirected to it, by what it is.
bool is_grpc(const Node& node);
inline intent::Audience mesh_audience(const Node& node) { return is_grpc(node) ? intent::Audience::kMeshGrpc : intent::Audience::kMeshProxy; }

// The parts a node's configuration is made of. No part at all: an empty, valid configuration, and `reason` says why.
struct Selection {
  const intent::ScopeKey* gateway = nullptr;         // points into the list given
  std::vector<const resources::RawSet*> raw;         // sorted by name
  std::string reason;                                // why this and nothing else; always filled
  std::string scope() const;                         // the effective scope's name, "unmatched" when empty
  bool matched() const { return gateway || !raw.empty(); }
};

// Rules, first match wins for the Gateway: node metadata `fairlead.io/gateway` names it (a name that does not exist gives
// no Gateway); else node metadata `fairlead.io/mesh` makes it a client of the mesh in that namespace; else node cluster equals its name and only one
// Gateway has that name. Raw sets whose selector names the
// node's id or cluster join in. A node that nothing else claims gets the raw sets without selector.
Selection select(const Node& node, const std::vector<intent::ScopeKey>& gateways, const std::vector<resources::RawSetPtr>& raw);

}  // namespace fairlead::snapshot
