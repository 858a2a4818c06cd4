// The CORS filter has no configuration of its own: policies stand in routes and virtual hosts (router/cors.h). Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::filters::cors {

struct Config final : config::FilterConfig {};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::cors
