// What the main thread counts per cluster: updates by discovery. (Membership and its changes are the workers' to tell.)
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/config/snapshot.h"
#include "dataplane/stats/names.h"

namespace fairlead::server {

class DiscoveryCounters {
 public:
  explicit DiscoveryCounters(stats::Registry& registry) : registry_(registry) {}

  // A new snapshot: which clusters there are, and of which services.
  void apply(const config::Snapshot& snapshot);
  // An endpoint response for that service was applied or refused.
  void endpoints_updated(std::string_view service, bool accepted);

 private:
  struct Entry {
    stats::ScopePtr scope;
    stats::Block<stats::ClusterStat> stats;
    std::string service;  // EDS only
  };

  stats::Registry& registry_;
  std::map<std::string, Entry, std::less<>> clusters_;
  std::multimap<std::string, Entry*, std::less<>> by_service_;
};

}  // namespace fairlead::server
