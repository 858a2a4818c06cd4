// xDS streams over gRPC C++. gRPC's threads stay inside: what they report is posted to the main loop. Main thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dataplane/xds/sources.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace fairlead::xds {

// Where a stream may go, by the cluster's name; null: there is none of that name.
using FindCluster = std::function<std::shared_ptr<const envoy::config::cluster::v3::Cluster>(const std::string& name)>;

// Destruction cancels all streams and waits for gRPC to let go of them.
std::unique_ptr<Connector> make_grpc_connector(net::EventLoop& loop, FindCluster clusters);

}  // namespace fairlead::xds
