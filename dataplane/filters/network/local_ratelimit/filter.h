// Closes connections that come faster than a token bucket fills, which all workers draw from.
#pragma once

#include <memory>

#include "dataplane/filters/http/local_ratelimit/token_bucket.h"
#include "dataplane/filters/network/local_ratelimit/config.h"
#include "dataplane/stream/network_filter.h"

namespace fairlead::filters::network::local_ratelimit {

void register_filter(stream::NetworkFilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  std::shared_ptr<filters::local_ratelimit::TokenBucket> bucket;
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
};

class LocalRateLimit final : public stream::NetworkFilter {
 public:
  explicit LocalRateLimit(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Status on_new_connection() override;

 private:
  std::shared_ptr<const Shared> shared_;
};

}  // namespace fairlead::filters::network::local_ratelimit
