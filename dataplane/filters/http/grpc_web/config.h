// The gRPC-Web filter has no configuration. Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::filters::grpc_web {

struct Config final : config::FilterConfig {};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::grpc_web
