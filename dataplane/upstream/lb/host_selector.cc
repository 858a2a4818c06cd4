// Builds the policies per priority, health class and locality, and picks through them; see host_selector.h.
#include "dataplane/upstream/lb/host_selector.h"

#include <algorithm>
#include <map>

#include "dataplane/upstream/lb/edf_schedule.h"
#include "dataplane/upstream/lb/health_count.h"
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
  size_t size() const { return localities_.size(); }

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

}  // namespace

struct HostSelector::Lists {
  std::vector<LbHost*> all, healthy, degraded;  // excluded ones only in `all`
};

HostSelector::PolicyPtr HostSelector::make_plain(std::vector<LbHost*> eligible) const {
  return eligible.empty() ? nullptr : make_policy(policy_, std::move(eligible), random_, options_.now);
}

// Null without locality weights, and when no locality has one (Envoy 1.40: the hosts of all of them are then one list).
HostSelector::PolicyPtr HostSelector::make_by_locality(const std::vector<LbHost*>& eligible, const std::vector<LbHost*>& all) const {
  if (options_.locality_weights.empty()) return nullptr;
  std::map<uint32_t, std::vector<LbHost*>> places;
  std::map<uint32_t, uint32_t> totals;
  for (LbHost* host : eligible) places[host->locality].push_back(host);
  for (const LbHost* host : all) totals[host->locality] += host->excluded ? 0 : 1;
  auto by_locality = std::make_unique<ByLocality>();
  for (auto& [place, hosts] : places) {
    const double available = std::min(1.0, options_.overprovisioning_percent / 100.0 * static_cast<double>(hosts.size()) / totals[place]);
    const double weight = options_.locality_weights[place] * available;
    if (weight > 0) by_locality->add(make_plain(std::move(hosts)), weight);
  }
  if (by_locality->empty()) return nullptr;
  PickContext start;
  start.now = options_.now;
  for (uint64_t skip = random_.below(by_locality->size()); skip != 0; --skip) by_locality->pick(start);
  return by_locality;
}

void HostSelector::build_zones(const Lists& lists) {
  zones_ = {};
  if (!options_.zone || tiers_.empty()) return;
  // Localities of priority 0 in order, those without a healthy host included.
  std::map<uint32_t, Lists> places;
  for (LbHost* host : lists.all) {
    Lists& place = places[host->locality];
    if (host->excluded) continue;
    if (host->health == Health::kHealthy) place.healthy.push_back(host);
    if (host->health == Health::kDegraded) place.degraded.push_back(host);
  }
  UpstreamZones upstream;
  upstream.own_first = options_.own_zone_first;
  upstream.healthy_hosts = lists.healthy.size();
  for (const auto& [number, place] : places) {
    if (upstream.shares.empty() && upstream.own_first) upstream.own_healthy_hosts = place.healthy.size();
    uint64_t share = place.healthy.size();
    if (options_.zone->by_weight) {
      share = 0;
      for (const LbHost* host : place.healthy) share += host->weight;
    }
    upstream.shares.push_back(share);
  }
  LocalZones local = options_.local;
  local.shares.resize(upstream.shares.size());
  zones_ = ZoneRouting::compute(*options_.zone, local, upstream);
  if (zones_.mode() == ZoneRouting::Mode::Off) return;
  for (auto& [number, place] : places) {
    tiers_[0].zone_healthy.push_back(make_plain(std::move(place.healthy)));
    tiers_[0].zone_degraded.push_back(make_plain(std::move(place.degraded)));
  }
}

