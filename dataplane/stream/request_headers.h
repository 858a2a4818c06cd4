// What the connection manager does to request headers before any filter sees them, and to response headers after all have: hop-by-hop
// headers, addresses of clients and proxies, x-envoy-* from strangers, request ids, via, server, date. Envoy 1.40's order and texts.
// Pure functions over a header map and what is known of the connection; any worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/config/hcm.h"
#include "dataplane/http/header_map.h"
#include "dataplane/net/address.h"

namespace fairlead::stream {

// What is known of the downstream connection and of this proxy.
struct Peer {
  const net::Address* remote = nullptr;
  std::string_view remote_ip;  // of `remote`, without port; only where the configuration asks for it
  std::string_view local_ip;   // this machine's own, for a loopback peer
  uint16_t local_port = 0;
  bool tls = false;
  const tls::ConnectionFacts* certificates = nullptr;  // with TLS, where the configuration asks for them
  std::string_view service_cluster, service_node;  // of the bootstrap's node, for add_user_agent
};

struct Origin {
  bool internal = false;
  bool edge = false;              // external, and the peer's address is the client's
  std::string_view client_ip;     // from x-forwarded-for or another header; empty: the peer's
  uint32_t reject_status = 0;     // not 0: the request has no address where it must have one, and is answered with this
};

// Returns false when the Connection header nominates a header that must not be dropped: answer 400.
bool clean_hop_by_hop(http::HeaderMap& headers, bool upgrade);
// Addresses, protocol, internal or not, sanitising, via, request id. `random` feeds the request id.
Origin set_origin_headers(http::HeaderMap& headers, const config::HcmConfig& config, const Peer& peer, const std::vector<std::string>* internal_only_headers,
                          uint64_t random_high, uint64_t random_low);
// Host header's port and trailing dot, as configured. `local_port`: the connection's.
void strip_host(http::HeaderMap& headers, const config::HcmConfig& config, uint16_t local_port);
// headers_with_underscores_action: drops such headers, or returns false if there are any.
bool check_underscores(http::HeaderMap& headers, bool drop);
bool asks_for_upgrade(const http::HeaderMap& headers);
bool has_grpc_content_type(const http::HeaderMap& headers);

// Response side. `now` sets a missing date.
void finish_response(http::HeaderMap& headers, const config::HcmConfig& config, std::string_view request_id, bool upgrade, std::chrono::system_clock::time_point now);

// 36 characters of a version 4 UUID.
void write_uuid(uint64_t high, uint64_t low, char* out);

// The address that x-forwarded-for's entry number `skip` from the right names, empty if there is none or it is no IP.
// `single`: the header holds exactly one entry and skip is 0.
std::string_view forwarded_address(const http::HeaderMap& headers, uint32_t skip, bool& single);

}  // namespace fairlead::stream
