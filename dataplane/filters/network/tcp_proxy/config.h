// The TCP proxy's configuration: which cluster, how long, how often, and what is logged. Pure; also linked by the control plane.
// Immutable, shared by all workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/config/access_log.h"
#include "dataplane/config/registry.h"
#include "dataplane/router/data_source.h"
#include "dataplane/router/header_ops.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::network::tcp_proxy {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

#define FAIRLEAD_TCP_STATS(C, G) \
  C(downstream_cx_no_route) G(downstream_cx_rx_bytes_buffered) C(downstream_cx_rx_bytes_total) C(downstream_cx_total) \
  G(downstream_cx_tx_bytes_buffered) C(downstream_cx_tx_bytes_total) C(downstream_flow_control_paused_reading_total) \
  C(downstream_flow_control_resumed_reading_total) C(early_data_received_count_total) C(idle_timeout) C(max_downstream_connection_duration) \
  G(upstream_flush_active) C(upstream_flush_total)
#define FAIRLEAD_NAME(name) name,
enum class Stat : uint32_t { FAIRLEAD_TCP_STATS(FAIRLEAD_NAME, FAIRLEAD_NAME) first_histogram };
#undef FAIRLEAD_NAME
extern const stats::StatSet kStats;  // tcp.<stat_prefix>.

using std::chrono::milliseconds;

// The bytes go as the body of a request.
struct TunnelConfig {
  format::Formatter hostname;
  bool post = false;
  std::string path = "/";  // Envoy 1.40: of POST, unless post_path says another
  router::HeaderOps headers;
};

struct Config final : config::FilterConfig {
  struct Weighted {
    std::string cluster;
    uint64_t cumulative;  // weights up to this one
  };
  struct BackOff {
    milliseconds base, max;
  };
  // One part of what a hash policy looks at.
  struct Hash {
    std::string filter_state;  // its key; empty: the client's address
  };

  // The cluster for a connection; `random`: of any size.
  const std::string& pick(uint64_t random) const;

  std::string stat_prefix;
  std::string cluster;  // empty: by weight
  std::vector<Weighted> weighted;
  milliseconds idle_timeout{3'600'000};  // Envoy 1.40: 1 h; 0: none
  uint32_t max_connect_attempts = 1;     // Envoy 1.40: 1
  std::optional<BackOff> back_off;       // between attempts; none: at once
  std::vector<Hash> hash_policy;
  std::optional<milliseconds> max_duration;
  double max_duration_jitter = 0;        // percent of it, at most, that a connection may last longer
  std::optional<TunnelConfig> tunnel;  // none: the bytes go as they are
  bool connect_on_data = false;
  std::optional<uint32_t> max_early_data;  // bytes read before the upstream is connected; unset: none are
  std::vector<config::AccessLogConfig> access_logs;
  std::optional<milliseconds> log_interval;
  bool log_on_start = false;
  bool log_on_connected = false;
};

void register_config(config::Registry& registry, router::FileReader read_file);

}  // namespace fairlead::filters::network::tcp_proxy
