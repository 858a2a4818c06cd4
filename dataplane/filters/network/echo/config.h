// The echo filter has nothing to configure. Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::filters::network::echo {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo";

struct Config final : config::FilterConfig {};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::network::echo
