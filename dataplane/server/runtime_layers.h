// The runtime while the server runs: the bootstrap's layers, of which POST /runtime_modify changes the admin layer, and what they come to.
// Main thread; owned by the server. Every change is a new matching::Runtime, which goes to the workers with the next snapshot.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/runtime.h"
#include "dataplane/stats/registry.h"

namespace fairlead::server {

class RuntimeLayers {
 public:
  RuntimeLayers(std::vector<config::RuntimeLayer> layers, stats::Registry& stats);

  const std::shared_ptr<const matching::Runtime>& current() const { return current_; }
  // An empty value takes the key out of the admin layer. False: there is no admin layer.
  bool modify(const std::multimap<std::string, std::string>& changes);
  std::string to_json() const;  // of /runtime, Envoy's shape

 private:
  void load();

  std::vector<config::RuntimeLayer> layers_;
  std::shared_ptr<const matching::Runtime> current_;
  stats::Registry& stats_;
  stats::ScopePtr scope_;
};

}  // namespace fairlead::server
