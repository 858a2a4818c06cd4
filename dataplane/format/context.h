// FormatContext: everything a stream knows that a formatter operator may print. A plain view, filled by the stream
// when a log line or a header value is rendered, on that stream's worker; all views must outlive the call.
// An empty view, an unset time or a null pointer prints as "-" in text and null in JSON.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/format/response_flags.h"

namespace envoy::config::core::v3 {
class Metadata;
}
namespace fairlead::http {
class HeaderMap;
}
namespace fairlead::tls {
struct ConnectionFacts;
}

namespace fairlead::format {

// Instants of a stream, each stored as the time since FormatContext::start. Names are those of COMMON_DURATION.
enum class TimePoint : uint8_t {
  DownstreamRxBegin,     // DS_RX_BEG: request headers arrived (always 0)
  DownstreamRxEnd,       // DS_RX_END: last byte of the request
  UpstreamConnectBegin,  // US_CX_BEG
  UpstreamConnectEnd,    // US_CX_END
  UpstreamHandshakeEnd,  // US_HS_END
  UpstreamTxBegin,       // US_TX_BEG: first byte sent upstream
  UpstreamTxEnd,         // US_TX_END
  UpstreamRxBegin,       // US_RX_BEG: first byte of the response
  UpstreamRxBodyBegin,   // US_RX_BODY_BEG: first byte of the response body
  UpstreamRxEnd,         // US_RX_END
  DownstreamTxBegin,     // DS_TX_BEG: first byte sent downstream
  DownstreamTxEnd,       // DS_TX_END
  StreamEnd,             // the whole duration, DURATION
  Count
};

class TimeLine {
 public:
  void set(TimePoint point, std::chrono::nanoseconds since_start) { at_[static_cast<size_t>(point)] = since_start.count(); }
  std::optional<std::chrono::nanoseconds> get(TimePoint point) const {
    const int64_t v = at_[static_cast<size_t>(point)];
    if (v < 0) return std::nullopt;
    return std::chrono::nanoseconds(v);
  }
  void reset() { at_.fill(-1); }
  TimeLine() { reset(); }

 private:
  std::array<int64_t, static_cast<size_t>(TimePoint::Count)> at_;
};

struct ByteCounts {
  uint64_t body_received = 0;    // BYTES_RECEIVED
  uint64_t body_sent = 0;        // BYTES_SENT
  uint64_t downstream_wire_received = 0;
  uint64_t downstream_wire_sent = 0;
  uint64_t downstream_header_received = 0;
  uint64_t downstream_header_sent = 0;
  uint64_t upstream_wire_received = 0;
  uint64_t upstream_wire_sent = 0;
  uint64_t upstream_header_received = 0;
  uint64_t upstream_header_sent = 0;
};

enum class LogType : uint8_t {
  NotSet, TcpUpstreamConnected, TcpPeriodic, TcpConnectionStart, TcpConnectionEnd, DownstreamStart, DownstreamPeriodic, DownstreamEnd,
  UpstreamPoolReady, UpstreamPeriodic, UpstreamEnd, DownstreamTunnelSuccessfullyEstablished, UdpTunnelUpstreamConnected,
  UdpPeriodic, UdpSessionEnd
};

struct FormatContext {
  const http::HeaderMap* request_headers = nullptr;
  const http::HeaderMap* response_headers = nullptr;
  const http::HeaderMap* response_trailers = nullptr;

  std::chrono::system_clock::time_point start{};
  std::chrono::system_clock::time_point now{};  // EMIT_TIME; left out: the time of rendering
  TimeLine times;
  ByteCounts bytes;

  uint32_t response_code = 0;  // 0: none was sent, printed as 0
  ResponseFlags flags;
  std::string_view response_code_details;
  std::string_view connection_termination_details;
  std::string_view protocol;           // "HTTP/1.1"
  std::string_view upstream_protocol;  // "HTTP/1.1"
  LogType log_type = LogType::NotSet;

  std::string_view route_name;
  std::string_view virtual_cluster_name;
  std::string_view upstream_cluster;      // alt_stat_name when there is one
  std::string_view upstream_cluster_raw;  // the configured name
  std::string_view upstream_host;         // "10.0.0.1:80", the chosen endpoint's address
  std::string_view upstream_host_name;    // the endpoint's hostname; its address when it has none
  std::string_view upstream_local_address;
  std::string_view upstream_remote_address;  // of the connection; the same as upstream_host without a tunnel
  std::string_view upstream_transport_failure_reason;
  uint32_t upstream_attempts = 0;            // UPSTREAM_REQUEST_ATTEMPT_COUNT
  std::optional<uint64_t> upstream_connection_id;
  std::string_view upstream_hosts_attempted;  // comma separated

  // "ip:port", or the path of a Unix socket
  std::string_view downstream_remote_address;         // after XFF
  std::string_view downstream_direct_remote_address;  // the peer of the connection
  std::string_view downstream_local_address;
  std::string_view downstream_direct_local_address;
  std::string_view downstream_transport_failure_reason;
  std::string_view downstream_detected_close_type = "Normal";  // or "RemoteReset", "LocalReset"; Envoy 1.40: of HTTP without TLS always Normal
  std::string_view downstream_local_close_reason;              // why this proxy has closed the connection
  std::string_view requested_server_name;
  std::string_view tls_ja3, tls_ja4;  // fingerprints of the client's greeting, where tls_inspector was asked for them
  std::optional<uint64_t> connection_id;
  std::string_view stream_id;  // x-request-id as the upstream sees it
  std::string_view filter_chain_name;
  std::string_view listener_name;
  std::string_view trace_id;
  std::string_view span_id;
  std::string_view local_reply_body;  // only inside local_reply_config

  const tls::ConnectionFacts* downstream_tls = nullptr;  // null: plain
  const tls::ConnectionFacts* upstream_tls = nullptr;

  const envoy::config::core::v3::Metadata* dynamic_metadata = nullptr;
  const envoy::config::core::v3::Metadata* route_metadata = nullptr;
  const envoy::config::core::v3::Metadata* cluster_metadata = nullptr;
  const envoy::config::core::v3::Metadata* upstream_host_metadata = nullptr;
  const envoy::config::core::v3::Metadata* virtual_host_metadata = nullptr;
  const envoy::config::core::v3::Metadata* listener_metadata = nullptr;
  const std::map<std::string, std::string, std::less<>>* filter_state = nullptr;
};

}  // namespace fairlead::format
