// The words of retry_on and the headers of the same meaning.
#include <absl/strings/ascii.h>
#include <absl/strings/str_split.h>

#include "dataplane/router/route.h"

namespace fairlead::router {

uint32_t parse_retry_on(std::string_view text, std::vector<std::string>* unknown) {
  static constexpr std::pair<std::string_view, RetryOn> words[] = {
      {"5xx", RetryOn::FiveXx},
      {"gateway-error", RetryOn::GatewayError},
      {"reset", RetryOn::Reset},
      {"reset-before-request", RetryOn::ResetBeforeRequest},
      {"connect-failure", RetryOn::ConnectFailure},
      {"envoy-ratelimited", RetryOn::EnvoyRateLimited},
      {"retriable-4xx", RetryOn::Retriable4xx},
      {"refused-stream", RetryOn::RefusedStream},
      {"retriable-status-codes", RetryOn::RetriableStatusCodes},
      {"retriable-headers", RetryOn::RetriableHeaders},
      {"http3-post-connect-failure", RetryOn::Http3PostConnectFailure},
      {"cancelled", RetryOn::GrpcCancelled},
      {"deadline-exceeded", RetryOn::GrpcDeadlineExceeded},
      {"resource-exhausted", RetryOn::GrpcResourceExhausted},
      {"unavailable", RetryOn::GrpcUnavailable},
      {"internal", RetryOn::GrpcInternal},
  };
  uint32_t bits = 0;
  for (std::string_view token : absl::StrSplit(text, ',')) {
    token = absl::StripAsciiWhitespace(token);
    if (token.empty()) continue;
    bool known = false;
    for (const auto& [word, bit] : words) {
      if (word != token) continue;
      bits |= static_cast<uint32_t>(bit);
      known = true;
    }
    if (!known && unknown != nullptr) unknown->emplace_back(token);
  }
  return bits;
}

}  // namespace fairlead::router
