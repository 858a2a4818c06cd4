// Bootstrap text → Envoy's Bootstrap message → validated model. Errors carry file:line and the field path. Main thread, at start.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "dataplane/config/bootstrap.h"
#include "dataplane/server/options.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}

namespace fairlead::server {

struct LoadedBootstrap {
  std::shared_ptr<const envoy::config::bootstrap::v3::Bootstrap> proto;  // as given, flags applied; of a server that has started, the node alone
  std::string bytes;  // of a server that has started: the whole, for /config_dump
  std::shared_ptr<const config::BootstrapConfig> config;
  std::vector<std::string> warnings;   // unknown fields with --allow-unknown-static-fields, ignored fields
  uint64_t unknown_fields = 0, ignored_fields = 0;
  // The clusters that the bootstrap names for xDS streams, as given, by name: what a stream goes to becomes a gRPC channel, so it may use HTTP/2
  // and TLS. They are no part of the data plane (`config` lacks them).
  std::map<std::string, std::shared_ptr<const envoy::config::cluster::v3::Cluster>> grpc_clusters;
};

// Reads --config-path and --config-yaml (merged over it as messages: singular fields replace, repeated ones append), applies
// --service-* to the node, fills in user agent and version, checks validate.rules and the support table, and builds the model.
absl::StatusOr<LoadedBootstrap> load_bootstrap(const Options& options, const std::string& version);

}  // namespace fairlead::server
