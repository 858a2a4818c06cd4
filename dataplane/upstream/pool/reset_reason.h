// Why an upstream request ended without a whole response. The router turns it into a status, a response flag and details, and into a
// decision whether to retry. Plain data.
#pragma once

#include <cstdint>
#include <string_view>

namespace fairlead::upstream {

enum class ResetReason : uint8_t {
  kConnectFailure,         // refused, unreachable
  kLocalConnectFailure,    // this process had no descriptor or memory for it: the host is not to blame
  kConnectTimeout,         // connect_timeout passed
  kConnectionTermination,  // the connection closed before or within the response
  kOverflow,               // a circuit breaker is open
  kNoPool,                 // max_connection_pools: as if there were no host
  kLocalReset,             // we gave up: timeout, client gone
  kRemoteReset,            // HTTP/2 RST_STREAM
  kRemoteRefusedStream,    // HTTP/2 REFUSED_STREAM
  kProtocolError,          // the response is not HTTP
};

// The words of Envoy's reset details and local replies: "remote connection failure".
std::string_view reset_reason_text(ResetReason reason);

// Whether a connect that failed with that errno failed for want of descriptors or memory of our own.
bool own_want(int error);
inline bool never_connected(ResetReason reason) {
  return reason == ResetReason::kConnectFailure || reason == ResetReason::kLocalConnectFailure || reason == ResetReason::kConnectTimeout;
}

}  // namespace fairlead::upstream
