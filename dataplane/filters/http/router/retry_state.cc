// The rules of retry_on; see retry_state.h.
#include "dataplane/filters/http/router/retry_state.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>

#include <algorithm>

#include "dataplane/http/header_map.h"
#include "dataplane/upstream/lb/random.h"

namespace fairlead::filters::router {
namespace {

using fairlead::router::RetryOn;
using http::Token;
using upstream::ResetReason;

bool is_5xx(uint32_t status) { return status >= 500 && status < 600; }

// gRPC's numbers for the statuses that retry_on can name.
constexpr struct {
  std::string_view status;
  RetryOn bit;
} kGrpcStatuses[] = {{"1", RetryOn::GrpcCancelled}, {"4", RetryOn::GrpcDeadlineExceeded}, {"8", RetryOn::GrpcResourceExhausted}, {"13", RetryOn::GrpcInternal}, {"14", RetryOn::GrpcUnavailable}};

}  // namespace

RetryState::RetryState(const fairlead::router::RetryPolicy* policy, http::HeaderMap& request) : policy_(policy) {
  if (policy != nullptr) {
    retry_on_ = policy->retry_on;
    retries_left_ = policy->num_retries;
    if (!policy->retriable_request_headers.empty() &&
        std::none_of(policy->retriable_request_headers.begin(), policy->retriable_request_headers.end(), [&](const auto& m) { return m.match(request); })) {
      retry_on_ = 0;
    }
  }
  const auto take = [&](Token token) {
    const http::Header* header = request.find(token);
    const std::string_view value = header == nullptr ? std::string_view() : header->value();
    if (header != nullptr) request.remove(token);
    return value;
  };
  retry_on_ |= fairlead::router::parse_retry_on(take(Token::XEnvoyRetryOn)) | fairlead::router::parse_retry_on(take(Token::XEnvoyRetryGrpcOn));
  for (std::string_view name : absl::StrSplit(take(Token::XEnvoyRetriableHeaderNames), ',', absl::SkipWhitespace())) {
    extra_header_names_.push_back(absl::AsciiStrToLower(absl::StripAsciiWhitespace(name)));
  }
  for (std::string_view code : absl::StrSplit(take(Token::XEnvoyRetriableStatusCodes), ',', absl::SkipWhitespace())) {
    uint32_t value;
    if (absl::SimpleAtoi(code, &value)) extra_status_codes_.push_back(value);
  }
  uint32_t retries;
  const std::string_view max = take(Token::XEnvoyMaxRetries);
  if (retry_on_ != 0 && !max.empty() && absl::SimpleAtoi(max, &retries)) retries_left_ = retries;
}

bool RetryState::wants(uint32_t status, const http::HeaderMap& headers) const {
  if (headers.has(Token::XEnvoyRatelimited)) return has(RetryOn::EnvoyRateLimited);
  if (has(RetryOn::FiveXx) && is_5xx(status)) return true;
  if (has(RetryOn::GatewayError) && status >= 502 && status <= 504) return true;
  if (has(RetryOn::Retriable4xx) && status == 409) return true;
  if (has(RetryOn::RetriableStatusCodes)) {
    if (policy_ != nullptr && std::find(policy_->retriable_status_codes.begin(), policy_->retriable_status_codes.end(), status) != policy_->retriable_status_codes.end()) return true;
    if (std::find(extra_status_codes_.begin(), extra_status_codes_.end(), status) != extra_status_codes_.end()) return true;
  }
  if (has(RetryOn::RetriableHeaders)) {
    if (policy_ != nullptr && std::any_of(policy_->retriable_headers.begin(), policy_->retriable_headers.end(), [&](const auto& m) { return m.match(headers); })) return true;
    if (std::any_of(extra_header_names_.begin(), extra_header_names_.end(), [&](const auto& name) { return headers.has(name); })) return true;
  }
  const http::Header* grpc = headers.find(Token::GrpcStatus);
  if (grpc != nullptr) {
    for (const auto& known : kGrpcStatuses) {
      if (has(known.bit) && grpc->value() == known.status) return true;
    }
  }
  return false;
}

bool RetryState::wants(ResetReason reason, bool request_sent) const {
  if (reason == ResetReason::kOverflow || reason == ResetReason::kNoPool) return false;
  if (has(RetryOn::Reset)) return true;
  if (has(RetryOn::ResetBeforeRequest) && !request_sent) return true;
  if (has(RetryOn::FiveXx) || has(RetryOn::GatewayError)) return true;  // a reset would become a 503
  if (has(RetryOn::RefusedStream) && reason == ResetReason::kRemoteRefusedStream) return true;
  return has(RetryOn::ConnectFailure) && upstream::never_connected(reason);
}

RetryVerdict RetryState::grant(bool wanted) {
  if (!wanted) return RetryVerdict::kNo;
  if (retries_left_ == 0) return RetryVerdict::kExhausted;
  --retries_left_;
  ++attempt_;
  return RetryVerdict::kYes;
}

RetryVerdict RetryState::on_response_headers(uint32_t status, const http::HeaderMap& headers) {
  rate_limit_wait_ = milliseconds(0);
  const RetryVerdict verdict = grant(wants(status, headers));
  if (verdict == RetryVerdict::kYes) read_rate_limit(headers);
  return verdict;
}

RetryVerdict RetryState::on_reset(ResetReason reason, bool request_sent) {
  rate_limit_wait_ = milliseconds(0);
  return grant(wants(reason, request_sent));
}

void RetryState::read_rate_limit(const http::HeaderMap& headers) {
  if (policy_ == nullptr || !policy_->rate_limited_back_off) return;
  for (const auto& header : policy_->rate_limited_back_off->reset_headers) {
    int64_t value;
    if (!absl::SimpleAtoi(headers.get(header.name), &value)) continue;
    if (header.unix_timestamp) value -= std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    const milliseconds wait = std::chrono::seconds(value);
    if (value <= 0 || wait > policy_->rate_limited_back_off->max_interval) continue;
    rate_limit_wait_ = wait;
    return;
  }
}

milliseconds RetryState::back_off(upstream::Random& random) {
  if (rate_limited()) {
    // Envoy 1.40: JitteredLowerBoundBackOffStrategy, the interval and up to half of it more
    return rate_limit_wait_ + milliseconds(random.below(rate_limit_wait_.count() / 2 + 1));
  }
  const milliseconds base = policy_ != nullptr ? policy_->base_interval : milliseconds(25);  // Envoy 1.40: upstream.base_retry_backoff_ms
  const milliseconds max = policy_ != nullptr ? policy_->max_interval : base * 10;
  return retry_back_off(attempt_, base, max, random);
}

milliseconds retry_back_off(uint32_t retry, milliseconds base, milliseconds max, upstream::Random& random) {
  milliseconds interval = base;
  for (uint32_t i = 1; i < retry && interval < max; ++i) interval *= 2;
  return milliseconds(random.below(std::min(interval, max).count()));
}

}  // namespace fairlead::filters::router
