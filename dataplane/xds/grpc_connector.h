// xDS streams over gRPC C++. gRPC's threads stay inside: what they report is posted to the main loop. Main thread only.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "dataplane/xds/sources.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace fairlead::xds {

// `clusters`: where streams may go, by name. Destruction cancels all streams and waits for gRPC to let go of them.
std::unique_ptr<Connector> make_grpc_connector(net::EventLoop& loop, std::map<std::string, std::shared_ptr<const envoy::config::cluster::v3::Cluster>> clusters);

}  // namespace fairlead::xds
