// The SNI cluster filter has nothing to configure. Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::filters::network::sni_cluster {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.sni_cluster.v3.SniCluster";

struct Config final : config::FilterConfig {};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::network::sni_cluster
