// When the results of checks make a host healthy or unhealthy, and how long to wait for the next check. Pure: no clock, no sockets.
#pragma once

#include <chrono>
#include <cstdint>

#include "dataplane/config/health.h"
#include "dataplane/upstream/lb/random.h"

namespace fairlead::upstream {

// Pending: the result is another than the host's state, and not often enough yet.
enum class Transition : uint8_t { Unchanged, Pending, Changed };

enum class CheckFailure : uint8_t {
  Answer,     // an answer that says so, or one that is not expected
  Retriable,  // a status of retriable_statuses
  Network,    // no connection, or none that lasted
  Timeout,
  Passive,    // x-envoy-immediate-health-check-fail in the answer to a request
};

class CheckState {
 public:
  CheckState(uint32_t healthy_threshold, uint32_t unhealthy_threshold) : healthy_threshold_(healthy_threshold), unhealthy_threshold_(unhealthy_threshold) {}

  // `flags`: the host's HealthFlags, brought up to date.
  Transition success(uint32_t& flags, bool degraded);
  Transition failure(uint32_t& flags, CheckFailure why);
  bool first() const { return first_; }  // no result yet

 private:
  const uint32_t healthy_threshold_, unhealthy_threshold_;
  uint32_t successes_ = 0, failures_ = 0;  // in a row, against the host's state
  bool first_ = true;
};

// `healthy`: the last result; `traffic`: whether the cluster has ever had a connection. At least 1 ms.
std::chrono::milliseconds next_check(const config::HealthCheck& check, bool healthy, Transition transition, bool traffic, Random& random);
std::chrono::milliseconds first_check(const config::HealthCheck& check, Random& random);

}  // namespace fairlead::upstream
