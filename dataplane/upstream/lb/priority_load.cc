// Shares per priority; see priority_load.h.
#include "dataplane/upstream/lb/priority_load.h"

#include <algorithm>

namespace fairlead::upstream {
namespace {

uint32_t availability(uint32_t available, uint32_t hosts, uint32_t overprovisioning) {
  return hosts == 0 ? 0 : std::min<uint64_t>(100, uint64_t{overprovisioning} * available / hosts);
}

// Takes from `left` what this priority can carry, scaled so that all priorities together carry 100.
uint32_t take(uint32_t health, uint32_t total, uint32_t& left) {
  const uint32_t load = total == 0 ? 0 : std::min(left, health * 100 / total);
  left -= load;
  return load;
}

}  // namespace

PriorityLoad PriorityLoad::compute(std::span<const PriorityHealth> priorities, uint32_t overprovisioning_percent, uint32_t panic_percent) {
  PriorityLoad out;
  out.shares_.resize(priorities.size());
  std::vector<uint32_t> healthy(priorities.size()), degraded(priorities.size());
  uint32_t sum = 0;
  for (size_t i = 0; i < priorities.size(); ++i) {
    healthy[i] = availability(priorities[i].healthy, priorities[i].hosts, overprovisioning_percent);
    degraded[i] = availability(priorities[i].degraded, priorities[i].hosts, overprovisioning_percent);
    sum += healthy[i] + degraded[i];
  }
  const uint32_t total = std::min(100u, sum);
  uint32_t left = 100;
  for (size_t i = 0; i < priorities.size(); ++i) out.shares_[i].healthy = take(healthy[i], total, left);
  for (size_t i = 0; i < priorities.size(); ++i) out.shares_[i].degraded = take(degraded[i], total, left);
  // Integer division leaves a rest: Envoy gives it to the first priority with any healthy capacity, else with any degraded one.
  if (left != 0 && total != 0) {
    for (size_t i = 0; i < priorities.size() && left != 0; ++i) {
      if (healthy[i] != 0) { out.shares_[i].healthy += left; left = 0; }
    }
    for (size_t i = 0; i < priorities.size() && left != 0; ++i) {
      if (degraded[i] != 0) { out.shares_[i].degraded += left; left = 0; }
    }
  }
  // Panic is considered only when the cluster as a whole lacks capacity.
  bool all_panic = !priorities.empty();
  uint32_t hosts = 0;
  for (size_t i = 0; i < priorities.size(); ++i) {
    const PriorityHealth& p = priorities[i];
    hosts += p.hosts;
    out.shares_[i].panic = total < 100 && panic_percent != 0 && (p.hosts == 0 || uint64_t{100} * (p.healthy + p.degraded) < uint64_t{panic_percent} * p.hosts);
    all_panic = all_panic && out.shares_[i].panic;
  }
  // With every priority in panic the load follows the number of hosts, so that a priority without hosts gets nothing.
  if (all_panic && hosts != 0) {
    uint32_t rest = 100;
    size_t first = priorities.size();
    for (size_t i = 0; i < priorities.size(); ++i) {
      out.shares_[i].healthy = uint64_t{100} * priorities[i].hosts / hosts;
      out.shares_[i].degraded = 0;
      rest -= out.shares_[i].healthy;
      if (first == priorities.size() && priorities[i].hosts != 0) first = i;
    }
    out.shares_[first].healthy += rest;
  } else if (total == 0 && !priorities.empty()) {
    out.shares_[0].healthy = 100;
  }
  return out;
}

PriorityLoad::Choice PriorityLoad::pick(uint64_t random) const {
  if (shares_.size() == 1 && shares_[0].healthy == 100) return {0, false, shares_[0].panic};
  const uint32_t point = random % 100 + 1;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < shares_.size(); ++i) {
    sum += shares_[i].healthy;
    if (point <= sum) return {i, false, shares_[i].panic};
  }
  for (uint32_t i = 0; i < shares_.size(); ++i) {
    sum += shares_[i].degraded;
    if (point <= sum) return {i, true, shares_[i].panic};
  }
  return {};
}

}  // namespace fairlead::upstream
