// Builds the policies per priority and health class; see host_selector.h.
#include "dataplane/upstream/lb/host_selector.h"

#include <algorithm>

#include "dataplane/upstream/lb/random.h"

namespace fairlead::upstream {

void HostSelector::rebuild(const std::vector<LbHost*>& hosts, const Options& options) {
  options_ = options;
  hosts_ = hosts.size();
  struct Lists {
    std::vector<LbHost*> all, healthy, degraded;
  };
  std::vector<Lists> lists(1);
  for (LbHost* host : hosts) {
    if (host->priority >= lists.size()) lists.resize(host->priority + 1);
    Lists& list = lists[host->priority];
    list.all.push_back(host);
    if (host->health == Health::kHealthy) list.healthy.push_back(host);
    if (host->health == Health::kDegraded) list.degraded.push_back(host);
  }
  std::vector<PriorityHealth> health;
  for (const Lists& list : lists) {
    health.push_back({static_cast<uint32_t>(list.all.size()), static_cast<uint32_t>(list.healthy.size()), static_cast<uint32_t>(list.degraded.size())});
  }
  load_ = PriorityLoad::compute(health, options.overprovisioning_percent, options.panic_percent);
  tiers_.clear();
  tiers_.resize(lists.size());
  for (size_t i = 0; i < lists.size(); ++i) {
    if (load_.shares()[i].panic && !options.fail_in_panic) {
      if (!lists[i].all.empty()) tiers_[i].all = factory_(std::move(lists[i].all), random_);
      continue;
    }
    if (!lists[i].healthy.empty()) tiers_[i].healthy = factory_(std::move(lists[i].healthy), random_);
    if (!lists[i].degraded.empty()) tiers_[i].degraded = factory_(std::move(lists[i].degraded), random_);
  }
}

HostSelector::Picked HostSelector::pick(const PickContext& context) {
  if (hosts_ == 0) return {};
  const PriorityLoad::Choice choice = load_.pick(context.hash ? *context.hash : random_.next());
  const Tier& tier = tiers_[choice.priority];
  if (choice.panic) {
    if (options_.fail_in_panic) return {nullptr, true};
    return {tier.all ? tier.all->pick(context) : nullptr, true};
  }
  const std::unique_ptr<Policy>& policy = choice.degraded ? tier.degraded : tier.healthy;
  return {policy ? policy->pick(context) : nullptr, false};
}

}  // namespace fairlead::upstream
