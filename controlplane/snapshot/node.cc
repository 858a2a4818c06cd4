// Which scope a node belongs to. Pure; any thread.
#include "controlplane/snapshot/node.h"

#include <algorithm>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "base/hash.h"

namespace fairlead::snapshot {

ClientClass class_of(const Node& node) {
  ContentHasher features;
  for (const std::string& f : node.client_features) features.add_field(f);
  return {absl::StrCat(node.user_agent.empty() ? "unknown" : node.user_agent, "/",
                       node.user_agent_version.empty() ? "unknown" : node.user_agent_version, "#",
                       hex64(features.finish().low).substr(0, 8))};
}

// "gRPC Go", "gRPC C-core linux", "gRPC Java", "gRPC Node Pure JS": what each of them calls itself.
bool is_grpc(const Node& node) { return absl::StartsWithIgnoreCase(node.user_agent, "grpc"); }

std::string Selection::scope() const {
  std::vector<std::string> parts;
  if (gateway) parts.push_back(gateway->scope());
  for (const resources::RawSet* r : raw) parts.push_back(absl::StrCat("raw:", r->name));
  return parts.empty() ? "unmatched" : absl::StrJoin(parts, "+");
}

namespace {

// That of the namespace, where it has one, else that of all others. `scopes` is sorted.
const intent::ScopeKey* find_mesh(const Node& node, const std::vector<intent::ScopeKey>& scopes, std::string& reason) {
  const char* what = is_grpc(node) ? "a gRPC client" : "a proxy";
  for (const std::string& ns : {node.mesh, std::string()}) {
    const intent::ScopeKey key{ns, "", mesh_audience(node)};
    const auto at = std::lower_bound(scopes.begin(), scopes.end(), key);
    if (at == scopes.end() || *at != key) continue;
    reason = absl::StrCat("node metadata fairlead.io/mesh is ", node.mesh, " and it is ", what, ns.empty() ? "; no route is for that namespace alone" : "");
    return &*at;
  }
  reason = absl::StrCat("node metadata fairlead.io/mesh is ", node.mesh, " and it is ", what, ", but no route has a Service for a parent yet");
  return nullptr;
}

// The Gateway, and why that one or none.
const intent::ScopeKey* find_gateway(const Node& node, const std::vector<intent::ScopeKey>& gateways, std::string& reason) {
  if (!node.gateway.empty()) {
    const size_t slash = node.gateway.find('/');
    for (const intent::ScopeKey& key : gateways) {
      if (key.mesh() || slash != key.ns.size() || !node.gateway.starts_with(key.ns) || std::string_view(node.gateway).substr(slash + 1) != key.name) continue;
      reason = absl::StrCat("node metadata fairlead.io/gateway is ", node.gateway);
      return &key;
    }
    reason = absl::StrCat("node metadata fairlead.io/gateway is \"", node.gateway, "\", but there is no such Gateway");
    return nullptr;
  }
  if (!node.mesh.empty()) return find_mesh(node, gateways, reason);
  const intent::ScopeKey* found = nullptr;
  std::vector<std::string> named;
  for (const intent::ScopeKey& key : gateways) {
    if (key.mesh() || key.name != node.cluster) continue;
    found = &key;
    named.push_back(key.str());
  }
  if (named.size() == 1) {
    reason = absl::StrCat("node cluster is \"", node.cluster, "\" and ", named[0], " is the only Gateway of that name");
    return found;
  }
  if (named.size() > 1) {
    reason = absl::StrCat("node cluster is \"", node.cluster, "\", but several Gateways have that name: ", absl::StrJoin(named, ", "),
                          "; set node metadata fairlead.io/gateway");
  } else if (node.cluster.empty()) {
    reason = "the node has neither a cluster nor metadata fairlead.io/gateway";
  } else {
    reason = absl::StrCat("no Gateway is named \"", node.cluster, "\", the node's cluster");
  }
  return nullptr;
}

}  // namespace

Selection select(const Node& node, const std::vector<intent::ScopeKey>& gateways, const std::vector<resources::RawSetPtr>& raw) {
  Selection s;
  s.gateway = find_gateway(node, gateways, s.reason);
  for (const resources::RawSetPtr& set : raw) {
    if (set->selects(node.id, node.cluster)) s.raw.push_back(set.get());
  }
  if (!s.raw.empty()) {
    absl::StrAppend(&s.reason, "; its id or cluster is selected by ", absl::StrJoin(s.raw, ", ", [](std::string* out, const auto* r) {
                      absl::StrAppend(out, r->origin.object());
                    }));
  }
  if (!s.matched() && (node.mesh.empty() || !node.gateway.empty())) {  // a mesh client waits for its scope
    for (const resources::RawSetPtr& set : raw) {
      if (set->for_unclaimed()) s.raw.push_back(set.get());
    }
    if (!s.raw.empty()) absl::StrAppend(&s.reason, "; nothing else claims it, so it gets the raw resources without a selector");
  }
  std::sort(s.raw.begin(), s.raw.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
  return s;
}

}  // namespace fairlead::snapshot
