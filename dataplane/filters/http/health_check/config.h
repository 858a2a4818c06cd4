// The health check filter's configuration. Pure; also linked by the control plane.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/config/registry.h"
#include "dataplane/matching/matchers.h"

namespace fairlead::filters::health_check {

struct Config final : config::FilterConfig {
  bool pass_through = false;
  std::optional<std::chrono::milliseconds> cache_time;  // only with pass_through
  std::vector<std::pair<std::string, uint32_t>> cluster_min_healthy;  // cluster, whole per cent; sorted by cluster
  std::vector<matching::HeaderMatcher> headers;         // all of them; none: every request
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::health_check
