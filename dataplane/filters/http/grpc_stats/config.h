// The gRPC statistics filter's configuration. Pure; also linked by the control plane.
#pragma once

#include <string>

#include <absl/container/flat_hash_set.h>

#include "dataplane/config/registry.h"

namespace fairlead::filters::grpc_stats {

struct Config final : config::FilterConfig {
  bool all_methods = false;
  absl::flat_hash_set<std::string> methods;  // "service/name" of those that are counted alone; others count under no name
  bool upstream_times = false;
  bool replace_dots = false;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::grpc_stats
