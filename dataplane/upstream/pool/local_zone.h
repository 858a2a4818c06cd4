// Where this proxy stands: its own locality, and the cluster it belongs to. From the bootstrap; set before workers exist, then constant.
#pragma once

#include <optional>
#include <string>
#include <tuple>

namespace fairlead::upstream {

struct LocalZone {
  std::string cluster;  // ClusterManager.local_cluster_name; empty: no zone-aware routing
  using Locality = std::tuple<std::string, std::string, std::string>;  // region, zone, sub-zone
  std::optional<Locality> locality;  // Node.locality
};

}  // namespace fairlead::upstream
