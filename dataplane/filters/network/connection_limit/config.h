// How many connections a filter chain may have at once. Pure; also linked by the control plane.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "dataplane/config/registry.h"
#include "dataplane/matching/runtime.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::network::connection_limit {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit";

enum class Stat : uint32_t { limited_connections, active_connections, first_histogram };
extern const stats::StatSet kStats;  // connection_limit.<stat_prefix>.

struct Config final : config::FilterConfig {
  std::string stat_prefix;
  uint64_t max_connections = 1;
  std::chrono::milliseconds delay{0};  // before one too many is closed
  matching::RuntimeFlag enabled;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::network::connection_limit
