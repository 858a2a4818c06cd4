// Ready bootstraps for what fairlead-control can drive. Pure.
#pragma once

#include <string>

#include <absl/status/statusor.h>

namespace fairlead::cli {

struct BootstrapOptions {
  std::string client = "proxy";  // proxy, envoy, grpc
  std::string cluster;           // node cluster
  std::string id;                // node id; empty: "CLUSTER-HOSTNAME"
  std::string gateway;           // NS/NAME for metadata fairlead.io/gateway; empty leaves it out
  std::string xds_address = "127.0.0.1:18000";
  std::string admin_address = "127.0.0.1:9901";
  bool delta = true;
};

// YAML for proxy and envoy, JSON for grpc. InvalidArgument names the flag that is wrong.
absl::StatusOr<std::string> make_bootstrap(const BootstrapOptions& options);

}  // namespace fairlead::cli
