// The main thread's half of clusters: turns each ClusterConfig into EndpointSets. STATIC has its set at once; STRICT_DNS and LOGICAL_DNS
// ask the resolver again and again and report every change; EDS sets come from elsewhere and are not touched here.
// Owned by the server, main thread only. A failed lookup keeps the last hosts; a successful empty answer empties them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <absl/container/flat_hash_map.h>

#include "dataplane/config/cluster.h"

namespace fairlead::net {
class DnsResolver;
class EventLoop;
}

namespace fairlead::upstream {

class DnsCluster;

class ClusterResolver {
 public:
  // A set for `cluster` is known or has changed; the first call makes a DNS cluster warm (also after a first lookup that failed: then empty).
  // Never called from inside add() for DNS clusters; called inside add() for STATIC ones.
  using Publish = std::function<void(const std::string& cluster, std::shared_ptr<const config::EndpointSet> endpoints)>;

  // `resolver` may be null when no cluster needs DNS: names then stay unresolved and empty.
  ClusterResolver(net::EventLoop& loop, net::DnsResolver* resolver, uint64_t seed, Publish publish);
  ~ClusterResolver();

  // Adds or replaces. A replaced DNS cluster with the same names keeps its last answers until new ones come.
  void add(const std::shared_ptr<const config::ClusterConfig>& cluster);
  void remove(const std::string& name);
  // Counters for stats: lookups begun, succeeded, failed of one cluster.
  struct Lookups {
    uint64_t attempts = 0, successes = 0, failures = 0, empty = 0;
  };
  Lookups lookups(const std::string& name) const;

 private:
  friend class DnsCluster;
  net::EventLoop& loop_;
  net::DnsResolver* resolver_;
  uint64_t seed_;
  Publish publish_;
  absl::flat_hash_map<std::string, std::unique_ptr<DnsCluster>> dns_;
};

}  // namespace fairlead::upstream
