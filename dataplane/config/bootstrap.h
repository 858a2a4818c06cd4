// BootstrapConfig: Envoy's bootstrap as the proxy uses it. Parsed once at start on the main thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/access_log.h"
#include "dataplane/config/cluster.h"
#include "dataplane/config/listener.h"
#include "dataplane/config/overload.h"
#include "dataplane/config/runtime.h"
#include "dataplane/router/route_table.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}
namespace envoy::config::core::v3 {
class Node;
}

namespace fairlead::config {

struct AdminConfig {
  std::optional<Address> address;
  std::vector<AccessLogConfig> access_logs;
};

struct BootstrapConfig {
  std::shared_ptr<const envoy::config::core::v3::Node> node;
  std::string local_cluster_name;  // the cluster this proxy belongs to, for zone-aware routing; empty: none. One of `clusters`
  std::string outlier_event_log;   // cluster_manager.outlier_detection.event_log_path; empty: none
  AdminConfig admin;
  std::vector<std::shared_ptr<const ListenerConfig>> listeners;  // static
  std::vector<std::shared_ptr<const ClusterConfig>> clusters;    // static, for traffic
  std::shared_ptr<const StaticSecrets> secrets;                  // never null
  std::shared_ptr<DiscoveredSecrets> discovered;                 // null: only judged
  std::optional<ApiSource> ads;
  std::optional<ApiSource> load_stats;                           // cluster_manager.load_stats_config: where load is reported
  std::optional<ConfigSource> lds, cds;
  std::string lds_resources_locator, cds_resources_locator;      // empty: wildcard
  std::vector<RuntimeLayer> runtime_layers;                      // later ones win
  std::optional<OverloadConfig> overload;
  Watchdogs watchdogs;
  std::vector<std::string> warnings;
  uint64_t content_hash = 0;
};

struct BootstrapOptions {
  const Registry* registry = nullptr;
  router::FileReader read_file;  // see HcmOptions
};

// Validates, checks support and builds. `findings` gets the ignored fields of everything inside.
absl::StatusOr<std::shared_ptr<const BootstrapConfig>> parse_bootstrap(const envoy::config::bootstrap::v3::Bootstrap& proto,
                                                                       const BootstrapOptions& options = {},
                                                                       SupportFindings* findings = nullptr);

}  // namespace fairlead::config
