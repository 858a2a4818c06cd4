// World: what one proxy has been given, as the models that the proxy itself makes of it: listeners, compiled route tables, clusters, endpoints.
// Each is made when it is first asked for and kept. One thread at a time; the snapshot is shared and never changes.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include "controlplane/snapshot/snapshot.h"
#include "dataplane/config/cluster.h"
#include "dataplane/config/listener.h"
#include "dataplane/router/route_table.h"

namespace fairlead::why {

using resources::ResourcePtr;

class World {
 public:
  // A resource and what the proxy makes of it, or why it would refuse it.
  template <typename Model>
  struct Read {
    ResourcePtr resource;
    std::shared_ptr<const Model> model;  // null: `error` says why
    std::string error;
  };
  using Listener = Read<config::ListenerConfig>;
  using Table = Read<router::RouteTable>;
  using Cluster = Read<config::ClusterConfig>;
  using Endpoints = Read<config::EndpointSet>;

  explicit World(snapshot::SnapshotPtr snapshot);

  const snapshot::SnapshotPtr& snapshot() const { return snapshot_; }
  const std::vector<Listener>& listeners();
  // Null: there is no such resource.
  const Table* table(const std::string& name);
  const Cluster* cluster(const std::string& name);
  const Endpoints* endpoints(const std::string& name);
  // "{server_names: [a.example.com]}" of a listener's chain as its author wrote it; empty: every connection.
  std::string chain_criteria(const Listener& listener, size_t chain);

  // Where a route of a table that was made from objects was written: by its name, "ns/object/rule/0/match/1". Null: not known.
  const intent::Origin* route_origin(const ResourcePtr& table, std::string_view route_name);

 private:
  using OriginsByField = absl::flat_hash_map<std::string, const intent::Origin*>;
  snapshot::SnapshotPtr snapshot_;
  std::optional<std::vector<Listener>> listeners_;
  std::map<std::string, Table> tables_;
  std::map<std::string, Cluster> clusters_;
  std::map<std::string, Endpoints> endpoints_;
  std::map<ResourcePtr, OriginsByField> origins_;
};

}  // namespace fairlead::why
