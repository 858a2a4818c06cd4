// Answers requests over a rate with 429. One bucket per configuration, shared by all workers.
// One filter per stream, in its arena; one worker.
#pragma once

#include "dataplane/filters/http/local_ratelimit/config.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::local_ratelimit {

void register_filter(stream::FilterRegistry& registry);

class LocalRateLimitFilter final : public stream::Filter {
 public:
  LocalRateLimitFilter(const Config& config, stats::Registry& registry) : config_(config), registry_(registry) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;

 private:
  bool allowed(const Limit& limit, const http::HeaderMap& headers);
  bool roll(const std::optional<matching::Fraction>& fraction) const;

  const Config& config_;
  stats::Registry& registry_;
  const Limit* limit_ = nullptr;        // that counts for this request
  const TokenBucket* bucket_ = nullptr;  // that decided
};

}  // namespace fairlead::filters::local_ratelimit
