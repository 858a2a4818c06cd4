// ListenerConfig: a validated Listener. Immutable, shared between epochs by pointer while its content hash does not change.
// Which of its filter chains a connection gets is the matcher's to say; those that none takes get the default chain, or are closed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/access_log.h"
#include "dataplane/config/filter_chain.h"
#include "dataplane/config/filter_chain_match.h"
#include "dataplane/config/hcm.h"
#include "dataplane/config/support.h"
#include "dataplane/matching/match_tree.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace fairlead::config {

struct SupportFindings;

struct ListenerConfig {
  enum class Direction : uint8_t { Unspecified, Inbound, Outbound };
  std::string name;          // never empty: generated from the address when the proto has none
  std::vector<Address> addresses;  // first is the main one
  std::vector<SocketOption> socket_options;
  std::vector<std::shared_ptr<const FilterChain>> chains;
  std::shared_ptr<const FilterChain> default_chain;      // null: none
  std::shared_ptr<const FilterChainMatcher> matcher;     // null: every connection gets the first chain, or the default one where there is no other
  // filter_chain_matcher, which takes the place of the chains' own criteria: answers with a chain's number, or kNoChain. Null: there is none.
  std::shared_ptr<const matching::MatchTree> tree;
  static constexpr uint32_t kNoChain = UINT32_MAX;       // the tree names a chain that there is not
  std::vector<ListenerFilterEntry> listener_filters;     // of a UDP listener: the one that takes its datagrams
  std::vector<AccessLogConfig> access_logs;              // of connections
  bool udp = false;                                      // there are no chains then
  uint64_t max_datagram = 1500;                          // Envoy 1.40: UdpSocketConfig.max_rx_datagram_size
  bool join_datagrams = false;                           // Envoy 1.40: prefer_gro, false for listeners
  milliseconds listener_filters_timeout{15'000};         // Envoy 1.40: 15 s; 0: none
  bool continue_on_listener_filters_timeout = false;
  bool use_original_dst = false;                         // connections go on to the listener of the address that a listener filter has restored
  uint32_t per_connection_buffer_limit = 1024 * 1024;  // Envoy 1.40: 1 MiB
  bool reuse_port = true;                              // Envoy 1.40: true
  bool bind_to_port = true;
  bool exact_balance = false;                          // each connection goes to the worker that has the fewest of this listener
  std::optional<uint32_t> tcp_backlog;                 // unset: somaxconn
  std::optional<bool> transparent, freebind;           // unset: socket untouched
  std::optional<uint32_t> tcp_fast_open_queue_length;
  Direction direction = Direction::Unspecified;
  std::string stat_prefix;                             // empty: the address
  bool drain_modify_only = false;
  bool ignore_global_connection_limit = false;
  bool bypass_overload = false;                        // the overload manager has no say here, and none in its requests
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata;
  uint64_t content_hash = 0;
  uint64_t outer_hash = 0;                             // of all but the filter chains: forms that differ in those alone replace each other in place

  // Whether it takes facts to know a connection's chain.
  bool chooses() const { return matcher != nullptr || tree != nullptr; }
  // The number of a connection's chain; none: it is closed.
  std::optional<size_t> choose(const ConnectionFacts& facts) const;
  // All chains, the default one last: a chain's number.
  size_t chain_count() const { return chains.size() + (default_chain != nullptr ? 1 : 0); }
  const std::shared_ptr<const FilterChain>& chain(size_t number) const { return number < chains.size() ? chains[number] : default_chain; }
  // Calls `visit` with each chain's HcmConfig.
  template <class Visit>
  void for_each_hcm(const Visit& visit) const {
    for (size_t i = 0; i < chain_count(); ++i)
      if (const auto& hcm = chain(i)->hcm; hcm != nullptr) visit(*hcm);
  }
};

// Validates, checks support and builds. All problems at once, each "listener 'x': field.path: what (value)".
absl::StatusOr<std::shared_ptr<const ListenerConfig>> parse_listener(const envoy::config::listener::v3::Listener& proto,
                                                                     const HcmOptions& options = {}, SupportFindings* findings = nullptr);

}  // namespace fairlead::config
