// HTTP/1.1 on one connection, as server and as client. Each owns its connection, parses strictly (parser.h), runs one exchange at a
// time (pipelined requests wait unread) and renders heads straight into the connection's output (encoder.h).
// Owned by whoever made it, held in a net::DeferredPtr; one worker. Nothing of HTTP routing, stats or Envoy protos here.
#pragma once

#include <memory>
#include <string>

#include "dataplane/http/codec.h"
#include "dataplane/net/connection.h"

namespace fairlead::h1 {

// What a client session has seen of its peer, for the statistics of who owns it.
struct PeerCounts {
  uint32_t unasked_bytes = 0;     // bytes behind an answer or between two
  uint32_t close_announced = 0;   // whole answers that said that the connection closes
};

struct Settings {
  uint32_t max_head_bytes = 60 * 1024;  // Envoy 1.40: 60 KiB, HCM max_request_headers_kb
  uint32_t max_headers = 100;           // Envoy 1.40: 100, HttpProtocolOptions.max_headers_count
  bool accept_http_10 = false;          // Envoy 1.40: false, Http1ProtocolOptions.accept_http_10
  std::string default_host_for_http_10; // Http1ProtocolOptions.default_host_for_http_10
  bool enable_trailers = false;         // Envoy 1.40: false: trailers are read and dropped
  bool allow_absolute_url = true;       // Envoy 1.40: true
  bool allow_chunked_length = false;    // Envoy 1.40: false: Content-Length beside chunked is refused
  PeerCounts* peer_counts = nullptr;    // of a client session; outlives it
  bool proper_case = false;             // Http1ProtocolOptions.header_key_format.proper_case_words: Content-Type on the wire
};

// Makes an http::ServerSession over an accepted connection. Takes the connection's events.
net::DeferredPtr<http::ServerSession> make_server_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ServerSessionEvents& events);
// Makes an http::ClientSession over a connecting or connected connection.
net::DeferredPtr<http::ClientSession> make_client_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ClientSessionEvents& events);

}  // namespace fairlead::h1
