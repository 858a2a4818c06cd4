// What the main thread counts per cluster: updates by discovery, and its membership.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/config/snapshot.h"
#include "dataplane/stats/names.h"
#include "dataplane/upstream/pool/shared_cluster.h"
#include "dataplane/xds/ingest.h"

namespace fairlead::server {

enum class EdsStat : uint32_t;  // what only clusters of EDS have

class DiscoveryCounters {
 public:
  DiscoveryCounters(stats::Registry& registry, upstream::SharedClusters& shared) : registry_(registry), shared_(shared) {}

  // Each new snapshot: which clusters there are, of which services, and with which hosts.
  void apply(const config::Snapshot& snapshot);
  // Checks or outlier detection have changed the flags of hosts of `cluster`.
  void health_changed(const config::ClusterConfig& cluster);
  // One endpoint response: its clusters count it, those that still warm once they are served.
  void endpoints_updated(const xds::Update& update, const xds::Outcome& outcome);
  void endpoints_failed();                             // the source could not be read, or the stream broke
  void endpoints_dropped(const std::string& service);  // no cluster names it any more

 private:
  struct Answers {  // that a service had
    uint64_t accepted = 0;
    uint64_t refused = 0;
    uint64_t at = 0;      // of the last accepted one, ms since 1970
    std::string version;  // the same's
  };
  struct Entry {
    stats::ScopePtr scope;
    stats::Block<stats::ClusterStat> stats;
    config::ClusterEntry told;  // as last seen
    std::string service;        // EDS only
    stats::Block<EdsStat> eds;
  };
  void set(const std::string& name, const config::ClusterEntry& cluster);
  void drop(std::string_view name);
  void follow_service(Entry& entry, std::string_view service, bool asks);
  void count(const Entry& entry, const Answers& answers) const;

  stats::Registry& registry_;
  upstream::SharedClusters& shared_;
  std::map<std::string, Entry, std::less<>> clusters_;
  std::multimap<std::string, Entry*, std::less<>> by_service_;
  std::map<std::string, Answers> early_;  // by service, of which no cluster is served yet
};

}  // namespace fairlead::server
