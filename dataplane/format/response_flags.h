// The response flags of a request: one bit each, with the short and long names that access logs print.
// Pure data, any thread. The order is Envoy 1.40's CoreResponseFlag, which also decides the order in a log line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fairlead::format {

enum class ResponseFlag : uint8_t {
  FailedLocalHealthCheck,          // LH
  NoHealthyUpstream,               // UH
  UpstreamRequestTimeout,          // UT
  LocalReset,                      // LR
  UpstreamRemoteReset,             // UR
  UpstreamConnectionFailure,       // UF
  UpstreamConnectionTermination,   // UC
  UpstreamOverflow,                // UO
  NoRouteFound,                    // NR
  DelayInjected,                   // DI
  FaultInjected,                   // FI
  RateLimited,                     // RL
  UnauthorizedExternalService,     // UAEX
  RateLimitServiceError,           // RLSE
  DownstreamConnectionTermination, // DC
  UpstreamRetryLimitExceeded,      // URX
  StreamIdleTimeout,               // SI
  InvalidEnvoyRequestHeaders,      // IH
  DownstreamProtocolError,         // DPE
  UpstreamMaxStreamDurationReached,// UMSDR
  ResponseFromCacheFilter,         // RFCF
  NoFilterConfigFound,             // NFCF
  DurationTimeout,                 // DT
  UpstreamProtocolError,           // UPE
  NoClusterFound,                  // NC
  OverloadManager,                 // OM
  DnsResolutionFailed,             // DF
  DropOverload,                    // DO
  DownstreamRemoteReset,           // DR
  UnconditionalDropOverload,       // UDO
  Count
};

// A set of flags: cheap to copy, part of every stream.
class ResponseFlags {
 public:
  void set(ResponseFlag flag) { bits_ |= bit(flag); }
  bool has(ResponseFlag flag) const { return (bits_ & bit(flag)) != 0; }
  bool empty() const { return bits_ == 0; }
  uint32_t bits() const { return bits_; }
  bool intersects(ResponseFlags other) const { return (bits_ & other.bits_) != 0; }

  // "UH,URX" / "NoHealthyUpstream,UpstreamRetryLimitExceeded"; "-" when empty. Appends to `out`.
  void append_short(std::string& out) const;
  void append_long(std::string& out) const;

 private:
  static uint32_t bit(ResponseFlag flag) { return uint32_t{1} << static_cast<unsigned>(flag); }
  uint32_t bits_ = 0;
};

std::string_view short_name(ResponseFlag flag);
std::string_view long_name(ResponseFlag flag);
std::optional<ResponseFlag> response_flag_from_short_name(std::string_view name);

}  // namespace fairlead::format
