// Counters of cluster updates, gauges of membership.
#include "dataplane/server/discovery_counters.h"

#include <chrono>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "dataplane/upstream/membership.h"

namespace fairlead::server {

using stats::ClusterStat;

enum class EdsStat : uint32_t { update_rejected, update_time, first_histogram };

namespace {

constexpr stats::StatDef kEdsDefs[] = {{"update_rejected", stats::Kind::counter}, {"update_time", stats::Kind::gauge}};
constexpr stats::StatSet kEdsStats = {kEdsDefs, static_cast<uint32_t>(EdsStat::first_histogram)};

uint64_t wall_milliseconds() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

}  // namespace

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
    const bool eds = cluster.config->discovery == config::ClusterConfig::Discovery::Eds;
    if (eds) entry.eds = entry.scope->block<EdsStat>(kEdsStats);
    const bool asks = eds && cluster.config->eds_source && cluster.config->eds_source->kind != config::ConfigSource::Kind::Path;
    follow_service(entry, eds ? cluster.config->eds_service_name : std::string_view(), asks);
  }
  upstream::tell_membership(entry.told, cluster, shared_, entry.stats, registry_.cells(0));
  entry.told = cluster;
}

void DiscoveryCounters::drop(std::string_view name) {
  const auto it = clusters_.find(name);
  if (it == clusters_.end()) return;
  follow_service(it->second, {}, false);
  clusters_.erase(it);
}

void DiscoveryCounters::follow_service(Entry& entry, std::string_view service, bool asks) {
  if (service == entry.service) return;
  const auto [begin, end] = by_service_.equal_range(entry.service);
  for (auto it = begin; it != end; ++it) {
    if (it->second != &entry) continue;
    by_service_.erase(it);
    break;
  }
  entry.service = service;
  if (service.empty()) return;
  by_service_.emplace(entry.service, &entry);
  if (asks) registry_.cells(0).add(entry.stats, ClusterStat::update_attempt);  // Envoy 1.40: the first request is one, the reading of a file is not
  if (const auto early = early_.find(entry.service); early != early_.end()) {
    count(entry, early->second);
    early_.erase(early);
  }
}

void DiscoveryCounters::health_changed(const config::ClusterConfig& cluster) {
  const auto it = clusters_.find(cluster.name);
  if (it == clusters_.end() || it->second.told.config.get() != &cluster) return;  // warming, or gone
  upstream::tell_membership(it->second.told, it->second.told, shared_, it->second.stats, registry_.cells(0));
}

void DiscoveryCounters::count(const Entry& entry, const Answers& answers) const {
  stats::Cells& cells = registry_.cells(0);
  cells.add(entry.stats, ClusterStat::update_attempt, answers.accepted + answers.refused);
  cells.add(entry.stats, ClusterStat::update_success, answers.accepted);
  cells.add(entry.eds, EdsStat::update_rejected, answers.refused);
  if (answers.accepted == 0) return;
  cells.set(entry.eds, EdsStat::update_time, answers.at);
  cells.set(entry.stats, ClusterStat::version, xx_hash64(answers.version));  // Envoy 1.40: xxHash64 of version_info
  entry.scope->set_text("version_text", answers.version);
}

void DiscoveryCounters::endpoints_updated(const xds::Update& update, const xds::Outcome& outcome) {
  const uint64_t now = wall_milliseconds();
  for (const auto& [service, version] : outcome.applied) {
    const Answers answers{.accepted = 1, .at = now, .version = update.version};
    const auto [begin, end] = by_service_.equal_range(service);
    for (auto it = begin; it != end; ++it) count(*it->second, answers);
    if (begin != end) continue;
    Answers& early = early_[service];
    const uint64_t before = early.accepted;
    early = answers;
    early.accepted += before;
  }
  if (outcome.status.ok()) return;
  // Envoy 1.40: a refusal is every subscription's of the type. One whose cluster still warms does not count it: a server may name any
  for (const auto& [service, entry] : by_service_) count(*entry, {.refused = 1});
}

void DiscoveryCounters::endpoints_failed() {
  for (const auto& [service, entry] : by_service_) {
    registry_.cells(0).add(entry->stats, ClusterStat::update_attempt);
    registry_.cells(0).add(entry->stats, ClusterStat::update_failure);
  }
}

void DiscoveryCounters::endpoints_dropped(const std::string& service) { early_.erase(service); }

}  // namespace fairlead::server
