// How requests are spread over priorities: each priority's health decides its share, the rest spills to the next; a priority that is too sick
// while the whole cluster lacks capacity is in panic, and then health is ignored. Pure integer arithmetic, Envoy's to the percent.
// Computed when hosts change; a pick is one scan over at most a handful of priorities.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::upstream {

struct PriorityHealth {
  uint32_t hosts = 0;
  uint32_t healthy = 0;
  uint32_t degraded = 0;
};

class PriorityLoad {
 public:
  struct Share {
    uint32_t healthy = 0;   // percent of requests that go to this priority's healthy hosts
    uint32_t degraded = 0;  // and to its degraded ones
    bool panic = false;
  };
  struct Choice {
    uint32_t priority = 0;
    bool degraded = false;
    bool panic = false;
  };

  // overprovisioning_percent: 140 means that 72 % healthy hosts still count as full capacity. panic_percent: 0 disables panic.
  static PriorityLoad compute(std::span<const PriorityHealth> priorities, uint32_t overprovisioning_percent, uint32_t panic_percent);

  // Shares sum to 100 unless there is no priority at all.
  Choice pick(uint64_t random) const;
  const std::vector<Share>& shares() const { return shares_; }

 private:
  std::vector<Share> shares_;
};

}  // namespace fairlead::upstream
