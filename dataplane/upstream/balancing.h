// From configuration to load balancing: endpoints in the order that policies and hash tables count on, a cluster's settings in the words of
// lb/, and the hash tables, which are built here once per cluster and endpoint set and found by all workers.
// flatten() and the conversions are pure. hash_tables() may be called on any thread; the main thread calls prepare() before it publishes a
// snapshot, so that no worker ever builds a table.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/snapshot.h"
#include "dataplane/matching/runtime.h"
#include "dataplane/net/address.h"
#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/pool/shared_cluster.h"

namespace fairlead::upstream {

struct FlatEndpoint {
  const config::Endpoint* endpoint;
  net::Address address;
  std::string name;  // the address as text
  uint32_t priority;
  uint32_t locality;  // index into FlatEndpoints::localities
};

struct FlatEndpoints {
  // In the order of the configuration; a duplicate address within a priority counts once, as in Envoy. Hosts of pools and positions in hash
  // tables follow this order.
  std::vector<FlatEndpoint> hosts;
  // Priority by priority: this proxy's own locality first, then by region, zone and sub-zone; only those that have hosts.
  std::vector<const config::Locality*> localities;
  std::vector<uint32_t> locality_weights;
  bool own_first = false;  // localities[0] belongs to priority 0 and is this proxy's own
};
// Endpoints whose address cannot be used are left out and logged. `set` may be null; the result points into it.
FlatEndpoints flatten(const config::ClusterConfig& cluster, const config::EndpointSet* set, const LocalZone& local);

// What the control plane says.
Health health_of(const config::Endpoint& endpoint);
// The runtime, where there is one, sets what the configuration names a key for, and Envoy's own keys: upstream.healthy_panic_threshold,
// upstream.zone_routing.enabled and upstream.zone_routing.min_cluster_size.
PolicyOptions policy_options(const config::LoadBalancing& lb, const matching::Runtime* runtime);
ZoneOptions zone_options(const config::LoadBalancing& lb, const matching::Runtime* runtime);
// Without what depends on hosts or time: zone, tables, now.
HostSelector::Options selector_options(const config::LoadBalancing& lb, const config::EndpointSet* set, const matching::Runtime* runtime);

// Null for policies without hashes. Builds at most once per endpoint set.
std::shared_ptr<const HashTables> hash_tables(SharedCluster& cluster, const std::shared_ptr<const config::EndpointSet>& set, const LocalZone& local,
                                              const matching::Runtime* runtime);
// For every cluster of the snapshot that needs tables and does not have them yet. Main thread.
void prepare(const config::Snapshot& snapshot, SharedClusters& shared);

}  // namespace fairlead::upstream
