// The scopes of mesh clients as they are to be planned: those that routes make, and what clients ask for besides: Services without routes, which are passed
// on to their endpoints, other names of those with routes, and a scope where clients are and no route is. The pipeline's thread.
#pragma once

#include <map>
#include <optional>
#include <string_view>

#include "controlplane/intent/intent.h"
#include "controlplane/snapshot/asked.h"
#include "controlplane/topology/topology.h"

namespace fairlead::pipeline {

// What a client means by "cart.shop.svc.cluster.local:80", "cart.shop.svc:80" or "cart.shop:80"; nothing: no port of a Service.
std::optional<intent::BackendKey> service_named(std::string_view name);

class MeshScopes {
 public:
  using Scopes = std::map<intent::ScopeKey, intent::GatewayPtr>;

  // True when that may change what refresh() makes.
  bool ask(snapshot::Asked asked);
  // Of the model, which names no Service twice. What comes out as it was keeps its pointer.
  const Scopes& refresh(const intent::Model& model, const topology::View& topology);

 private:
  snapshot::Asked::Names asked_;
  Scopes scopes_;
};

}  // namespace fairlead::pipeline
