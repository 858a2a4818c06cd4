// ClusterConfig: a validated Cluster. Immutable, shared between epochs by pointer while its content hash does not change.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/endpoints.h"
#include "dataplane/config/http2.h"
#include "dataplane/config/load_balancing.h"
#include "dataplane/config/support.h"
#include "dataplane/config/tls.h"

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace google::protobuf {
class Struct;
}

namespace fairlead::config {

struct HealthCheck;       // health.h
struct OutlierDetection;

struct CircuitBreaker {
  // Envoy 1.40: 1024 / 1024 / 1024 / 3, connection pools unlimited
  uint32_t max_connections = 1024;
  uint32_t max_pending_requests = 1024;
  uint32_t max_requests = 1024;
  uint32_t max_retries = 3;
  uint32_t max_connection_pools = UINT32_MAX;
  struct RetryBudget {
    double budget_percent = 20.0;      // Envoy 1.40: 20 %
    uint32_t min_retry_concurrency = 3;  // Envoy 1.40: 3
  };
  std::optional<RetryBudget> retry_budget;
};

struct TcpKeepalive {
  uint32_t probes = 0;  // 0: the system's
  std::chrono::seconds time{0};
  std::chrono::seconds interval{0};
};

struct BindConfig {
  std::optional<Address> source_address;  // port 0: any
};

struct Http1UpstreamOptions {
  bool enable_trailers = false;
  bool accept_http_10 = false;
  bool allow_chunked_length = false;
};

// Downstream: HTTP/2 for requests that came so, HTTP/1.1 for the others. Auto: what the endpoint chooses by ALPN.
enum class UpstreamProtocol : uint8_t { Http1, Http2, Downstream, Auto };

// From typed_extension_protocol_options HttpProtocolOptions, or the cluster's own deprecated fields.
struct UpstreamHttpOptions {
  std::optional<milliseconds> idle_timeout{3'600'000};  // Envoy 1.40: 1 h; nullopt: disabled
  std::optional<milliseconds> max_connection_duration;
  double max_connection_duration_jitter = 0;             // percent of it, at most, that a connection may last longer
  std::optional<milliseconds> max_stream_duration;
  uint32_t max_headers_count = 100;        // Envoy 1.40: 100
  uint32_t max_response_headers_kb = 80;   // Envoy 1.40: 80 KiB
  uint32_t max_requests_per_connection = 0;  // 0: no limit
  UpstreamProtocol protocol = UpstreamProtocol::Http1;  // Envoy 1.40: HTTP/1.1, even for requests over HTTP/2
  Http1UpstreamOptions http1;
  Http2Options http2;
  // The TLS of a request's connection takes names from the request: its host, or what a header of it says.
  bool auto_sni = false;             // the SNI, unless it is an IP address
  bool auto_san_validation = false;  // what the server's certificate must be for
  std::string auto_sni_header;       // lower case; empty, or not in the request: the host
};

// How connects to several addresses of one endpoint are raced: `count` of the first family, one of the other, and so on.
struct HappyEyeballs {
  enum class Family : uint8_t { OfFirst, V4, V6 };
  Family first = Family::OfFirst;  // Envoy 1.40: that of the first address
  uint32_t count = 1;              // Envoy 1.40: 1
};

// The PROXY protocol's header before the first byte of each connection.
struct ProxyProtocol {
  bool v2 = false;
  std::vector<std::pair<uint8_t, std::string>> tlvs;  // v2
};

// Hosts are what requests name.
struct OriginalDst {
  std::string header;                          // empty: no header names a host
  std::string metadata_filter;                 // dynamic metadata; empty: none names a host
  std::vector<std::string> metadata_path;
  std::optional<uint16_t> port;                // instead of the one named
  milliseconds cleanup_interval{5000};         // Envoy 1.40: 5 s, Cluster.cleanup_interval
};

// What connections to some endpoints begin with in place of the cluster's own transport socket.
struct TransportMatch {
  std::string name;
  std::shared_ptr<const google::protobuf::Struct> criteria;  // all of it must stand in the endpoint's metadata envoy.transport_socket_match
  std::shared_ptr<const UpstreamTls> tls;                    // null: plain
};

struct ClusterConfig {
  enum class Discovery : uint8_t { Static, StrictDns, LogicalDns, Eds };
  enum class DnsFamily : uint8_t { Auto, V4Only, V6Only, V4Preferred, All };

  std::string name;
  std::string alt_stat_name;   // empty: name
  Discovery discovery = Discovery::Static;
  std::string eds_service_name;  // never empty for EDS: service_name, else name
  std::optional<ConfigSource> eds_source;
  std::shared_ptr<const EndpointSet> endpoints;  // Static: final; DNS: the names to resolve; Eds: null

  milliseconds connect_timeout{5000};                     // Envoy 1.40: 5 s
  uint32_t per_connection_buffer_limit = 1024 * 1024;     // Envoy 1.40: 1 MiB
  LoadBalancing lb;
  bool close_connections_on_host_set_change = false;

  std::shared_ptr<const HealthCheck> health_check;        // null: none
  std::shared_ptr<const OutlierDetection> outlier;        // null: none
  bool ignore_new_hosts_until_first_check = false;
  bool ignore_health_on_host_removal = false;

  std::array<CircuitBreaker, 2> breakers;                 // [0] DEFAULT, [1] HIGH
  UpstreamHttpOptions http;
  milliseconds dns_refresh_rate{5000};                    // Envoy 1.40: 5 s
  std::optional<std::pair<milliseconds, milliseconds>> dns_failure_refresh;  // base, max; unset: dns_refresh_rate
  milliseconds dns_jitter{0};
  bool respect_dns_ttl = false;
  DnsFamily dns_family = DnsFamily::Auto;                 // Envoy 1.40: AUTO (v6, then v4)
  std::optional<TcpKeepalive> keepalive;
  std::optional<BindConfig> bind;
  HappyEyeballs happy_eyeballs;
  std::shared_ptr<const ProxyProtocol> proxy_protocol;    // null: none
  std::shared_ptr<const UpstreamTls> tls;                 // null: plain
  std::vector<TransportMatch> transport_matches;          // the first that matches; none: `tls`
  std::vector<std::string> load_metrics;                  // lrs_report_endpoint_metrics
  std::shared_ptr<const OriginalDst> original_dst;        // null: hosts are those of `discovery`; else Static without any
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata;
  uint64_t content_hash = 0;

  const std::string& stat_name() const { return alt_stat_name.empty() ? name : alt_stat_name; }
  // Of an endpoint with that metadata (may be null); null: plain.
  const std::shared_ptr<const UpstreamTls>& tls_for(const envoy::config::core::v3::Metadata* metadata) const;
  // Calls `visit` with each TLS context.
  template <class Visit>
  void each_tls(const Visit& visit) const {
    if (tls != nullptr) visit(*tls);
    for (const TransportMatch& match : transport_matches)
      if (match.tls != nullptr) visit(*match.tls);
  }
};

// Validates (base/validate.h), checks support and builds. All problems at once, each "cluster 'x': field.path: what (value)".
absl::StatusOr<std::shared_ptr<const ClusterConfig>> parse_cluster(const envoy::config::cluster::v3::Cluster& proto,
                                                                   SupportFindings* findings = nullptr, const TlsSources& sources = {});

}  // namespace fairlead::config
