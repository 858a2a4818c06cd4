// Counters of cluster updates.
#include "dataplane/server/discovery_counters.h"

namespace fairlead::server {

using stats::ClusterStat;

void DiscoveryCounters::apply(const config::Snapshot& snapshot) {
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
  }
}

void DiscoveryCounters::endpoints_updated(std::string_view service, bool accepted) {
  const auto [begin, end] = by_service_.equal_range(service);
  for (auto it = begin; it != end; ++it) {
    stats::Cells& cells = registry_.cells(0);
    cells.add(it->second->stats, ClusterStat::update_attempt);
    cells.add(it->second->stats, accepted ? ClusterStat::update_success : ClusterStat::update_failure);
  }
}

}  // namespace fairlead::server
