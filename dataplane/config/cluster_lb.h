// The load balancing of a Cluster: lb_policy with its *_lb_config and common_lb_config, or the load_balancing_policy list. Private to the room.
#pragma once

#include "base/status.h"
#include "dataplane/config/cluster.h"

namespace fairlead::config {

void parse_lb(const envoy::config::cluster::v3::Cluster& proto, ClusterConfig& out, ErrorList& errors);

}  // namespace fairlead::config
