// Builds the policies per priority and health class; see host_selector.h.
#include "dataplane/upstream/lb/host_selector.h"

#include <algorithm>
#include <map>

#include "dataplane/upstream/lb/edf_schedule.h"
#include "dataplane/upstream/lb/random.h"

namespace fairlead::upstream {
namespace {

// Localities in proportion to weight and to what of them is available; a policy of its own within each.
class ByLocality final : public Policy {
 public:
  void add(std::unique_ptr<Policy> policy, double weight) {
    schedule_.add(static_cast<uint32_t>(localities_.size()), weight);
    localities_.push_back({std::move(policy), weight});
  }
  bool empty() const { return localities_.empty(); }

  LbHost* pick(const PickContext& context) override {
    return localities_[schedule_.next([this](uint32_t i) { return localities_[i].weight; })].policy->pick(context);
  }

 private:
  struct Locality {
    std::unique_ptr<Policy> policy;
    double weight;
  };
  std::vector<Locality> localities_;
  EdfSchedule schedule_;
};

uint32_t size_of(const std::vector<LbHost*>& hosts, bool weighted) {
  if (!weighted) return static_cast<uint32_t>(hosts.size());
  uint64_t sum = 0;
  for (const LbHost* host : hosts) sum += host->weight;
  return static_cast<uint32_t>(std::min<uint64_t>(sum, UINT32_MAX));
}

}  // namespace

std::unique_ptr<Policy> HostSelector::make(std::vector<LbHost*> eligible, const std::vector<LbHost*>& all) const {
  if (eligible.empty()) return nullptr;
  if (!options_.locality_weights.empty()) {
    std::map<uint32_t, std::vector<LbHost*>> places;
    std::map<uint32_t, uint32_t> totals;
    for (LbHost* host : eligible) places[host->locality].push_back(host);
    for (const LbHost* host : all) ++totals[host->locality];
    auto by_locality = std::make_unique<ByLocality>();
    for (auto& [place, hosts] : places) {
      const double available = std::min(1.0, options_.overprovisioning_percent / 100.0 * hosts.size() / totals[place]);
      const double weight = options_.locality_weights[place] * available;
      if (weight > 0) by_locality->add(factory_(std::move(hosts), random_), weight);
    }
    return by_locality->empty() ? nullptr : std::move(by_locality);
  }
  return factory_(std::move(eligible), random_);
}

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
    const bool by_weight = options.weighted_health;
    health.push_back({size_of(list.all, by_weight), size_of(list.healthy, by_weight), size_of(list.degraded, by_weight)});
  }
  load_ = PriorityLoad::compute(health, options.overprovisioning_percent, options.panic_percent);
  tiers_.clear();
  tiers_.resize(lists.size());
  for (size_t i = 0; i < lists.size(); ++i) {
    if (load_.shares()[i].panic && !options.fail_in_panic) {
      if (!lists[i].all.empty()) tiers_[i].all = factory_(std::move(lists[i].all), random_);
      continue;
    }
    tiers_[i].healthy = make(std::move(lists[i].healthy), lists[i].all);
    tiers_[i].degraded = make(std::move(lists[i].degraded), lists[i].all);
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
