// How much of each overload action is in force on a worker. Set by the overload manager between turns, read by connections and streams there.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "dataplane/config/overload.h"
#include "dataplane/stats/cells.h"
#include "dataplane/upstream/lb/random.h"

namespace fairlead::stream {

struct OverloadState {
  struct Shedding {
    double share = 0;
    stats::Counter count;
  };
  // Shares of those concerned: 0 none, 1 all.
  double stop_requests = 0, no_keepalive = 0, reject_connections = 0;
  double shorter_timeouts = 0;      // 0: as configured, 1: as short as they may become
  bool stop_connections = false;    // they wait in the kernel's queues
  double reset_streams = 0;         // 0 none; else the heavier of them, the more the closer to 1
  uint32_t smallest_account = 0;    // OverloadConfig's
  std::array<config::TimerScale, config::kScaledTimers> timers;
  std::array<Shedding, config::kShedPoints> shed;

  // Whether the lot falls on one of those concerned.
  static bool drawn(double share, upstream::Random& random) {
    return share > 0 && (share >= 1 || static_cast<double>(random.next() >> 11) * 0x1.0p-53 < share);
  }
  bool refuses_requests() const { return stop_requests > 0 || shed[static_cast<size_t>(config::ShedAt::RequestHeaders)].share > 0; }
  // Whether what comes there is turned away, by lot; counted.
  bool sheds(config::ShedAt at, upstream::Random& random, stats::Cells& cells) const {
    const Shedding& point = shed[static_cast<size_t>(at)];
    if (!drawn(point.share, random)) return false;
    cells.add(point.count);
    return true;
  }
  // `full`: as configured; 0 (none) stays.
  std::chrono::milliseconds scaled(config::ScaledTimer timer, std::chrono::milliseconds full) const {
    if (shorter_timeouts == 0) return full;
    const config::TimerScale& scale = timers[static_cast<size_t>(timer)];
    const std::chrono::milliseconds shortest = std::min(full, scale.min_timeout.value_or(std::chrono::milliseconds(static_cast<int64_t>(static_cast<double>(full.count()) * scale.min_scale))));
    return shortest + std::chrono::milliseconds(static_cast<int64_t>(static_cast<double>((full - shortest).count()) * (1 - shorter_timeouts)));
  }
};

}  // namespace fairlead::stream
