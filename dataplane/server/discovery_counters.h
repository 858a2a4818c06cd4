// What the main thread counts per cluster: updates by discovery, and its membership.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/config/snapshot.h"
#include "dataplane/stats/names.h"
#include "dataplane/upstream/pool/shared_cluster.h"

namespace fairlead::server {

class DiscoveryCounters {
 public:
  DiscoveryCounters(stats::Registry& registry, upstream::SharedClusters& shared) : registry_(registry), shared_(shared) {}

  // Each new snapshot: which clusters there are, of which services, and with which hosts.
  void apply(const config::Snapshot& snapshot);
  // Checks or outlier detection have changed the flags of hosts of `cluster`.
  void health_changed(const config::ClusterConfig& cluster);
  // An endpoint response for that service was applied or refused.
  void endpoints_updated(std::string_view service, bool accepted);

 private:
  struct Entry {
    stats::ScopePtr scope;
    stats::Block<stats::ClusterStat> stats;
    config::ClusterEntry told;  // as last seen
    std::string service;        // EDS only
  };
  void set(const std::string& name, const config::ClusterEntry& cluster);
  void drop(std::string_view name);
  void follow_service(Entry& entry, std::string_view service);

  stats::Registry& registry_;
  upstream::SharedClusters& shared_;
  std::map<std::string, Entry, std::less<>> clusters_;
  std::multimap<std::string, Entry*, std::less<>> by_service_;
};

}  // namespace fairlead::server
