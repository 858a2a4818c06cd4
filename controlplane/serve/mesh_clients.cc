// See mesh_clients.h.
#include "controlplane/serve/mesh_clients.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace fairlead::serve {

void MeshClients::asks(const snapshot::Node& node, const std::vector<std::string>& names) {
  if (!tell_) return;
  const intent::ScopeKey key{node.mesh, "", snapshot::mesh_audience(node)};
  const auto [at, first] = told_.try_emplace(key);
  snapshot::Asked fresh;
  if (first) fresh.names[key];
  if (key.audience == intent::Audience::kMeshGrpc) {
    for (const std::string& name : names) {
      if (at->second.contains(name)) continue;
      if (count_ >= kMostNames) {
        if (!std::exchange(too_many_, true)) FL_LOG(warning, "xds", "clients of the mesh ask for more than ", kMostNames, " names: of further Services only those with routes are there for them");
        break;
      }
      at->second.insert(name);
      fresh.names[key].insert(name);
      ++count_;
    }
  }
  if (!fresh.names.empty()) tell_(std::move(fresh));
}

bool MeshClients::left() {
  constexpr size_t kFew = 100;
  return tell_ && ++left_ >= std::max(kFew, clients_);
}

void MeshClients::anew(snapshot::Asked::Names names, size_t clients) {
  left_ = count_ = 0;
  clients_ = clients;
  too_many_ = false;
  for (const auto& [key, of] : names) count_ += of.size();
  if (names == told_) return;
  told_ = names;
  tell_({std::move(names), true});
}

}  // namespace fairlead::serve
