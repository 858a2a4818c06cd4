// What is known of a downstream connection beside its bytes: what listener filters found out, what chose its filter chain, what network
// filters left for those after them. Made when the connection is accepted, owned by whoever owns the connection, gone with it. One worker.
// A connection of a listener without listener filters, access log, network filters and TLS has none: idle connections are to stay small.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/format/response_flags.h"
#include "dataplane/net/address.h"
#include "dataplane/net/timer.h"

namespace envoy::config::core::v3 {
class Metadata;
}

namespace fairlead::stream {

class ConnectionLog;

struct ConnectionInfo {
  ConnectionInfo();
  ~ConnectionInfo();
  ConnectionInfo(const ConnectionInfo&) = delete;

  net::Address direct_remote;  // the socket's peer
  net::Address remote;         // the client: the PROXY protocol's word, else the same
  net::Address direct_local;   // the socket's own
  net::Address local;          // where the client meant to connect: SO_ORIGINAL_DST's or the PROXY protocol's word, else the same
  bool local_restored = false;
  net::TimePoint accepted{};   // unset: when the connection was made

  // What the first bytes show, as filter chains are matched by it.
  std::string transport_protocol = "raw_buffer";   // or "tls"
  std::string server_name;                         // SNI, lower case
  std::vector<std::string> application_protocols;  // ALPN or http_inspector's, in the client's order
  std::string ja3, ja4;                            // fingerprints, where asked for

  std::unique_ptr<envoy::config::core::v3::Metadata> dynamic_metadata;  // null: none
  std::map<std::string, std::string, std::less<>> filter_state;         // "envoy.tcp_proxy.cluster"
  format::ResponseFlags flags;
  std::string_view code_details;    // RESPONSE_CODE_DETAILS of a connection without HTTP; a literal
  std::string termination_details;  // CONNECTION_TERMINATION_DETAILS
  std::string local_close_reason;   // DOWNSTREAM_LOCAL_CLOSE_REASON: why this proxy has closed it

  std::shared_ptr<const ConnectionLog> log;  // the listener's; whoever sees the connection's end tells it. Null: there is none

  std::shared_ptr<void> kept;  // what lives as long as the connection: its network filters, once it has gone on to the connection manager
};

}  // namespace fairlead::stream
