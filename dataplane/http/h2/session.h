// HTTP/2 on one connection, as server and as client, on nghttp2. Each owns its connection, reads frames in place, tells of them once a
// whole read has been taken in, and sends what all streams of a turn of the loop have to send with one write.
// Owned by whoever made it, held in a net::DeferredPtr; one worker. Nothing of routing, statistics names or Envoy protos here.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/http/codec.h"
#include "dataplane/net/connection.h"

namespace fairlead::h2 {

// What a session counts, under the names of Envoy 1.40's "http2." statistics. Those from kFirstGauge on go up and down.
enum class Stat : uint8_t {
  goaway_sent,
  header_list_size_too_large,
  header_overflow,  // too many fields
  headers_cb_no_stream,
  inbound_empty_frames_flood,
  inbound_priority_frames_flood,
  inbound_window_update_frames_flood,
  keepalive_timeout,
  outbound_control_flood,
  outbound_flood,
  rx_messaging_error,
  rx_reset,
  stream_refused_errors,
  too_many_premature_resets,  // Envoy counts it as downstream_rq_too_many_premature_resets
  trailers,
  tx_flush_timeout,
  tx_reset,
  deferred_stream_close,          // over for their users, not yet on the wire to their end
  outbound_control_frames_active, // in the connection's output
  outbound_frames_active,
  pending_send_bytes,             // held back by the peer's windows or by the connection's output
  streams_active,
};
inline constexpr Stat kFirstGauge = Stat::deferred_stream_close;
inline constexpr size_t kStatCount = static_cast<size_t>(Stat::streams_active) + 1;
std::string_view stat_name(Stat stat);

// Where a session's counts go: cells of a statistics room, or a test's array.
class StatSink {
 public:
  virtual ~StatSink() = default;
  virtual void add(Stat stat, int64_t delta) = 0;
  // The connection ends because the peer broke the protocol (not: a limit). Counted outside of "http2.".
  virtual void protocol_error() {}
};

struct Settings {
  uint32_t max_head_bytes = 60 * 1024;  // Envoy 1.40: 60 KiB, max_request_headers_kb and max_response_headers_kb; names and values
  uint32_t max_headers = 100;           // Envoy 1.40: 100, HttpProtocolOptions.max_headers_count; pseudo-headers and cookie crumbs included

  // Http2ProtocolOptions
  uint32_t hpack_table_size = 4096;                    // Envoy 1.40: 4096
  uint32_t max_concurrent_streams = 1024;              // Envoy 1.40: 1024; of a client session: how many it opens at most
  uint32_t initial_stream_window_size = 16 << 20;      // Envoy 1.40: 16 MiB
  uint32_t initial_connection_window_size = 24 << 20;  // Envoy 1.40: 24 MiB
  bool allow_connect = false;                          // Envoy 1.40: false; servers: extended CONNECT (RFC 8441) is offered
  uint32_t max_outbound_frames = 10000;                // Envoy 1.40: 10000
  uint32_t max_outbound_control_frames = 1000;         // Envoy 1.40: 1000
  uint32_t max_consecutive_inbound_frames_with_empty_payload = 1;        // Envoy 1.40: 1
  uint32_t max_inbound_priority_frames_per_stream = 100;                 // Envoy 1.40: 100
  uint32_t max_inbound_window_update_frames_per_data_frame_sent = 10;    // Envoy 1.40: 10
  bool stream_error_on_invalid_http_message = false;   // Envoy 1.40: false: a malformed message ends the connection, not its stream
  std::chrono::milliseconds keepalive_interval{0};     // connection_keepalive.interval; 0: no PINGs
  std::chrono::milliseconds keepalive_timeout{0};      // connection_keepalive.timeout
  uint32_t keepalive_jitter_percent = 15;              // Envoy 1.40: 15 %, interval_jitter
  std::chrono::milliseconds keepalive_idle_interval{0};  // connection_idle_interval; 0: never

  // Bytes a stream holds back before its user is told to stop. Envoy: initial_stream_window_size, so 16 MiB; that much a stream of
  // many is a lot of memory for one slow reader, and no reader is faster for it.
  uint32_t stream_buffer_limit = 1 << 20;
  std::chrono::milliseconds drain_timeout{5000};         // Envoy 1.40: 5 s, HCM drain_timeout: between the two GOAWAYs
  std::chrono::milliseconds flush_timeout{300000};       // Envoy 1.40: 5 min, HCM stream_idle_timeout: a finished response nobody reads
  // Envoy 1.40: overload.premature_reset_total_stream_count 500 and premature_reset_min_stream_lifetime_seconds 1. 0: off. Servers
  uint32_t premature_reset_streams = 500;
  std::chrono::milliseconds premature_reset_lifetime{1000};

  std::shared_ptr<StatSink> stats;  // null: nothing is counted
};

// Makes an http::ServerSession over an accepted connection. Takes the connection's events.
net::DeferredPtr<http::ServerSession> make_server_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ServerSessionEvents& events);
// Makes an http::ClientSession over a connecting or connected connection.
net::DeferredPtr<http::ClientSession> make_client_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ClientSessionEvents& events);

}  // namespace fairlead::h2
