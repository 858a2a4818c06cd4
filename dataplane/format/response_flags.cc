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

void append_names(uint32_t bits, std::string_view Names::*which, std::string& out) {
  if (bits == 0) {
    out.push_back('-');
    return;
  }
  bool first = true;
  for (size_t i = 0; i < names.size(); ++i) {
    if ((bits >> i & 1) == 0) continue;
    if (!first) out.push_back(',');
    first = false;
    out.append(names[i].*which);
  }
}

}  // namespace

void ResponseFlags::append_short(std::string& out) const { append_names(bits_, &Names::short_name, out); }
void ResponseFlags::append_long(std::string& out) const { append_names(bits_, &Names::long_name, out); }

std::string_view short_name(ResponseFlag flag) { return names[static_cast<size_t>(flag)].short_name; }
std::string_view long_name(ResponseFlag flag) { return names[static_cast<size_t>(flag)].long_name; }

std::optional<ResponseFlag> response_flag_from_short_name(std::string_view name) {
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].short_name == name) return static_cast<ResponseFlag>(i);
  }
  return std::nullopt;
}

}  // namespace fairlead::format
