// Plan -> xDS resources, through the generated protos, so that Gateway API semantics hold on a stock Envoy as well.
// Pure; any thread. Listener (HCM, RDS over ADS; TLS by server name), RouteConfiguration, Cluster (EDS
// over ADS), ClusterLoadAssignment, Secret (named by listeners and clusters, over ADS).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "controlplane/plan/plan.h"
#include "controlplane/resources/resource.h"
#include "controlplane/topology/load_weights.h"
#include "controlplane/topology/topology.h"

namespace fairlead::resources {

// All resources of the plan but the assignments, sorted by type and name.
std::vector<ResourcePtr> build(const plan::Plan& plan);

// The same of one scope's plans, one after the other: what is planned as it was keeps its resource, and of a route table just the routes that are new
// are encoded. Invariant: each is what build() gives. One thread at a time.
class Builder {
 public:
  Builder();
  ~Builder();
  Builder(Builder&&) noexcept;
  Builder& operator=(Builder&&) noexcept;

  std::vector<ResourcePtr> build(const plan::PlanPtr& plan);

 private:
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

// The assignment of one backend. Explicitly empty when there is no endpoint, so that no client waits for it. Ready
// endpoints only; when none is ready, those that still serve. Grouped by locality, in a fixed order. A locality's weight is that of its endpoints
// together, after so many steps.
ResourcePtr build_assignment(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins = {}, const topology::LocalitySteps& steps = {});

// The weights of its localities without any step.
std::map<topology::Locality, uint64_t> plain_weights(const intent::BackendKey& key, const topology::View& topology);

// The assignment of one cluster; of one with members, a locality for each of them that has endpoints, by weight.
ResourcePtr build_assignment(const plan::Cluster& cluster, const topology::View& topology, intent::Origins origins = {});

// Encodes an assignment once for all scopes: the same backend and generation gives the same pointer, and an unchanged
// encoding with unchanged origins keeps the old pointer. Owned by the pipeline's thread.
class AssignmentCache {
 public:
  // Rebuilds the backend's assignment from the view and returns it.
  ResourcePtr refresh(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins = {});
  // The assignment as last refreshed, refreshing it when it was never asked for.
  ResourcePtr get(const intent::BackendKey& key, const topology::View& topology, intent::Origins origins = {});
  // The same; null when it was never asked for.
  const ResourcePtr* find(const intent::BackendKey& key) const;
  // What its weights are made with from the next refresh() on.
  void set_steps(const intent::BackendKey& key, topology::LocalitySteps steps);
  void forget(const intent::BackendKey& key);
  size_t size() const { return assignments_.size(); }

 private:
  absl::flat_hash_map<intent::BackendKey, ResourcePtr> assignments_;
  std::map<intent::BackendKey, topology::LocalitySteps> steps_;  // those that have any
};

}  // namespace fairlead::resources
