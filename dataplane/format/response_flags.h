// The response flags of a request: one bit each, with the short and long names that access logs print.
// Pure data, any thread. The order is Envoy 1.40's CoreResponseFlag; a log line has them in the order in which they were set, as Envoy's.
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
  void set(ResponseFlag flag) {
    if (has(flag)) return;
    bits_ |= bit(flag);
    order_ = order_ << kOrderBits | (static_cast<uint64_t>(flag) + 1);
  }
  bool has(ResponseFlag flag) const { return (bits_ & bit(flag)) != 0; }
  bool empty() const { return bits_ == 0; }
  uint32_t bits() const { return bits_; }
  bool intersects(ResponseFlags other) const { return (bits_ & other.bits_) != 0; }

  // "URX,UH" / "UpstreamRetryLimitExceeded,NoHealthyUpstream"; "-" when empty. Appends to `out`.
  void append_short(std::string& out) const;
  void append_long(std::string& out) const;

 private:
  static constexpr unsigned kOrderBits = 5;
  static_assert(static_cast<unsigned>(ResponseFlag::Count) < 1u << kOrderBits);
  static uint32_t bit(ResponseFlag flag) { return uint32_t{1} << static_cast<unsigned>(flag); }
  void append(std::string& out, std::string_view (*name)(ResponseFlag)) const;
  uint32_t bits_ = 0;
  uint64_t order_ = 0;  // flag + 1 in five bits each, the latest lowest; the twelve latest fit
};

std::string_view short_name(ResponseFlag flag);
std::string_view long_name(ResponseFlag flag);
std::optional<ResponseFlag> response_flag_from_short_name(std::string_view name);

}  // namespace fairlead::format
