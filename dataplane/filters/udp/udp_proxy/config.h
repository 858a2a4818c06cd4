// The UDP proxy's configuration: which cluster a session goes to, how long it lives, how its socket is read, what is logged. Pure; also linked by
// the control plane. Immutable, shared by all workers.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/config/access_log.h"
#include "dataplane/config/registry.h"
#include "dataplane/matching/match_tree.h"
#include "dataplane/net/address.h"
#include "dataplane/router/data_source.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::udp::udp_proxy {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig";

#define FAIRLEAD_UDP_STATS(C, G) \
  C(downstream_sess_no_route) C(downstream_sess_rx_bytes) C(downstream_sess_rx_datagrams) C(downstream_sess_rx_errors) C(downstream_sess_total) \
  C(downstream_sess_tx_bytes) C(downstream_sess_tx_datagrams) C(downstream_sess_tx_errors) C(idle_timeout) C(session_filter_config_missing) \
  G(downstream_sess_active)
#define FAIRLEAD_NAME(name) name,
enum class Stat : uint32_t { FAIRLEAD_UDP_STATS(FAIRLEAD_NAME, FAIRLEAD_NAME) first_histogram };
#undef FAIRLEAD_NAME
extern const stats::StatSet kStats;  // udp.<stat_prefix>.

enum class ClusterUdpStat : uint32_t { sess_rx_datagrams, sess_rx_datagrams_dropped, sess_rx_errors, sess_tx_datagrams, sess_tx_errors, first_histogram };
extern const stats::StatSet kClusterStats;  // cluster.<name>.

using std::chrono::milliseconds;

struct Config final : config::FilterConfig {
  // The cluster for datagrams of that path; empty: none.
  const std::string& route(const net::Address& local, const net::Address& peer) const;
  // For the cluster's policy, where it hashes.
  std::optional<uint64_t> hash(const net::Address& peer) const;

  std::string stat_prefix;
  std::vector<std::string> clusters;  // that routes name: one, or the matcher's actions
  std::optional<matching::MatchTree> matcher;
  milliseconds idle_timeout{60'000};  // Envoy 1.40: 1 min
  bool per_packet = false;            // a host for each datagram, not for each session
  bool hash_source_ip = false;
  std::optional<uint64_t> hash_key;   // of the configured text
  size_t max_datagram = 1500;         // Envoy 1.40: UdpSocketConfig.max_rx_datagram_size; of upstream sockets
  bool join_datagrams = true;         // Envoy 1.40: prefer_gro, true for upstream sockets
  std::vector<config::AccessLogConfig> session_logs, proxy_logs;
  std::optional<milliseconds> log_interval;
  uint64_t content_hash = 0;
};

void register_config(config::Registry& registry, router::FileReader read_file);

}  // namespace fairlead::filters::udp::udp_proxy
