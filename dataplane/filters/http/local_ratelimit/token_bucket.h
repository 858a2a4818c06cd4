// A token bucket that all workers draw from: one atomic, the instant at which the bucket would have been empty. It refills continuously.
// Any thread; relaxed atomics, no lock. Time is told by the caller, so it is tested without a clock.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include <absl/status/statusor.h>

namespace envoy::type::v3 {
class TokenBucket;
}

namespace fairlead::filters::local_ratelimit {

// `per_fill` tokens every `interval`, at most `max` at once.
struct BucketSize {
  uint32_t max = 1, per_fill = 1;
  std::chrono::nanoseconds interval{0};
};

// `what` has such a bucket, in the error, whose text is Envoy's: it must not fill more often than every 50 ms.
absl::StatusOr<BucketSize> read_bucket(const envoy::type::v3::TokenBucket& proto, std::string_view what = "local rate limit");

class TokenBucket {
 public:
  using Nanoseconds = std::chrono::nanoseconds;
  // Full at first.
  explicit TokenBucket(const BucketSize& size) : max_(size.max), per_token_(static_cast<double>(size.interval.count()) / std::max(size.per_fill, 1u)) {}

  // Takes one token if there is one. `now`: of any steady clock, the same for all callers.
  bool consume(Nanoseconds now) {
    const int64_t t = now.count();
    int64_t empty_at = empty_at_.load(std::memory_order_relaxed);
    for (;;) {
      const double tokens = tokens_at(t, empty_at);
      if (tokens < 1) return false;
      const auto next = static_cast<int64_t>(static_cast<double>(t) - (tokens - 1) * per_token_);
      if (empty_at_.compare_exchange_weak(empty_at, next, std::memory_order_relaxed)) return true;
    }
  }
  uint32_t max() const { return max_; }
  uint32_t remaining(Nanoseconds now) const { return static_cast<uint32_t>(tokens_at(now.count(), empty_at_.load(std::memory_order_relaxed))); }
  // Until a token is there; 0 when one is.
  Nanoseconds until_next(Nanoseconds now) const {
    const double tokens = tokens_at(now.count(), empty_at_.load(std::memory_order_relaxed));
    return tokens >= 1 ? Nanoseconds(0) : Nanoseconds(static_cast<int64_t>((1 - tokens) * per_token_));
  }

 private:
  static constexpr int64_t kFull = INT64_MIN / 2;
  double tokens_at(int64_t now, int64_t empty_at) const {
    // Rounding must not make 0.9999999 of what is a whole token.
    return std::min<double>(max_, (static_cast<double>(now) - static_cast<double>(empty_at)) / per_token_ + 1e-9);
  }

  uint32_t max_;
  double per_token_;
  std::atomic<int64_t> empty_at_{kFull};
};

}  // namespace fairlead::filters::local_ratelimit
