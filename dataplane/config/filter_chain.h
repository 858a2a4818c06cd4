// FilterChain: what becomes of a connection that a listener has accepted: TLS, network filters, the connection manager. Immutable; shared by
// forms of a listener as long as the chain does not change.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "dataplane/config/hcm.h"
#include "dataplane/config/registry.h"

namespace envoy::config::listener::v3 {
class FilterChain;
class Listener;
}

namespace fairlead::config {

struct DownstreamTls;

struct NetworkFilterEntry {
  std::string name;
  const NetworkFilterType* type = nullptr;
  std::shared_ptr<const FilterConfig> config;
};

struct ListenerFilterEntry {
  std::string name;
  const ListenerFilterType* type = nullptr;
  std::shared_ptr<const FilterConfig> config;
};

struct FilterChain {
  std::string name;
  uint64_t content_hash = 0;                // of the whole message
  // Of what an HTTP connection begins with and keeps: between chains that differ in nothing of it, connections may go over. 0: never.
  uint64_t connection_hash = 0;
  std::vector<NetworkFilterEntry> filters;  // in order, but for the connection manager
  std::shared_ptr<const HcmConfig> hcm;     // the last, where that is the connection manager
  std::shared_ptr<const DownstreamTls> tls; // null: connections are plain
  milliseconds transport_socket_connect_timeout{0};  // of the handshake; 0: none
};

// Problems go to `errors`, each with its place below `field` ("filter_chains[1]"). Never null.
std::shared_ptr<const FilterChain> parse_filter_chain(const envoy::config::listener::v3::FilterChain& proto, const std::string& field,
                                                      const HcmOptions& options, ErrorList& errors);
std::vector<ListenerFilterEntry> parse_listener_filters(const envoy::config::listener::v3::Listener& proto, const HcmOptions& options, ErrorList& errors);

}  // namespace fairlead::config
