// What the direct response filter answers. Pure; also linked by the control plane.
#pragma once

#include <memory>
#include <string>

#include "dataplane/config/registry.h"
#include "dataplane/router/data_source.h"

namespace fairlead::filters::network::direct_response {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config";

struct Config final : config::FilterConfig {
  std::shared_ptr<const std::string> response;  // never null
};

void register_config(config::Registry& registry, router::FileReader read_file);

}  // namespace fairlead::filters::network::direct_response
