// The fault filter's configuration. A route's replaces the filter's as a whole. Pure; also linked by the control plane.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/config/registry.h"
#include "dataplane/matching/matchers.h"

namespace fairlead::filters::fault {

// A percentage that a runtime key may move, and a header of the request lower.
struct Percentage {
  matching::Fraction fraction;
  std::string header;  // with header control: its name
  // `also`: a second key, of the downstream cluster; either may say yes. Each asks chance anew, as Envoy 1.40 does.
  bool hit(const http::HeaderMap& headers, const matching::Runtime* runtime, const std::string& also, uint64_t random, uint64_t other_random) const;
};

struct Settings {
  struct Delay {
    std::optional<std::chrono::milliseconds> fixed;  // unset: from x-envoy-fault-delay-request
    Percentage percentage;
  };
  struct Abort {
    std::optional<uint32_t> http_status, grpc_status;  // both unset: from x-envoy-fault-abort-request and its gRPC kin
    Percentage percentage;
    std::string body;
  };
  struct RateLimit {
    std::optional<uint64_t> kbps;  // KiB/s; unset: from x-envoy-fault-throughput-response
    Percentage percentage;
  };
  std::optional<Delay> delay;
  std::optional<Abort> abort;
  std::optional<RateLimit> rate_limit;
  std::string upstream_cluster;
  std::vector<matching::HeaderMatcher> headers;
  std::vector<std::string> downstream_nodes;
  std::optional<uint32_t> max_active;
  bool downstream_cluster_stats = true;
  // Runtime keys; these are Envoy 1.40's defaults.
  std::string delay_duration_key = "fault.http.delay.fixed_duration_ms";
  std::string abort_http_key = "fault.http.abort.http_status";
  std::string abort_grpc_key = "fault.http.abort.grpc_status";
  std::string max_active_key = "fault.http.max_active_faults";
};

struct Config final : config::FilterConfig {
  Settings settings;
};

struct RouteConfig final : fairlead::router::PerFilterConfig {
  Settings settings;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::fault
