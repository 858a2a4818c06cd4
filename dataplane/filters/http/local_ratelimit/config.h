// The local rate limit filter's configuration, the same for filter and routes, with its bucket: all workers share the model, and so the
// bucket in it. Pure but for that; also linked by the control plane.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/config/registry.h"
#include "dataplane/filters/http/local_ratelimit/token_bucket.h"
#include "dataplane/matching/matchers.h"
#include "dataplane/router/header_ops.h"
#include "dataplane/router/rate_limit.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::local_ratelimit {

#define FAIRLEAD_LOCAL_RATE_LIMIT_STATS(C) C(enabled) C(enforced) C(ok) C(rate_limited) C(shadow_mode)
#define FAIRLEAD_NAME(name) name,
enum class Stat : uint32_t { FAIRLEAD_LOCAL_RATE_LIMIT_STATS(FAIRLEAD_NAME) first_histogram };
#undef FAIRLEAD_NAME
extern const stats::StatSet kStats;

// A bucket of its own for requests with this descriptor.
struct DescriptorLimit {
  std::vector<std::pair<std::string, std::string>> entries;
  std::unique_ptr<TokenBucket> bucket;
  double per_second = 0;
  bool matches(const fairlead::router::Descriptor& descriptor) const;
};

enum class HostLimits : uint8_t { Override, Include, Ignore };  // what virtual hosts say counts if the route says nothing, too, or never

struct Limit {
  std::string stat_prefix;
  uint32_t status = 429;                      // Envoy 1.40: 429, also for what is below 400
  std::unique_ptr<TokenBucket> bucket;        // null: nothing is limited
  std::optional<matching::Fraction> enabled;  // unset: Envoy 1.40 does nothing at all
  std::optional<matching::Fraction> enforced;
  fairlead::router::HeaderOps request_headers_when_not_enforced;
  fairlead::router::HeaderOps response_headers;
  bool x_ratelimit_headers = false;
  bool retry_after = false;
  bool resource_exhausted = false;            // gRPC status 8 rather than 14
  std::vector<DescriptorLimit> descriptors;   // the slowest first
  std::vector<fairlead::router::RateLimitPolicy> policies;  // the filter's own; none: the route's
  uint32_t stage = 0;
  HostLimits host_limits = HostLimits::Override;
  bool always_consume_default = true;         // Envoy 1.40: true
  stats::LazyBlock<Stat> stats;
};

struct Config final : config::FilterConfig {
  Limit limit;
};

struct RouteConfig final : fairlead::router::PerFilterConfig {
  Limit limit;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::local_ratelimit
