// HealthCheck and OutlierDetection of a cluster as validated models. Immutable; parts of a ClusterConfig, shared by all threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "dataplane/matching/matchers.h"
#include "dataplane/matching/runtime.h"
#include "dataplane/router/header_ops.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace fairlead::config {

using std::chrono::milliseconds;

// Half-open ranges of status codes.
using StatusRanges = std::vector<std::pair<int64_t, int64_t>>;
bool in_ranges(const StatusRanges& ranges, uint32_t status);

struct HealthCheck {
  enum class Kind : uint8_t { Http, Tcp, Grpc };
  Kind kind = Kind::Http;
  milliseconds timeout{}, interval{};
  uint32_t unhealthy_threshold = 0, healthy_threshold = 0;
  milliseconds initial_jitter{0}, interval_jitter{0};
  uint32_t interval_jitter_percent = 0;
  bool reuse_connection = true;                       // Envoy 1.40: true
  milliseconds no_traffic_interval{60'000};           // Envoy 1.40: 60 s
  milliseconds no_traffic_healthy_interval{60'000};   // Envoy 1.40: no_traffic_interval
  milliseconds unhealthy_interval{}, unhealthy_edge_interval{}, healthy_edge_interval{};  // Envoy 1.40: interval, unhealthy_interval, interval

  // HTTP
  std::string host;  // empty: the cluster's name; gRPC: authority
  std::string path;
  std::string method = "GET";  // Envoy 1.40: GET
  StatusRanges expected{{200, 201}};  // Envoy 1.40: 200 alone
  StatusRanges retriable;
  bool http2 = false;
  router::HeaderOps headers;  // gRPC: initial_metadata
  std::optional<matching::StringMatcher> service_name;  // against x-envoy-upstream-healthchecked-cluster
  // gRPC
  std::string grpc_service;
  // TCP: what is sent, and what must come back in this order. Without the latter a connection is enough.
  std::string send;
  std::vector<std::string> receive;

  std::vector<std::string> event_logs;  // files: event_log_path, then those of event_logger
  bool always_log_failures = false, always_log_successes = false;  // not only changes and first results
};

struct OutlierDetection {
  // Envoy 1.40's defaults
  milliseconds interval{10'000};
  milliseconds base_ejection_time{30'000};
  milliseconds max_ejection_time{300'000};  // never below base_ejection_time where it is not given
  milliseconds max_ejection_time_jitter{0};
  uint32_t max_ejection_percent = 10;
  bool always_eject_one_host = false;
  bool split_local_origin = false;
  bool uneject_on_check = true;
  uint32_t consecutive_5xx = 5, consecutive_gateway = 5, consecutive_local = 5;
  uint32_t enforcing_5xx = 100, enforcing_gateway = 0, enforcing_local = 100;
  uint32_t enforcing_success_rate = 100, enforcing_local_success_rate = 100;
  uint32_t success_rate_minimum_hosts = 5, success_rate_request_volume = 100, success_rate_stdev_factor = 1900;
  uint32_t enforcing_failure_percentage = 0, enforcing_local_failure_percentage = 0;
  uint32_t failure_percentage_threshold = 85, failure_percentage_minimum_hosts = 5, failure_percentage_request_volume = 50;
};

// Null where the cluster has none, or it is wrong: then the errors are added.
std::shared_ptr<const HealthCheck> parse_health_check(const envoy::config::cluster::v3::Cluster& proto, ErrorList& errors);
std::shared_ptr<const OutlierDetection> parse_outlier_detection(const envoy::config::cluster::v3::Cluster& proto, ErrorList& errors);
// With what the runtime's keys outlier_detection.* say instead; both may be null.
std::shared_ptr<const OutlierDetection> with_runtime(const std::shared_ptr<const OutlierDetection>& detection, const matching::Runtime* runtime);

}  // namespace fairlead::config
