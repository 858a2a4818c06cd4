// The router filter's configuration (envoy.extensions.filters.http.router.v3.Router) as a model. Pure; also linked by the control plane.
#pragma once

#include <string>
#include <vector>

#include "dataplane/config/registry.h"

namespace fairlead::filters::router {

struct RouterConfig final : config::FilterConfig {
  bool dynamic_stats = true;          // Envoy 1.40: true; per-code counters of the cluster
  bool suppress_envoy_headers = false;
  bool respect_expected_rq_timeout = false;
  std::vector<std::string> strict_check_headers;  // lower case
};

// Makes the type known to config parsing. At start-up, once.
void register_config(config::Registry& registry);

}  // namespace fairlead::filters::router
