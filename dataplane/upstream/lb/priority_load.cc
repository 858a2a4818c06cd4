// Shares per priority; see priority_load.h.
#include "dataplane/upstream/lb/priority_load.h"

#include <algorithm>

namespace fairlead::upstream {
namespace {

uint32_t availability(uint64_t available, uint64_t all, uint32_t overprovisioning) {
  return all == 0 ? 0 : static_cast<uint32_t>(std::min<uint64_t>(100, overprovisioning * available / all));
}

// Takes from `left` what this priority can carry, scaled so that all priorities together carry 100.
uint32_t take(uint32_t health, uint32_t total, uint32_t& left) {
  const uint32_t load = total == 0 ? 0 : std::min(left, health * 100 / total);
  left -= load;
  return load;
}

// With every priority in panic the load follows the number of hosts, so that a priority without hosts gets nothing.
void share_by_number(std::span<const PriorityHealth> priorities, std::vector<PriorityLoad::Share>& shares) {
  uint64_t hosts = 0;
  for (const PriorityHealth& p : priorities) hosts += p.hosts + p.excluded;
  if (hosts == 0) {
    shares[0].healthy = 100;
    return;
  }
  uint32_t rest = 100;
  size_t first = priorities.size();
  for (size_t i = 0; i < priorities.size(); ++i) {
    const uint64_t own = priorities[i].hosts + priorities[i].excluded;
    shares[i].healthy = static_cast<uint32_t>(100 * own / hosts);
    shares[i].degraded = 0;
    rest -= shares[i].healthy;
    if (first == priorities.size() && own != 0) first = i;
  }
  shares[first].healthy += rest;
}

}  // namespace

uint32_t PriorityLoad::total(std::span<const Available> available) {
  uint32_t sum = 0;
  for (const Available& a : available) sum += a.healthy + a.degraded;
  return std::min(100u, sum);
}

void PriorityLoad::distribute(std::span<const Available> available) {
  const uint32_t whole = total(available);
  uint32_t left = 100;
  for (size_t i = 0; i < shares_.size(); ++i) shares_[i].healthy = take(available[i].healthy, whole, left);
  for (size_t i = 0; i < shares_.size(); ++i) shares_[i].degraded = take(available[i].degraded, whole, left);
  if (left == 0 || whole == 0) return;
  // Integer division leaves a rest: Envoy gives it to the first priority with any healthy capacity, else with any degraded one.
  for (size_t i = 0; i < shares_.size(); ++i) {
    if (available[i].healthy == 0) continue;
    shares_[i].healthy += left;
    return;
  }
  for (size_t i = 0; i < shares_.size(); ++i) {
    if (available[i].degraded == 0) continue;
    shares_[i].degraded += left;
    return;
  }
}

PriorityLoad PriorityLoad::compute(std::span<const PriorityHealth> priorities, uint32_t overprovisioning_percent, uint32_t panic_percent) {
  PriorityLoad out;
  out.shares_.resize(priorities.size());
  out.available_.resize(priorities.size());
  for (size_t i = 0; i < priorities.size(); ++i) {
    const PriorityHealth& p = priorities[i];
    const bool by_weight = p.weight != 0;
    out.available_[i].healthy = availability(by_weight ? p.healthy_weight : p.healthy, by_weight ? p.weight : p.hosts, overprovisioning_percent);
    out.available_[i].degraded = availability(by_weight ? p.degraded_weight : p.degraded, by_weight ? p.weight : p.hosts, overprovisioning_percent);
  }
  out.distribute(out.available_);
  // Panic is considered only when the cluster as a whole lacks capacity.
  const uint32_t whole = total(out.available_);
  bool all_panic = !priorities.empty();
  for (size_t i = 0; i < priorities.size(); ++i) {
    const PriorityHealth& p = priorities[i];
    out.shares_[i].panic = whole < 100 && panic_percent != 0 && (p.hosts == 0 || uint64_t{100} * (p.healthy + p.degraded) < uint64_t{panic_percent} * p.hosts);
    all_panic = all_panic && out.shares_[i].panic;
  }
  if (all_panic) {
    share_by_number(priorities, out.shares_);
  } else if (whole == 0 && !priorities.empty()) {
    out.shares_[0].healthy = 100;
  }
  return out;
}

PriorityLoad PriorityLoad::without(std::vector<bool>& tried) const {
  PriorityLoad out = *this;
  tried.resize(shares_.size());
  std::vector<Available> left = available_;
  for (size_t i = 0; i < left.size(); ++i) {
    if (tried[i]) left[i] = {};
  }
  if (total(left) == 0) {
    tried.assign(tried.size(), false);
    return out;
  }
  out.distribute(left);
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
