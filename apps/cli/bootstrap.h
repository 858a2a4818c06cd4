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
  // TLS to fairlead-control; no authority: plaintext. Files, as the client is to read them.
  std::string tls_ca, tls_cert, tls_key;
  std::string tls_server_name;   // what the server's certificate must be for; empty: the host of xds_address
};

// YAML for proxy and envoy, JSON for grpc. InvalidArgument names the flag that is wrong.
absl::StatusOr<std::string> make_bootstrap(const BootstrapOptions& options);

}  // namespace fairlead::cli
