// Thresholds and intervals as Envoy 1.40's HealthCheckerImplBase has them; see check_state.h.
#include "dataplane/upstream/health/check_state.h"

#include <algorithm>

#include "dataplane/upstream/pool/host_health.h"

namespace fairlead::upstream {

using std::chrono::milliseconds;

Transition CheckState::success(uint32_t& flags, bool degraded) {
  failures_ = 0;
  Transition out = Transition::Unchanged;
  if ((flags & kFailedCheck) != 0) {
    if (first_ || ++successes_ == healthy_threshold_) {  // Envoy 1.40: the first result counts at once
      flags &= ~kFailedCheck;
      out = Transition::Changed;
    } else {
      out = Transition::Pending;
    }
  }
  if ((flags & kPendingCheck) != 0) out = Transition::Changed;
  flags &= ~(kPendingCheck | kCheckTimedOut | kExcludedByAnswer);
  if (degraded != ((flags & kDegradedCheck) != 0)) {
    flags ^= kDegradedCheck;
    if (out == Transition::Unchanged) out = Transition::Changed;
  }
  first_ = false;
  return out;
}

Transition CheckState::failure(uint32_t& flags, CheckFailure why) {
  successes_ = 0;
  Transition out = Transition::Unchanged;
  if ((flags & kFailedCheck) == 0) {
    const bool at_once = why == CheckFailure::Answer || why == CheckFailure::Passive;
    if (at_once || ++failures_ == unhealthy_threshold_) {
      flags |= kFailedCheck;
      out = Transition::Changed;
    } else {
      out = Transition::Pending;
    }
  }
  if ((flags & kPendingCheck) != 0) out = Transition::Changed;
  flags &= ~(kPendingCheck | kCheckTimedOut);
  if (why == CheckFailure::Timeout) flags |= kCheckTimedOut;
  first_ = false;
  return out;
}

milliseconds next_check(const config::HealthCheck& check, bool healthy, Transition transition, bool traffic, Random& random) {
  milliseconds base;
  if (!traffic) {
    base = healthy ? check.no_traffic_healthy_interval : check.no_traffic_interval;
  } else if (transition == Transition::Pending) {
    base = healthy ? check.healthy_edge_interval : check.unhealthy_edge_interval;
  } else {
    base = healthy ? check.interval : check.unhealthy_interval;
  }
  milliseconds wait = base;
  if (check.interval_jitter.count() > 0) wait += milliseconds(random.below(static_cast<uint64_t>(check.interval_jitter.count())));
  const auto share = static_cast<uint64_t>(base.count()) * check.interval_jitter_percent / 100;
  if (share > 0) wait += milliseconds(random.below(share));
  return std::max(wait, milliseconds(1));
}

milliseconds first_check(const config::HealthCheck& check, Random& random) {
  return milliseconds(check.initial_jitter.count() > 0 ? random.below(static_cast<uint64_t>(check.initial_jitter.count())) : 0);
}

}  // namespace fairlead::upstream
