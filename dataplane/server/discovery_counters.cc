// Counters of cluster updates, gauges of membership.
#include "dataplane/server/discovery_counters.h"

#include <vector>

#include "dataplane/upstream/membership.h"

namespace fairlead::server {

using stats::ClusterStat;

void DiscoveryCounters::apply(const config::Snapshot& snapshot) {
  if (snapshot.changed_clusters.has_value()) {
    for (const std::string& name : *snapshot.changed_clusters) {
      const config::ClusterEntry* cluster = snapshot.cluster(name);
      cluster != nullptr ? set(name, *cluster) : drop(name);
    }
    return;
  }
  std::vector<std::string> gone;
  for (const auto& [name, entry] : clusters_)
    if (!snapshot.clusters.contains(name)) gone.push_back(name);
  for (const std::string& name : gone) drop(name);
  for (const auto& [name, cluster] : snapshot.clusters) set(name, cluster);
}

void DiscoveryCounters::set(const std::string& name, const config::ClusterEntry& cluster) {
  Entry& entry = clusters_[name];
  if (entry.told.config == cluster.config && entry.told.endpoints == cluster.endpoints) return;
  if (entry.told.config != cluster.config) {
    entry.scope = registry_.scope(stats::cluster_scope(cluster.config->stat_name()));
    entry.stats = entry.scope->block<ClusterStat>(stats::kClusterStats);
    follow_service(entry, cluster.config->discovery == config::ClusterConfig::Discovery::Eds ? cluster.config->eds_service_name : std::string_view());
  }
  upstream::tell_membership(entry.told, cluster, shared_, entry.stats, registry_.cells(0));
  entry.told = cluster;
}

void DiscoveryCounters::drop(std::string_view name) {
  const auto it = clusters_.find(name);
  if (it == clusters_.end()) return;
  follow_service(it->second, {});
  clusters_.erase(it);
}

void DiscoveryCounters::follow_service(Entry& entry, std::string_view service) {
  if (service == entry.service) return;
  const auto [begin, end] = by_service_.equal_range(entry.service);
  for (auto it = begin; it != end; ++it) {
    if (it->second != &entry) continue;
    by_service_.erase(it);
    break;
  }
  entry.service = service;
  if (!service.empty()) by_service_.emplace(entry.service, &entry);
}

void DiscoveryCounters::health_changed(const config::ClusterConfig& cluster) {
  const auto it = clusters_.find(cluster.name);
  if (it == clusters_.end() || it->second.told.config.get() != &cluster) return;  // warming, or gone
  upstream::tell_membership(it->second.told, it->second.told, shared_, it->second.stats, registry_.cells(0));
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
