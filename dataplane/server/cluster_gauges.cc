// Membership and update counters of clusters.
#include "dataplane/server/cluster_gauges.h"

#include <algorithm>

namespace fairlead::server {

using stats::ClusterStat;

void ClusterGauges::apply(const config::Snapshot& snapshot) {
  for (auto it = clusters_.begin(); it != clusters_.end();) {
    if (snapshot.clusters.contains(it->first)) {
      ++it;
      continue;
    }
    std::erase_if(by_service_, [&](const auto& s) { return s.second == &it->second; });
    it = clusters_.erase(it);
  }
  for (const auto& [name, cluster] : snapshot.clusters) {
    Entry& entry = clusters_[name];
    if (entry.scope == nullptr) {
      entry.scope = registry_.scope(stats::cluster_scope(cluster.config->stat_name()));
      entry.stats = entry.scope->block<ClusterStat>(stats::kClusterStats);
    }
    const std::string service = cluster.config->discovery == config::ClusterConfig::Discovery::Eds ? cluster.config->eds_service_name : "";
    if (service != entry.service) {
      std::erase_if(by_service_, [&](const auto& s) { return s.second == &entry; });
      entry.service = service;
      if (!service.empty()) by_service_.emplace(service, &entry);
    }
    if (entry.endpoints != cluster.endpoints) count(entry, cluster.endpoints);
  }
}

void ClusterGauges::count(Entry& entry, const std::shared_ptr<const config::EndpointSet>& endpoints) {
  uint64_t total = 0, healthy = 0, degraded = 0, heaviest = 0;
  if (endpoints != nullptr)
    for (const auto& priority : endpoints->priorities)
      for (const config::Locality& locality : priority)
        for (const config::Endpoint& e : locality.endpoints) {
          ++total;
          degraded += e.health == config::HealthStatus::Degraded;
          healthy += e.usable() && e.health != config::HealthStatus::Degraded;
          heaviest = std::max<uint64_t>(heaviest, e.weight);
        }
  entry.endpoints = endpoints;
  stats::Cells& cells = registry_.cells(0);
  cells.set(entry.stats, ClusterStat::membership_total, total);
  cells.set(entry.stats, ClusterStat::membership_healthy, healthy);
  cells.set(entry.stats, ClusterStat::membership_degraded, degraded);
  cells.set(entry.stats, ClusterStat::max_host_weight, heaviest);
  cells.add(entry.stats, ClusterStat::membership_change);
}

void ClusterGauges::endpoints_updated(std::string_view service, bool accepted) {
  const auto [begin, end] = by_service_.equal_range(service);
  for (auto it = begin; it != end; ++it) {
    stats::Cells& cells = registry_.cells(0);
    cells.add(it->second->stats, ClusterStat::update_attempt);
    cells.add(it->second->stats, accepted ? ClusterStat::update_success : ClusterStat::update_failure);
  }
}

}  // namespace fairlead::server
