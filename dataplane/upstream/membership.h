// What the main thread tells of the hosts of clusters, whether or not any worker has had a request for them: how many there are and how
// healthy (the gauges membership_*), and the rows of /clusters. Main thread; nothing here keeps state.
#pragma once

#include <string>
#include <vector>

#include "dataplane/config/snapshot.h"
#include "dataplane/upstream/pool/host.h"

namespace fairlead::upstream {

// One row per host; rows of several workers with equal address and priority add up.
struct HostStatus {
  std::string address, hostname;
  uint32_t weight = 1, priority = 0;
  Health health = Health::kHealthy;  // the control plane's word
  uint32_t health_flags = 0;         // HealthFlag
  double success_rate = -1, local_success_rate = -1;
  std::string region, zone, sub_zone;
  HostCounters counters;
  uint64_t rq_active = 0;
};

// The hosts that a snapshot names, without what workers count. Those that requests name (ORIGINAL_DST) only workers know.
std::vector<HostStatus> named_hosts(const config::ClusterEntry& cluster, SharedClusters& shared);

// Sets membership_* and max_host_weight of `now`, and counts a membership_change if hosts have come or gone since `before`, the entry of the same
// name in the snapshot before; without a configuration where there was none.
void tell_membership(const config::ClusterEntry& before, const config::ClusterEntry& now, SharedClusters& shared, const stats::Block<stats::ClusterStat>& stats, stats::Cells& cells);

// The sizes of hash tables under their names in `cluster`'s scope.
void tell_tables(SharedCluster& cluster, const HashTables& tables, stats::Cells& cells);

}  // namespace fairlead::upstream
