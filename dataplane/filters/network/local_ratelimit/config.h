// How many connections a filter chain accepts in a time. Pure; also linked by the control plane.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/config/registry.h"
#include "dataplane/filters/http/local_ratelimit/token_bucket.h"
#include "dataplane/matching/runtime.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::network::local_ratelimit {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit";

enum class Stat : uint32_t { rate_limited, first_histogram };
extern const stats::StatSet kStats;  // local_rate_limit.<stat_prefix>.

struct Config final : config::FilterConfig {
  std::string stat_prefix;
  filters::local_ratelimit::BucketSize bucket;
  std::string share_key;  // filters with the same key and the same bucket draw from one; empty: a bucket of its own
  matching::RuntimeFlag enabled;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::network::local_ratelimit
