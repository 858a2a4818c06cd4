// config::Snapshot: what one epoch of the proxy consists of. Built on the main thread, immutable, published to every worker's inbox;
// the publisher frees it once all workers have moved on. Unchanged resources keep their pointers from epoch to epoch.
// Invariant: every cluster a published route table names is in `clusters` or was unknown to the control plane when the gate's time was up.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/config/cluster_map.h"
#include "dataplane/config/listener.h"
#include "dataplane/router/route_table.h"

namespace fairlead::stream {
class FilterFactory;
}

namespace fairlead::config {

// What a discovered filter of a connection manager runs with. Keeps its description, whose address is the key, alive.
struct DiscoveredFilter {
  std::shared_ptr<const FilterDiscovery> discovery;
  std::shared_ptr<const stream::FilterFactory> factory;  // null: there is no configuration, requests get 500
};

struct Snapshot {
  uint64_t epoch = 0;
  absl::flat_hash_map<std::string, std::shared_ptr<const ListenerConfig>> listeners;
  absl::flat_hash_map<std::string, std::shared_ptr<const router::RouteTable>> routes;  // RDS tables by name
  ClusterMap clusters;
  // Names of the clusters that are set, changed or gone since the snapshot before, which everyone has seen; unset: any may be.
  std::optional<std::vector<std::string>> changed_clusters;
  absl::flat_hash_map<std::string, std::shared_ptr<const ExtensionConfig>> extensions;  // by FilterDiscovery::key; null: none now
  absl::flat_hash_map<const FilterDiscovery*, DiscoveredFilter> filters;                // of every connection manager that serves or will
  std::shared_ptr<const matching::Runtime> runtime;

  const ClusterEntry* cluster(std::string_view name) const { return clusters.find(name); }
  // The table a connection manager uses now: its inline one, else the RDS table of that name; null: not there yet (404 NR).
  const router::RouteTable* route_table(const RouteSource& source) const {
    if (source.inline_table) return source.inline_table.get();
    const auto it = routes.find(source.rds_name);
    return it == routes.end() ? nullptr : it->second.get();
  }
};

}  // namespace fairlead::config
