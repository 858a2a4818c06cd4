// Raw resources: written by the user as they are to be sent, for the proxies a selector names. They bypass intent and
// plan, and keep origin, scope, verdict and quarantine. Values, made by adapters/xds; any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/intent/origin.h"
#include "controlplane/resources/resource.h"

namespace fairlead::resources {

struct RawSet {
  std::string name;  // "ns/name" of the object: unique among raw sets
  intent::Origin origin;
  std::vector<std::string> node_ids;       // exact
  std::vector<std::string> node_clusters;  // exact
  std::string version;                     // verbatim; empty for content hashes
  std::vector<ResourcePtr> resources;      // each made with its own origin (the line of the entry) and `version`

  bool for_unclaimed() const { return node_ids.empty() && node_clusters.empty(); }
  bool selects(std::string_view node_id, std::string_view node_cluster) const;
};
using RawSetPtr = std::shared_ptr<const RawSet>;

// What an object's new state becomes, given its last good one. Changed bytes under an unchanged verbatim version: the
// old set is kept and a finding says so. Under a new version, resources whose bytes did not change keep the version
// they were sent with. `previous` may be null.
RawSetPtr accept_raw_set(const RawSetPtr& previous, RawSetPtr next, std::vector<intent::Finding>& findings);

}  // namespace fairlead::resources
