// How requests are spread over priorities: each priority's health decides its share, the rest spills to the next; a priority that is too sick
// while the whole cluster lacks capacity is in panic, and then health is ignored. Pure integer arithmetic, Envoy's to the percent.
// Computed when hosts change; a pick is one scan over at most a handful of priorities.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fairlead::upstream {

struct PriorityHealth {
  uint32_t hosts = 0;     // without excluded ones
  uint32_t healthy = 0;
  uint32_t degraded = 0;
  // weighted_priority_health: shares by weight; panic goes by number all the same, as in Envoy. All zero: shares by number too.
  uint64_t weight = 0, healthy_weight = 0, degraded_weight = 0;
  uint32_t excluded = 0;
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

  // previous_priorities: the shares as if the priorities marked in `tried` had no capacity. When that leaves none, the shares themselves,
  // and `tried` starts over (false everywhere). Allocates: once per retry, not per pick. Panic stays as it is.
  PriorityLoad without(std::vector<bool>& tried) const;

  // Shares sum to 100 unless there is no priority at all.
  Choice pick(uint64_t random) const;
  const std::vector<Share>& shares() const { return shares_; }

 private:
  struct Available {
    uint32_t healthy = 0, degraded = 0;  // percent of what the priority could carry
  };
  static uint32_t total(std::span<const Available> available);
  void distribute(std::span<const Available> available);

  std::vector<Share> shares_;
  std::vector<Available> available_;
};

}  // namespace fairlead::upstream
