// See http2_codec.h.
#include "dataplane/upstream/pool/http2_codec.h"

#include <algorithm>

namespace fairlead::upstream {

h2::Settings http2_settings(const config::Http2Options& options) {
  h2::Settings settings;
  settings.hpack_table_size = options.hpack_table_size;
  settings.max_concurrent_streams = options.max_concurrent_streams;
  settings.initial_stream_window_size = options.initial_stream_window_size;
  // Envoy 1.40: the window bounds what a stream holds back, in both directions. Ours only lowers what we hold anyway.
  settings.stream_buffer_limit = std::min(settings.stream_buffer_limit, options.initial_stream_window_size);
  settings.initial_connection_window_size = options.initial_connection_window_size;
  settings.allow_connect = options.allow_connect;
  settings.max_outbound_frames = options.max_outbound_frames;
  settings.max_outbound_control_frames = options.max_outbound_control_frames;
  settings.max_consecutive_inbound_frames_with_empty_payload = options.max_consecutive_inbound_frames_with_empty_payload;
  settings.max_inbound_priority_frames_per_stream = options.max_inbound_priority_frames_per_stream;
  settings.max_inbound_window_update_frames_per_data_frame_sent = options.max_inbound_window_update_frames_per_data_frame_sent;
  settings.stream_error_on_invalid_http_message = options.stream_error_on_invalid_http_message;
  settings.keepalive_interval = options.keepalive_interval;
  settings.keepalive_timeout = options.keepalive_timeout;
  settings.keepalive_jitter_percent = options.keepalive_jitter_percent;
  settings.keepalive_idle_interval = options.keepalive_idle_interval;
  return settings;
}

}  // namespace fairlead::upstream
