// The buffer filter's configuration. Pure; also linked by the control plane.
#pragma once

#include <cstdint>

#include "dataplane/config/registry.h"

namespace fairlead::filters::buffer {

struct Config final : config::FilterConfig {
  uint32_t max_request_bytes = 0;
};

struct RouteConfig final : fairlead::router::PerFilterConfig {
  bool disabled = false;
  uint32_t max_request_bytes = 0;  // unless disabled
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::buffer
