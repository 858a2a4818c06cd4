// original_dst has nothing to configure. Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::filters::listener::original_dst {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::listener::original_dst
