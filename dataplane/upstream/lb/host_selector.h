// Picks a host of a cluster: priority, then panic or not, then the policy over that list. Holds one policy per priority and health class.
// rebuild() after any change of hosts, weights or health; pick() is O(1) (O(log n) with unequal weights) and allocates nothing.
// Runs on one worker, owned by the worker's cluster; hosts outlive it or are dropped by rebuild().
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "dataplane/upstream/lb/policy.h"
#include "dataplane/upstream/lb/priority_load.h"

namespace fairlead::upstream {

using PolicyFactory = std::function<std::unique_ptr<Policy>(std::vector<LbHost*>, Random&)>;

class HostSelector {
 public:
  struct Options {
    uint32_t overprovisioning_percent = 140;  // Envoy 1.40: ClusterLoadAssignment.Policy.overprovisioning_factor
    uint32_t panic_percent = 50;              // Envoy 1.40: CommonLbConfig.healthy_panic_threshold
    bool fail_in_panic = false;               // Envoy 1.40: ZoneAwareLbConfig.fail_traffic_on_panic
    bool weighted_health = false;             // Envoy 1.40: ClusterLoadAssignment.Policy.weighted_priority_health: hosts count by weight
    std::vector<uint32_t> locality_weights = {};  // by LbHost::locality; empty: localities do not matter. A weight of 0 gets nothing
  };
  struct Picked {
    LbHost* host = nullptr;
    bool panic = false;
  };

  HostSelector(PolicyFactory factory, Random& random) : factory_(std::move(factory)), random_(random) {}

  void rebuild(const std::vector<LbHost*>& hosts, const Options& options);
  Picked pick(const PickContext& context);
  size_t hosts() const { return hosts_; }
  const PriorityLoad& load() const { return load_; }

 private:
  struct Tier {
    std::unique_ptr<Policy> all, healthy, degraded;
  };

  std::unique_ptr<Policy> make(std::vector<LbHost*> eligible, const std::vector<LbHost*>& all) const;

  PolicyFactory factory_;
  Random& random_;
  Options options_;
  std::vector<Tier> tiers_;
  PriorityLoad load_;
  size_t hosts_ = 0;
};

}  // namespace fairlead::upstream
