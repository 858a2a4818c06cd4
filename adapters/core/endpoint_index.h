// Services and EndpointSlices as topology: which endpoints each service port has. Keeps an index from service to its
// slices, so that a change costs what changed and not the world. Owned and driven by the pipeline's thread.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "adapters/core/core.h"
#include "controlplane/topology/topology.h"

namespace fairlead::adapters::core {

// What a shard knows of one service now; `gone` when it knows nothing of it any more.
struct EndpointUpdate {
  topology::ServiceKey service;
  topology::PortEndpoints ports;
  bool gone = false;
  bool by_load = false;  // as topology::Service's
  bool operator==(const EndpointUpdate&) const = default;
};

class EndpointIndex {
 public:
  // Takes the Services and EndpointSlices of a change set (others are passed over) and returns the services whose
  // ports or endpoints differ from what was returned last, in order of their key.
  std::vector<EndpointUpdate> apply(const ChangeSet& changes);

  // True when the change set holds EndpointSlices only: nothing that planning would look at.
  static bool is_endpoint_only(const ChangeSet& changes);

 private:
  topology::PortEndpoints build(const Service& service) const;

  std::map<topology::ServiceKey, std::shared_ptr<const Service>> services_;
  std::map<ObjectKey, std::shared_ptr<const EndpointSlice>> slices_;
  std::map<topology::ServiceKey, std::set<ObjectKey>> slices_of_;
  std::map<topology::ServiceKey, EndpointUpdate> told_;
};

}  // namespace fairlead::adapters::core
