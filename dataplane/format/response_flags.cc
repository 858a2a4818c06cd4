// Names of the response flags; see response_flags.h.
#include "dataplane/format/response_flags.h"

#include <array>

namespace fairlead::format {
namespace {

struct Names {
  std::string_view short_name, long_name;
};

constexpr std::array<Names, static_cast<size_t>(ResponseFlag::Count)> names{{
    {"LH", "FailedLocalHealthCheck"},
    {"UH", "NoHealthyUpstream"},
    {"UT", "UpstreamRequestTimeout"},
    {"LR", "LocalReset"},
    {"UR", "UpstreamRemoteReset"},
    {"UF", "UpstreamConnectionFailure"},
    {"UC", "UpstreamConnectionTermination"},
    {"UO", "UpstreamOverflow"},
    {"NR", "NoRouteFound"},
    {"DI", "DelayInjected"},
    {"FI", "FaultInjected"},
    {"RL", "RateLimited"},
    {"UAEX", "UnauthorizedExternalService"},
    {"RLSE", "RateLimitServiceError"},
    {"DC", "DownstreamConnectionTermination"},
    {"URX", "UpstreamRetryLimitExceeded"},
    {"SI", "StreamIdleTimeout"},
    {"IH", "InvalidEnvoyRequestHeaders"},
    {"DPE", "DownstreamProtocolError"},
    {"UMSDR", "UpstreamMaxStreamDurationReached"},
    {"RFCF", "ResponseFromCacheFilter"},
    {"NFCF", "NoFilterConfigFound"},
    {"DT", "DurationTimeout"},
    {"UPE", "UpstreamProtocolError"},
    {"NC", "NoClusterFound"},
    {"OM", "OverloadManagerTerminated"},
    {"DF", "DnsResolutionFailed"},
    {"DO", "DropOverload"},
    {"DR", "DownstreamRemoteReset"},
    {"UDO", "UnconditionalDropOverload"},
}};

}  // namespace

void ResponseFlags::append(std::string& out, std::string_view (*name)(ResponseFlag)) const {
  if (bits_ == 0) {
    out.push_back('-');
    return;
  }
  constexpr unsigned kHighest = 64 / kOrderBits * kOrderBits - kOrderBits;
  bool first = true;
  for (int shift = kHighest; shift >= 0; shift -= kOrderBits) {
    const uint64_t entry = order_ >> shift & ((1u << kOrderBits) - 1);
    if (entry == 0) continue;
    if (!first) out.push_back(',');
    first = false;
    out.append(name(static_cast<ResponseFlag>(entry - 1)));
  }
}

void ResponseFlags::append_short(std::string& out) const { append(out, short_name); }
void ResponseFlags::append_long(std::string& out) const { append(out, long_name); }

std::string_view short_name(ResponseFlag flag) { return names[static_cast<size_t>(flag)].short_name; }
std::string_view long_name(ResponseFlag flag) { return names[static_cast<size_t>(flag)].long_name; }

std::optional<ResponseFlag> response_flag_from_short_name(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].short_name == name) return static_cast<ResponseFlag>(i);
  }
  return std::nullopt;
}

}  // namespace fairlead::format