void HostSelector::rebuild(const std::vector<LbHost*>& hosts, const Options& options) {
  options_ = options;
  hosts_ = hosts;
  by_name_.clear();
  tiers_.clear();
  zones_ = {};
  if (options_.tables) {
    if (options_.tables->balance_percent() != 0) bounded_.reserve(hosts.size());
    return;
  }
  std::vector<Lists> lists(1);
  std::vector<PriorityHealth> health(1);
  for (LbHost* host : hosts) {
    if (host->priority >= lists.size()) {
      lists.resize(host->priority + 1);
      health.resize(host->priority + 1);
    }
    count_host(health[host->priority], host->health, host->excluded, host->weight, options.weighted_health);
    Lists& list = lists[host->priority];
    list.all.push_back(host);
    if (host->excluded) continue;
    if (host->health == Health::kHealthy) list.healthy.push_back(host);
    if (host->health == Health::kDegraded) list.degraded.push_back(host);
  }
  load_ = PriorityLoad::compute(health, options.overprovisioning_percent, options.panic_percent);
  tiers_.resize(lists.size());
  for (size_t i = 0; i < lists.size(); ++i) {
    if (load_.shares()[i].panic) {
      if (!options.fail_in_panic) tiers_[i].all = make_plain(std::move(lists[i].all));
      continue;
    }
    if (i == 0) build_zones(lists[0]);
    Tier& tier = tiers_[i];
    tier.healthy = make_by_locality(lists[i].healthy, lists[i].all);
    tier.degraded = make_by_locality(lists[i].degraded, lists[i].all);
    tier.healthy_by_locality = tier.healthy != nullptr;
    tier.degraded_by_locality = tier.degraded != nullptr;
    if (!tier.healthy) tier.healthy = make_plain(std::move(lists[i].healthy));
    if (!tier.degraded) tier.degraded = make_plain(std::move(lists[i].degraded));
  }
}

LbHost* HostSelector::overridden(const PickContext& context) {
  if (by_name_.empty()) {
    by_name_.reserve(hosts_.size());
    for (LbHost* host : hosts_) by_name_.emplace(host->name, host);
  }
  const auto it = by_name_.find(context.override_host);
  if (it == by_name_.end() || (options_.override_statuses & status_bit(it->second->status)) == 0) return nullptr;
  return it->second;
}

HostSelector::Picked HostSelector::pick_hashed(uint64_t hash, uint32_t attempt) {
  const HashTables& tables = *options_.tables;
  // The hash decides the priority too, so that a key keeps its host while shares stay.
  const PriorityLoad::Choice choice = tables.load().pick(hash);
  Picked picked{.panic = choice.panic};
  const HashTable& table = tables.table(choice.priority);
  if (tables.balance_percent() != 0) {
    picked.host = bounded_.pick(table, hosts_, hash, attempt, tables.balance_percent(), options_.total_active ? *options_.total_active : 0);
  } else if (const uint32_t at = table.pick(hash, attempt); at != HashTable::kNone) {
    picked.host = hosts_[at];
  }
  return picked;
}

HostSelector::Picked HostSelector::pick_once(const PickContext& context) {
  const PriorityLoad::Choice choice = (context.priorities != nullptr ? *context.priorities : load_).pick(random_.next());
  if (choice.priority >= tiers_.size()) return {};
  const Tier& tier = tiers_[choice.priority];
  Picked picked;
  picked.panic = load_.shares()[choice.priority].panic;
  Policy* policy = (picked.panic ? tier.all : choice.degraded ? tier.degraded : tier.healthy).get();
  const bool by_locality = choice.degraded ? tier.degraded_by_locality : tier.healthy_by_locality;
  if (!picked.panic && !by_locality && choice.priority == 0 && zones_.mode() != ZoneRouting::Mode::Off &&
      (options_.zone->routing_percent >= 100 || random_.below(100) < options_.zone->routing_percent)) {
    if (options_.local.panic) {
      picked.local_cluster_not_ok = true;
      if (options_.fail_in_panic) return picked;
    } else {
      ZoneRouting::Outcome outcome;
      const uint32_t place = zones_.pick(random_, outcome);
      picked.zone = outcome;
      policy = (choice.degraded ? tier.zone_degraded : tier.zone_healthy)[place].get();
    }
  }
  if (policy != nullptr) picked.host = policy->pick(context);
  return picked;
}

HostSelector::Picked HostSelector::pick(const PickContext& context) {
  if (hosts_.empty()) return {};
  if (!context.override_host.empty()) {
    if (LbHost* host = overridden(context)) return {.host = host};
    if (context.strict_override) return {};
  }
  uint64_t hash = 0;
  if (options_.tables) hash = context.hash ? *context.hash : random_.next();
  for (uint32_t attempt = 0;; ++attempt) {
    const Picked picked = options_.tables ? pick_hashed(hash, attempt) : pick_once(context);
    if (picked.host == nullptr || attempt >= context.selection_retries || !context.rejects(*picked.host)) return picked;
  }
}

}  // namespace fairlead::upstream
