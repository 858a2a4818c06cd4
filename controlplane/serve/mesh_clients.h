// Which Services clients of the mesh have asked for by name, so that the pipeline makes what nobody has for them yet, and for nobody else: what is made
// grows with what is asked for, not with the world. Owned by Core; the serving thread.
// Invariant: what was told is all that open streams ask for, and what closed ones asked for until about as many have closed as there were.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "controlplane/snapshot/asked.h"
#include "controlplane/snapshot/node.h"

namespace fairlead::serve {

class MeshClients {
 public:
  static constexpr size_t kMostNames = 100'000;  // of all clients; what is asked for beyond has to have routes to be there

  using Tell = std::function<void(snapshot::Asked)>;
  explicit MeshClients(Tell tell) : tell_(std::move(tell)) {}

  static bool is_one(const snapshot::Node& node) { return node.gateway.empty() && !node.mesh.empty(); }

  void came(const snapshot::Node& node) { asks(node, {}); }
  // For listeners. Of proxies it is not looked at.
  void asks(const snapshot::Node& node, const std::vector<std::string>& names);
  // True: it is time for anew().
  bool left();
  // What those ask for that are still there, so many.
  void anew(snapshot::Asked::Names names, size_t clients);

 private:
  const Tell tell_;
  snapshot::Asked::Names told_;
  size_t count_ = 0;    // names told
  size_t clients_ = 0;  // at the last anew()
  size_t left_ = 0;     // since then
  bool too_many_ = false;
};

}  // namespace fairlead::serve
