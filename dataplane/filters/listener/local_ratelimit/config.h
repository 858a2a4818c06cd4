// How many connections a listener accepts in a time. Pure; also linked by the control plane.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/config/registry.h"
#include "dataplane/filters/http/local_ratelimit/token_bucket.h"
#include "dataplane/matching/runtime.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::listener::local_ratelimit {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.listener.local_ratelimit.v3.LocalRateLimit";

enum class Stat : uint32_t { rate_limited, first_histogram };
extern const stats::StatSet kStats;  // listener_local_ratelimit.<stat_prefix>.

struct Config final : config::FilterConfig {
  std::string stat_prefix;
  filters::local_ratelimit::BucketSize bucket;
  matching::RuntimeFlag enabled;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::listener::local_ratelimit
