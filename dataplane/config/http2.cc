// Http2ProtocolOptions → Http2Options; see http2.h.
#include "dataplane/config/http2.h"

#include "dataplane/config/fields.h"
#include "envoy/config/core/v3/protocol.pb.h"

namespace fairlead::config {
namespace {

void take(bool given, const google::protobuf::UInt32Value& from, uint32_t& to) {
  if (given) to = from.value();
}

}  // namespace

Http2Options parse_http2(const envoy::config::core::v3::Http2ProtocolOptions& proto, bool stream_error, const std::string& field, ErrorList& errors) {
  Http2Options out;
  take(proto.has_hpack_table_size(), proto.hpack_table_size(), out.hpack_table_size);
  take(proto.has_max_concurrent_streams(), proto.max_concurrent_streams(), out.max_concurrent_streams);
  take(proto.has_initial_stream_window_size(), proto.initial_stream_window_size(), out.initial_stream_window_size);
  take(proto.has_initial_connection_window_size(), proto.initial_connection_window_size(), out.initial_connection_window_size);
  out.allow_connect = proto.allow_connect();
  take(proto.has_max_outbound_frames(), proto.max_outbound_frames(), out.max_outbound_frames);
  take(proto.has_max_outbound_control_frames(), proto.max_outbound_control_frames(), out.max_outbound_control_frames);
  take(proto.has_max_consecutive_inbound_frames_with_empty_payload(), proto.max_consecutive_inbound_frames_with_empty_payload(),
       out.max_consecutive_inbound_frames_with_empty_payload);
  take(proto.has_max_inbound_priority_frames_per_stream(), proto.max_inbound_priority_frames_per_stream(), out.max_inbound_priority_frames_per_stream);
  take(proto.has_max_inbound_window_update_frames_per_data_frame_sent(), proto.max_inbound_window_update_frames_per_data_frame_sent(),
       out.max_inbound_window_update_frames_per_data_frame_sent);
  out.stream_error_on_invalid_http_message = stream_error;
  if (proto.has_override_stream_error_on_invalid_http_message()) {
    out.stream_error_on_invalid_http_message = proto.override_stream_error_on_invalid_http_message().value();
  }
  if (!proto.has_connection_keepalive()) return out;
  const auto& keepalive = proto.connection_keepalive();
  if (keepalive.has_interval()) out.keepalive_interval = ms(keepalive.interval());
  if (keepalive.has_timeout()) out.keepalive_timeout = ms(keepalive.timeout());
  if (keepalive.has_connection_idle_interval()) out.keepalive_idle_interval = ms(keepalive.connection_idle_interval());
  if (keepalive.has_interval_jitter()) out.keepalive_jitter_percent = static_cast<uint32_t>(keepalive.interval_jitter().value());
  if (!keepalive.has_timeout()) errors.add(field + ".connection_keepalive.timeout", "value is required");
  return out;
}

}  // namespace fairlead::config
