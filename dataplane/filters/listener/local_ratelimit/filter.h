// Closes sockets that are accepted faster than a token bucket fills, which all workers draw from, before anything is made for them.
#pragma once

#include <memory>

#include "dataplane/filters/http/local_ratelimit/token_bucket.h"
#include "dataplane/filters/listener/local_ratelimit/config.h"
#include "dataplane/stream/listener_filter.h"

namespace fairlead::filters::listener::local_ratelimit {

void register_filter(stream::ListenerFilterRegistry& registry);

struct Shared {
  Shared(std::shared_ptr<const Config> of) : config(std::move(of)), bucket(config->bucket) {}
  std::shared_ptr<const Config> config;
  mutable filters::local_ratelimit::TokenBucket bucket;
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
};

class LocalRateLimit final : public stream::ListenerFilter {
 public:
  explicit LocalRateLimit(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Status on_accept(stream::AcceptedSocket& socket) override;

 private:
  std::shared_ptr<const Shared> shared_;
};

}  // namespace fairlead::filters::listener::local_ratelimit
