// Slow start: a host that has just become healthy gets part of its weight, growing over a window. Pure; the time is told.
//   weight · max(min_weight, (t / window)^(1 / aggression))
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <vector>

#include "dataplane/upstream/lb/host.h"

namespace fairlead::upstream {

struct SlowStart {
  std::chrono::milliseconds window{0};  // 0: off
  double aggression = 1.0;              // Envoy 1.40: 1.0, SlowStartConfig.aggression; more: faster at first
  double min_weight = 0.1;              // Envoy 1.40: 10 %, SlowStartConfig.min_weight_percent

  bool on() const { return window.count() > 0; }

  bool covers(const LbHost& host, MonotonicTime now) const {
    return on() && host.health == Health::kHealthy && host.healthy_since != MonotonicTime{} && elapsed(host, now) < window;
  }

  // What of its weight the host gets, in (0, 1].
  double factor(const LbHost& host, MonotonicTime now) const {
    if (!covers(host, now)) return 1.0;
    const double time = static_cast<double>(std::max<int64_t>(1, elapsed(host, now).count())) / static_cast<double>(window.count());
    return std::max(aggression == 1.0 ? time : std::pow(time, 1.0 / aggression), min_weight);
  }

  // When the last host that is in slow start now will have left it; the epoch when there is none.
  MonotonicTime end(const std::vector<LbHost*>& hosts, MonotonicTime now) const {
    MonotonicTime last{};
    for (const LbHost* host : hosts) {
      if (covers(*host, now)) last = std::max(last, host->healthy_since + window);
    }
    return last;
  }

 private:
  static std::chrono::milliseconds elapsed(const LbHost& host, MonotonicTime now) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - host.healthy_since);
  }
};

}  // namespace fairlead::upstream
