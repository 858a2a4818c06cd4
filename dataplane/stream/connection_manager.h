// ConnectionManager: an HcmConfig ready to serve: filter factories, access loggers, statistics. Built on the main thread, immutable,
// shared by all workers and all connections of its filter chain.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/accesslog/access_log.h"
#include "dataplane/config/listener.h"
#include "dataplane/http/h1/session.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/stats/names.h"
#include "dataplane/stream/filter.h"
#include "dataplane/stream/path.h"

namespace fairlead::stream {

class ConnectionManager {
 public:
  struct Options {
    stats::Registry* stats = nullptr;
    accesslog::LogFiles* logs = nullptr;
    const FilterRegistry* filters = nullptr;  // null: the global one
    std::string listener_address;             // "127.0.0.1:8080", for the listener's statistics
    std::string service_cluster, service_node;  // of the bootstrap's node
  };
  // `chain`: one of the listener's, which ends in the connection manager. Errors: a filter that has no factory, an access log that cannot be opened.
  static absl::StatusOr<std::shared_ptr<const ConnectionManager>> create(std::shared_ptr<const config::ListenerConfig> listener,
                                                                         std::shared_ptr<const config::FilterChain> chain, const Options& options);

  struct NamedFilter {
    std::string name;
    bool disabled = false;  // unless a route enables it
    std::shared_ptr<const FilterFactory> factory;                              // or
    std::shared_ptr<const config::FilterDiscovery> discovery = nullptr;        // it is in the snapshot: Snapshot::filters
  };

  const config::HcmConfig& config() const { return *config_; }
  const config::ListenerConfig& listener() const { return *listener_; }
  const config::FilterChain& chain() const { return *chain_; }
  const std::vector<NamedFilter>& filters() const { return filters_; }
  // The first discovered filter; null: there is none. Whoever knows one of them in a snapshot finds all there.
  const config::FilterDiscovery* discovery() const { return discovery_; }
  // For a configuration that was discovered. Main thread. Precondition: the type is one that this build can run, as all registered ones are.
  std::shared_ptr<const FilterFactory> make_factory(const config::HttpFilterType& type, std::shared_ptr<const config::FilterConfig> config) const;
  const accesslog::AccessLoggers& access_log() const { return access_log_; }
  const h1::Settings& h1_settings() const { return h1_settings_; }
  const h2::Settings& h2_settings() const { return h2_settings_; }  // without a place for counts
  const PathOptions& path_options() const { return path_options_; }
  // The address that x-forwarded-for gets for a loopback peer: this machine's own.
  const std::string& local_ip() const { return local_ip_; }
  const std::string& service_cluster() const { return service_cluster_; }
  const std::string& service_node() const { return service_node_; }

  stats::ScopePtr scope;           // http.<stat_prefix>.
  stats::ScopePtr listener_scope;  // listener.<address>.http.<stat_prefix>.
  stats::Block<stats::HttpStat> stats;
  stats::Block<stats::ListenerHttpStat> listener_stats;
  stats::Counter overload_close, overload_disable_keepalive;  // of `scope`
  stats::ScopePtr root_scope;      // Envoy 1.40: http2.* of downstream connections have no prefix
  stats::Block<stats::Http2Stat> http2_stats;

 private:
  ConnectionManager() = default;
  std::shared_ptr<const config::ListenerConfig> listener_;  // what it says of its chains may be an older form than the one in force
  std::shared_ptr<const config::FilterChain> chain_;
  std::shared_ptr<const config::HcmConfig> config_;
  std::vector<NamedFilter> filters_;
  const config::FilterDiscovery* discovery_ = nullptr;
  const FilterRegistry* registry_ = nullptr;
  std::optional<FactoryContext> context_;
  accesslog::AccessLoggers access_log_;
  h1::Settings h1_settings_;
  h2::Settings h2_settings_;
  PathOptions path_options_;
  std::string local_ip_, service_cluster_, service_node_;
};

}  // namespace fairlead::stream
