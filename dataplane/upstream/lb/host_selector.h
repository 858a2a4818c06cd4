// Picks a host of a cluster: override host, priority, panic or not, locality, then the policy over that list; retry predicates last.
// Holds one policy per priority, health class and, where localities matter, locality; or the shared hash tables.
// rebuild() after any change of hosts, weights or health; pick() is O(1) (O(log n) with unequal weights) and allocates nothing.
// Runs on one worker, owned by the worker's cluster; hosts outlive it or are dropped by rebuild().
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/upstream/lb/bounded_load.h"
#include "dataplane/upstream/lb/hash_table.h"
#include "dataplane/upstream/lb/policy.h"
#include "dataplane/upstream/lb/priority_load.h"
#include "dataplane/upstream/lb/zone_routing.h"

namespace fairlead::upstream {

class HostSelector {
 public:
  struct Options {
    uint32_t overprovisioning_percent = 140;  // Envoy 1.40: ClusterLoadAssignment.Policy.overprovisioning_factor
    uint32_t panic_percent = 50;              // Envoy 1.40: CommonLbConfig.healthy_panic_threshold
    bool fail_in_panic = false;               // Envoy 1.40: ZoneAwareLbConfig.fail_traffic_on_panic; hash policies never do
    bool weighted_health = false;             // Envoy 1.40: ClusterLoadAssignment.Policy.weighted_priority_health: hosts count by weight
    std::vector<uint32_t> locality_weights = {};  // by LbHost::locality; empty: localities do not matter. A weight of 0 gets nothing
    // Envoy 1.40: UNKNOWN, HEALTHY and DEGRADED, CommonLbConfig.override_host_status
    HostStatusSet override_statuses = status_bit(HostStatusCode::kUnknown) | status_bit(HostStatusCode::kHealthy) | status_bit(HostStatusCode::kDegraded);
    std::optional<ZoneOptions> zone = {};     // zone-aware routing, given `local`
    LocalZones local = {};
    bool own_zone_first = false;              // the first locality of priority 0 is this proxy's own
    std::shared_ptr<const HashTables> tables = {};  // ring hash or Maglev, over the same list of hosts, instead of a policy
    std::shared_ptr<const uint32_t> total_active = {};  // for bounded load
    MonotonicTime now = {};
  };
  struct Picked {
    LbHost* host = nullptr;
    bool panic = false;
    bool local_cluster_not_ok = false;  // zone-aware routing was left aside: the local cluster is in panic
    std::optional<ZoneRouting::Outcome> zone = {};
  };

  HostSelector(const PolicyOptions& policy, Random& random) : policy_(policy), random_(random) {}

  void rebuild(const std::vector<LbHost*>& hosts, const Options& options);
  Picked pick(const PickContext& context);
  size_t hosts() const { return hosts_.size(); }
  const PriorityLoad& load() const { return options_.tables ? options_.tables->load() : load_; }
  const ZoneRouting& zones() const { return zones_; }
  const HashTables* tables() const { return options_.tables.get(); }

 private:
  using PolicyPtr = std::unique_ptr<Policy>;
  struct Tier {
    PolicyPtr all, healthy, degraded;
    bool healthy_by_locality = false, degraded_by_locality = false;
    std::vector<PolicyPtr> zone_healthy, zone_degraded;  // per locality of priority 0, with zone-aware routing
  };
  struct Lists;

  PolicyPtr make_by_locality(const std::vector<LbHost*>& eligible, const std::vector<LbHost*>& all) const;
  PolicyPtr make_plain(std::vector<LbHost*> eligible) const;
  void build_zones(const Lists& lists);
  LbHost* overridden(const PickContext& context);
  Picked pick_once(const PickContext& context);
  Picked pick_hashed(uint64_t hash, uint32_t attempt);

  PolicyOptions policy_;
  Random& random_;
  Options options_;
  std::vector<LbHost*> hosts_;
  std::vector<Tier> tiers_;
  PriorityLoad load_;
  ZoneRouting zones_;
  BoundedLoad bounded_;
  absl::flat_hash_map<std::string_view, LbHost*> by_name_;  // filled by the first pick with an override host
};

}  // namespace fairlead::upstream
