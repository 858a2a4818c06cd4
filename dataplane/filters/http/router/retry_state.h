// Whether and when a request is tried again: the rules of retry_on, the number of retries and the back-off. Pure: told what happened,
// answers what to do; sockets, breakers and timers are the caller's. One per request with a retry policy, on the stream's worker.
#pragma once

#include <chrono>
#include <cstdint>

#include "dataplane/router/route.h"
#include "dataplane/upstream/pool/reset_reason.h"

namespace fairlead::upstream {
class Random;
}

namespace fairlead::filters::router {

using std::chrono::milliseconds;

enum class RetryVerdict : uint8_t {
  kNo,          // not a case for a retry
  kYes,
  kExhausted,   // it would be, but num_retries is used up: flag URX
};

class RetryState {
 public:
  // Reads x-envoy-retry-on, x-envoy-retry-grpc-on, x-envoy-max-retries, x-envoy-retriable-status-codes and
  // x-envoy-retriable-header-names, which add to `policy` (null: headers alone), and removes them from `request`.
  RetryState(const fairlead::router::RetryPolicy* policy, http::HeaderMap& request);

  bool enabled() const { return retry_on_ != 0; }

  // A response's headers arrived. kYes uses up one retry.
  RetryVerdict on_response_headers(uint32_t status, const http::HeaderMap& headers);
  // The attempt ended without a response. `request_sent`: at least one byte of it may have reached the upstream's application.
  RetryVerdict on_reset(upstream::ResetReason reason, bool request_sent);

  // How long to wait before the retry that was just granted; from the response's reset headers if `rate_limited()`.
  milliseconds back_off(upstream::Random& random);
  bool rate_limited() const { return rate_limit_wait_.count() > 0; }
  uint32_t retries_left() const { return retries_left_; }

 private:
  bool wants(uint32_t status, const http::HeaderMap& headers) const;
  bool wants(upstream::ResetReason reason, bool request_sent) const;
  RetryVerdict grant(bool wanted);
  void read_rate_limit(const http::HeaderMap& headers);
  bool has(fairlead::router::RetryOn bit) const { return (retry_on_ & static_cast<uint32_t>(bit)) != 0; }

  const fairlead::router::RetryPolicy* policy_;
  uint32_t retry_on_ = 0;
  uint32_t retries_left_ = 1;  // Envoy 1.40: 1
  uint32_t attempt_ = 0;       // retries granted so far
  milliseconds rate_limit_wait_{0};
  std::vector<uint32_t> extra_status_codes_;
  std::vector<std::string> extra_header_names_;
};

// Uniform in [0, min(base · 2^(retry-1), max)): Envoy 1.40's JitteredExponentialBackOffStrategy. `retry` counts from 1.
milliseconds retry_back_off(uint32_t retry, milliseconds base, milliseconds max, upstream::Random& random);

}  // namespace fairlead::filters::router
