// The cluster statistics that follow from configuration rather than from requests: membership and updates by discovery. Main thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/config/snapshot.h"
#include "dataplane/stats/names.h"

namespace fairlead::server {

class ClusterGauges {
 public:
  explicit ClusterGauges(stats::Registry& registry) : registry_(registry) {}

  // A new snapshot: membership of every cluster whose endpoints changed.
  void apply(const config::Snapshot& snapshot);
  // An endpoint response for that service was applied or refused.
  void endpoints_updated(std::string_view service, bool accepted);

 private:
  struct Entry {
    stats::ScopePtr scope;
    stats::Block<stats::ClusterStat> stats;
    std::shared_ptr<const config::EndpointSet> endpoints;
    std::string service;  // EDS only
  };
  void count(Entry& entry, const std::shared_ptr<const config::EndpointSet>& endpoints);

  stats::Registry& registry_;
  std::map<std::string, Entry, std::less<>> clusters_;
  std::multimap<std::string, Entry*, std::less<>> by_service_;
};

}  // namespace fairlead::server
