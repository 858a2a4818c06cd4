// Objects -> what is to be served: vocabularies, topology, planning and building in their order, with memory so that what did not
// change is not made again. The same code behind the running control plane and the offline commands.
// One thread at a time. Invariant: the updates, applied in order to a Catalog, give the snapshots of the objects as they are now.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "adapters/core/endpoint_index.h"
#include "adapters/gatewayapi/translate.h"
#include "adapters/ingress/translate.h"
#include "adapters/object/store.h"
#include "adapters/xds/envoy_resources.h"
#include "apps/pipeline/mesh_scopes.h"
#include "base/clock.h"
#include "controlplane/plan/plan.h"
#include "controlplane/resources/build.h"
#include "controlplane/snapshot/update.h"
#include "controlplane/topology/load_weights.h"
#include "controlplane/topology/topology.h"

namespace fairlead::pipeline {

// Registers every vocabulary's checks with a store: which kinds there are and what a good object is.
void register_vocabularies(adapters::Store& store);

class Translator {
 public:
  explicit Translator(topology::LoadWeights::Options weighing = {}) : weights_(weighing) {}
  // Takes note of changed Services and EndpointSlices. Cheap; call it with every change set before anything else.
  void note(const adapters::ChangeSet& changes);
  // True when the change set needs no planning: endpoints() is enough.
  static bool endpoints_only(const adapters::ChangeSet& changes);
  // The assignments that changed since the last endpoints() or full().
  snapshot::Update endpoints();
  // Whether there is a Service whose localities are weighed by load; then loads() takes what clients report, from time to time. What it returns has other
  // weights from the next endpoints() or full() on.
  bool weighs() const { return !weighed_.empty(); }
  std::vector<topology::LoadWeights::Changed> loads(const std::vector<topology::LocalityLoad>& loads, MonotonicTime now);
  // What clients of the mesh ask for by name; true: full() may have something to say.
  bool ask(snapshot::Asked asked) { return mesh_.ask(std::move(asked)); }
  // Everything that differs from the last full().
  snapshot::Update full(const adapters::ObjectSnapshot& objects);

  // Raw resources as they were served before a restart: what the first full() falls back to, and compares versions with.
  void remember(const std::vector<resources::RawSetPtr>& sets);
  // What is to be remembered: of the last full(), or as remembered before the first.
  std::vector<resources::RawSetPtr> raw_sets() const;

  // Of the last full().
  const adapters::gatewayapi::Translation& gateway_api() const { return gateway_api_.now(); }
  const adapters::gatewayapi::KeptTranslation::Counts& translated() const { return gateway_api_.counts(); }
  const adapters::ingress::Translation& ingress() const { return ingress_; }
  const adapters::xds::Translation& raw() const { return raw_; }
  std::vector<const adapters::StatusSink*> statuses() const { return {&gateway_api().status, &ingress_.status, &raw_.status, &parameters_}; }
  std::vector<plan::PlanPtr> plans() const;

 private:
  struct Scope {
    intent::GatewayPtr intent;
    plan::Planner planner;
    plan::PlanPtr plan;
    resources::Builder builder;
  };
  void note_touched(const adapters::ChangeSet& changes);
  void plan_gateway(const intent::GatewayPtr& gateway, snapshot::Update& update);
  void count(const plan::Plan* before, const plan::Plan* after);
  void count(const plan::Cluster& cluster, int by);
  std::vector<resources::ResourcePtr> take_changed_assignments();
  resources::ResourcePtr assignment_of(const plan::Cluster& cluster);
  resources::ResourcePtr shared_assignment(const plan::Cluster& cluster) const;
  void note_places(const adapters::ChangeSet& changes);
  intent::Origins places_of(const intent::BackendKey& key) const;
  void note_weighed(const topology::ServiceKey& service, bool by_load);
  std::vector<intent::BackendKey> used_of(const topology::ServiceKey& service) const;

  adapters::core::EndpointIndex index_;
  topology::Topology topology_;
  resources::AssignmentCache assignments_;
  adapters::gatewayapi::KeptTranslation gateway_api_;
  adapters::ingress::Translation ingress_;
  adapters::xds::Translation raw_;
  adapters::StatusSink parameters_;
  std::vector<resources::RawSetPtr> raw_sets_;
  MeshScopes mesh_;
  std::map<intent::ScopeKey, Scope> scopes_;
  // Where each service and its slices are written, the Service first: the origins of its assignments.
  std::map<topology::ServiceKey, std::map<adapters::ObjectKey, intent::Origin>> places_;
  std::map<adapters::ObjectKey, topology::ServiceKey> owner_;  // of slices: their label may change
  std::optional<bool> incomplete_;                // as of the last full()
  std::map<intent::BackendKey, int> used_;        // by how many plans
  std::set<topology::ServiceKey> weighed_;        // by load
  topology::LoadWeights weights_;
  // Of clusters that several services make up, by name.
  struct Shared {
    plan::Cluster cluster;
    resources::ResourcePtr assignment;
  };
  std::map<std::string, Shared> shared_;
  std::set<adapters::ObjectKey> touched_;         // since the last full(), but for endpoints
  bool anything_touched_ = true;                  // it may have been anything
  std::vector<intent::BackendKey> changed_;       // endpoints changed since last taken
  bool services_changed_ = false;                 // a service or port came or went: plans may warn otherwise
};

// An adapter's diagnostics in the words of verdict/.
std::vector<intent::Finding> to_findings(const std::vector<adapters::Diagnostic>& diagnostics);

}  // namespace fairlead::pipeline
