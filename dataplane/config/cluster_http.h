// The parts of a Cluster that say which protocol and transport its connections use. Private to the room.
#pragma once

#include "base/status.h"
#include "dataplane/config/cluster.h"

namespace envoy::config::core::v3 {
class BindConfig;
}

namespace fairlead::config {

void parse_upstream_http(const envoy::config::cluster::v3::Cluster& proto, ClusterConfig& out, ErrorList& errors);
// After the protocol is known.
void parse_transport(const envoy::config::cluster::v3::Cluster& proto, const TlsSources& sources, ClusterConfig& out, ErrorList& errors);
absl::StatusOr<BindConfig> parse_bind(const envoy::config::core::v3::BindConfig& proto, const std::string& field);

}  // namespace fairlead::config
