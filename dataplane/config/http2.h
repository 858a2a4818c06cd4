// Http2Options: Http2ProtocolOptions as the codec needs them, of a connection manager or of a cluster. Immutable, plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "dataplane/config/address.h"

namespace envoy::config::core::v3 {
class Http2ProtocolOptions;
}

namespace fairlead::config {

struct Http2Options {
  uint32_t hpack_table_size = 4096;                    // Envoy 1.40: 4096
  uint32_t max_concurrent_streams = 1024;              // Envoy 1.40: 1024
  uint32_t initial_stream_window_size = 16 << 20;      // Envoy 1.40: 16 MiB
  uint32_t initial_connection_window_size = 24 << 20;  // Envoy 1.40: 24 MiB
  bool allow_connect = false;                          // extended CONNECT (RFC 8441)
  uint32_t max_outbound_frames = 10000;                // Envoy 1.40: 10000
  uint32_t max_outbound_control_frames = 1000;         // Envoy 1.40: 1000
  uint32_t max_consecutive_inbound_frames_with_empty_payload = 1;      // Envoy 1.40: 1
  uint32_t max_inbound_priority_frames_per_stream = 100;               // Envoy 1.40: 100
  uint32_t max_inbound_window_update_frames_per_data_frame_sent = 10;  // Envoy 1.40: 10
  bool stream_error_on_invalid_http_message = false;
  milliseconds keepalive_interval{0};       // 0: no PINGs
  milliseconds keepalive_timeout{0};
  uint32_t keepalive_jitter_percent = 15;   // Envoy 1.40: 15 %
  milliseconds keepalive_idle_interval{0};  // 0: never
};

// `stream_error`: what override_stream_error_on_invalid_http_message is when it is not set.
Http2Options parse_http2(const envoy::config::core::v3::Http2ProtocolOptions& proto, bool stream_error, const std::string& field, ErrorList& errors);

}  // namespace fairlead::config
