// ListenerConfig: a validated Listener. Immutable, shared between epochs by pointer while its content hash does not change.
// The proxy serves one filter chain without match criteria; more are refused by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/hcm.h"
#include "dataplane/config/support.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace fairlead::config {

struct SupportFindings;

struct FilterChain {
  std::string name;
  std::shared_ptr<const HcmConfig> hcm;
};

struct ListenerConfig {
  enum class Direction : uint8_t { Unspecified, Inbound, Outbound };
  std::string name;          // never empty: generated from the address when the proto has none
  std::vector<Address> addresses;  // first is the main one
  std::vector<SocketOption> socket_options;
  FilterChain chain;
  uint32_t per_connection_buffer_limit = 1024 * 1024;  // Envoy 1.40: 1 MiB
  bool reuse_port = true;                              // Envoy 1.40: true
  bool bind_to_port = true;
  std::optional<uint32_t> tcp_backlog;                 // unset: somaxconn
  std::optional<bool> transparent, freebind;           // unset: socket untouched
  std::optional<uint32_t> tcp_fast_open_queue_length;
  Direction direction = Direction::Unspecified;
  std::string stat_prefix;                             // empty: the address
  bool drain_modify_only = false;
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata;
  uint64_t content_hash = 0;
};

// Validates, checks support and builds. All problems at once, each "listener 'x': field.path: what (value)".
absl::StatusOr<std::shared_ptr<const ListenerConfig>> parse_listener(const envoy::config::listener::v3::Listener& proto,
                                                                     const HcmOptions& options = {}, SupportFindings* findings = nullptr);

}  // namespace fairlead::config
