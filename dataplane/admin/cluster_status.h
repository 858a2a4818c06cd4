// /clusters: what Envoy's tools parse, `name::addr::key::value` lines and the JSON of envoy.admin.v3.Clusters. Pure; main thread.
#pragma once

#include <string>
#include <vector>

#include "dataplane/config/cluster.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::admin {

struct ClusterRow {
  const config::ClusterConfig* config = nullptr;
  bool added_via_api = false;
  std::vector<upstream::HostStatus> hosts;
};

std::string clusters_text(const std::vector<ClusterRow>& rows);
std::string clusters_json(const std::vector<ClusterRow>& rows);

}  // namespace fairlead::admin
