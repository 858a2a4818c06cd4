// See membership.h.
#include "dataplane/upstream/membership.h"

#include <algorithm>
#include <set>
#include <utility>

#include "dataplane/upstream/balancing.h"

namespace fairlead::upstream {
namespace {

using stats::ClusterStat;

// Where checks and outlier detection keep what they know; null: there are none.
std::shared_ptr<SharedCluster> watched(const config::ClusterEntry& cluster, SharedClusters& shared) {
  return cluster.config->health_check || cluster.config->outlier ? shared.get(cluster.config) : nullptr;
}

std::shared_ptr<HostHealth> health_of_host(const std::shared_ptr<SharedCluster>& watched, const FlatEndpoint& host) {
  if (watched == nullptr || watched->health == nullptr) return nullptr;
  return watched->health->host(host.name, !(host.endpoint->check && host.endpoint->check->disabled));
}

std::set<std::pair<std::string, uint32_t>> keys(const FlatEndpoints& flat) {
  std::set<std::pair<std::string, uint32_t>> out;
  for (const FlatEndpoint& host : flat.hosts) out.emplace(host.name, host.priority);
  return out;
}

}  // namespace

std::vector<HostStatus> named_hosts(const config::ClusterEntry& cluster, SharedClusters& shared) {
  std::vector<HostStatus> out;
  const auto known = watched(cluster, shared);
  const FlatEndpoints flat = flatten(*cluster.config, cluster.endpoints.get(), shared.local_zone());
  for (const FlatEndpoint& host : flat.hosts) {
    const config::Locality& place = *flat.localities[host.locality];
    HostStatus& status = out.emplace_back();
    status.address = host.name;
    status.hostname = host.endpoint->hostname;
    status.weight = std::max(1u, host.endpoint->weight);
    status.priority = host.priority;
    status.health = health_of(*host.endpoint);
    status.region = place.region;
    status.zone = place.zone;
    status.sub_zone = place.sub_zone;
    if (const auto health = health_of_host(known, host)) {
      status.health_flags = health->flags.load(std::memory_order_relaxed);
      status.success_rate = health->success_rate.load(std::memory_order_relaxed);
      status.local_success_rate = health->local_success_rate.load(std::memory_order_relaxed);
    }
  }
  return out;
}

void tell_membership(const config::ClusterEntry& before, const config::ClusterEntry& now, SharedClusters& shared, const stats::Block<ClusterStat>& stats, stats::Cells& cells) {
  if (now.config->original_dst) return;  // each worker counts its own
  const auto known = watched(now, shared);
  const FlatEndpoints flat = flatten(*now.config, now.endpoints.get(), shared.local_zone());
  uint64_t healthy = 0, degraded = 0, excluded = 0, heaviest = 0;
  for (const FlatEndpoint& host : flat.hosts) {
    const auto state = health_of_host(known, host);
    const uint32_t flags = state != nullptr ? state->flags.load(std::memory_order_relaxed) : 0;
    const Health health = health_in(health_of(*host.endpoint), flags);
    healthy += health == Health::kHealthy;
    degraded += health == Health::kDegraded;
    excluded += (flags & (kPendingCheck | kExcludedByAnswer)) != 0;
    heaviest = std::max<uint64_t>(heaviest, host.endpoint->weight);
  }
  cells.set(stats, ClusterStat::membership_total, flat.hosts.size());
  cells.set(stats, ClusterStat::membership_healthy, healthy);
  cells.set(stats, ClusterStat::membership_degraded, degraded);
  cells.set(stats, ClusterStat::membership_excluded, excluded);
  // Envoy 1.40: known only to clusters whose hosts change
  const auto discovery = now.config->discovery;
  const bool dynamic = discovery == config::ClusterConfig::Discovery::Eds || discovery == config::ClusterConfig::Discovery::StrictDns;
  if (dynamic) cells.set(stats, ClusterStat::max_host_weight, heaviest);
  // A cluster that has changed begins without hosts.
  const bool same = before.config == now.config;
  const bool changed = !same ? !flat.hosts.empty() : before.endpoints != now.endpoints && keys(flat) != keys(flatten(*now.config, before.endpoints.get(), shared.local_zone()));
  if (changed) cells.add(stats, ClusterStat::membership_change);
}

// As Envoy's: the last priority's stand.
void tell_tables(SharedCluster& cluster, const HashTables& tables, stats::Cells& cells) {
  if (tables.priorities() == 0) return;
  const HashTable::Size& size = tables.table(static_cast<uint32_t>(tables.priorities() - 1)).size();
  const auto set = [&](std::string_view leaf, uint64_t value) { cells.set(cluster.scope->gauge(leaf), value); };
  if (cluster.config->lb.policy == config::LoadBalancing::Policy::Maglev) {
    set("maglev_lb.min_entries_per_host", size.fewest_per_host);
    set("maglev_lb.max_entries_per_host", size.most_per_host);
  } else {
    set("ring_hash_lb.size", size.entries);
    set("ring_hash_lb.min_hashes_per_host", size.fewest_per_host);
    set("ring_hash_lb.max_hashes_per_host", size.most_per_host);
  }
}

}  // namespace fairlead::upstream
