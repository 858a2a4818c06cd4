// Lines of the event logs of health checks and of outlier detection: JSON as Envoy 1.40 prints its messages HealthCheckEvent
// (envoy.data.core.v3) and OutlierDetectionEvent (envoy.data.cluster.v3), fields in the order of their numbers. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/config/endpoints.h"
#include "dataplane/config/health.h"
#include "dataplane/upstream/health/check_state.h"

namespace fairlead::upstream {

using WallTime = std::chrono::system_clock::time_point;

struct CheckEvent {
  enum class Kind : uint8_t { EjectUnhealthy, AddHealthy, Failure, Degraded, NoLongerDegraded, Success };
  Kind kind;
  bool first_check = false;                      // AddHealthy, Failure
  CheckFailure failure = CheckFailure::Answer;   // EjectUnhealthy, Failure
  uint32_t http_status = 0;                      // of the answer that failed the check
};
// `place`: the endpoint's locality, its endpoints aside.
std::string check_event_line(const CheckEvent& event, config::HealthCheck::Kind checker, std::string_view cluster, const config::Endpoint& endpoint, const config::Locality& place, WallTime now);

struct OutlierEvent {
  std::string_view type;              // "CONSECUTIVE_5XX"
  bool eject = true;                  // else: back
  bool enforced = false;
  uint32_t ejections = 0;             // of the host, so far
  std::optional<std::chrono::seconds> since_last;  // its last ejection or return
  // Of the types that rates decide.
  enum class Detail : uint8_t { Consecutive, SuccessRate, FailurePercentage } detail = Detail::Consecutive;
  double host_rate = 0, average_rate = 0, threshold = 0;
};
std::string outlier_event_line(const OutlierEvent& event, std::string_view cluster, std::string_view address, WallTime now);

}  // namespace fairlead::upstream
