// The runtime while the server runs: the bootstrap's layers, of which POST /runtime_modify changes the admin layer, and what they come to.
// Main thread; owned by the server. Every change is a new matching::Runtime, which goes to the workers with the next snapshot.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/config/runtime.h"
#include "dataplane/stats/registry.h"

namespace fairlead::server {

class RuntimeLayers {
 public:
  RuntimeLayers(std::vector<config::RuntimeLayer> layers, stats::Registry& stats);

  const std::shared_ptr<const matching::Runtime>& current() const { return current_; }
  // A layer that is discovered, by its resource: whether there is one, and its values from now on. Errors leave it as it was.
  bool discovers(std::string_view resource) const;
  absl::Status set(const std::string& resource, const google::protobuf::Struct& values);
  void clear(std::string_view resource);
  const std::vector<config::RuntimeLayer>& layers() const { return layers_; }
  // An empty value takes the key out of the admin layer. False: there is no admin layer.
  bool modify(const std::multimap<std::string, std::string>& changes);
  std::string to_json() const;  // of /runtime, Envoy's shape

 private:
  void load();
  void set_values(std::string_view resource, std::shared_ptr<const matching::Runtime> values);

  std::vector<config::RuntimeLayer> layers_;
  std::shared_ptr<const matching::Runtime> current_;
  stats::Registry& stats_;
  stats::ScopePtr scope_;
};

}  // namespace fairlead::server
