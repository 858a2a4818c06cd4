// HcmConfig: a validated HttpConnectionManager. Immutable; owned by the filter chain of a ListenerConfig.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/access_log.h"
#include "dataplane/config/address.h"
#include "dataplane/config/extension.h"
#include "dataplane/config/http2.h"
#include "dataplane/config/ip_detection.h"
#include "dataplane/config/registry.h"
#include "dataplane/config/tls.h"
#include "dataplane/router/header_changes.h"
#include "dataplane/router/route_table.h"

namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}

namespace fairlead::config {

struct HttpFilterEntry {
  std::string name;                // configured name: the key of typed_per_filter_config
  const HttpFilterType* type = nullptr;             // null for one that is discovered
  std::shared_ptr<const FilterConfig> config;
  bool disabled = false;           // may be enabled per route
  std::shared_ptr<const FilterDiscovery> discovery = nullptr;
};

struct RouteSource {
  std::shared_ptr<const router::RouteTable> inline_table;  // or
  std::string rds_name;
  std::optional<ConfigSource> rds_source;
};

struct LocalReplyMapper {
  AccessLogFilter filter;
  std::optional<uint32_t> status_code;
  std::optional<std::string> body;
  std::optional<std::variant<format::Formatter, format::JsonFormatter>> body_format;
  std::string content_type;  // of body_format; empty: by its kind
  router::HeaderOps headers;
};

struct LocalReplyConfig {
  std::vector<LocalReplyMapper> mappers;  // first match
  std::optional<std::variant<format::Formatter, format::JsonFormatter>> body_format;
  std::string content_type;
};

// What becomes of x-forwarded-client-cert: forward_client_cert_details. All but AlwaysForwardOnly remove it where the client has shown no certificate.
enum class ClientCertHeader : uint8_t { Sanitize, ForwardOnly, AppendForward, SanitizeSet, AlwaysForwardOnly };
// What is told of the client's certificate beside its hash: set_current_client_cert_details.
struct ClientCertDetails {
  bool subject = false, cert = false, chain = false, dns = false, uri = false;
};

struct HcmConfig {
  enum class Codec : uint8_t { Auto, Http1, Http2 };
  enum class ServerHeader : uint8_t { Overwrite, AppendIfAbsent, PassThrough };
  enum class EscapedSlashes : uint8_t { KeepUnchanged, RejectRequest, UnescapeAndRedirect, UnescapeAndForward };
  enum class HeadersWithUnderscores : uint8_t { Allow, RejectRequest, DropHeader };

  std::string stat_prefix;
  Codec codec = Codec::Auto;
  RouteSource routes;
  std::vector<HttpFilterEntry> http_filters;  // decode order; the last is terminal
  std::vector<AccessLogConfig> access_logs;
  bool flush_access_log_on_new_request = false;
  std::optional<milliseconds> access_log_flush_interval;

  // 0 or unset = off
  milliseconds idle_timeout{3'600'000};             // Envoy 1.40: 1 h, common_http_protocol_options.idle_timeout
  milliseconds stream_idle_timeout{300'000};        // Envoy 1.40: 5 min
  milliseconds request_timeout{0};
  milliseconds request_headers_timeout{0};
  milliseconds max_connection_duration{0};
  double max_connection_duration_jitter = 0;        // percent of it, at most, that a connection may last longer
  bool http1_safe_max_connection_duration = false;  // only the next response ends a connection that old
  milliseconds max_stream_duration{0};
  milliseconds delayed_close_timeout{1000};         // Envoy 1.40: 1 s

  uint32_t max_request_headers_kb = 60;             // Envoy 1.40: 60 KiB
  uint32_t max_headers_count = 100;                 // Envoy 1.40: 100
  uint32_t max_requests_per_connection = 0;         // 0: no limit
  HeadersWithUnderscores headers_with_underscores = HeadersWithUnderscores::Allow;

  std::string server_name = "envoy";                // Envoy 1.40: "envoy"
  ServerHeader server_header = ServerHeader::Overwrite;
  std::string scheme_to_overwrite;                  // empty: keep
  bool scheme_match_upstream = false;
  std::string via;
  bool use_remote_address = false;
  uint32_t xff_num_trusted_hops = 0;
  bool skip_xff_append = false;
  std::vector<IpDetection> ip_detections;           // instead of xff_num_trusted_hops; not with use_remote_address
  std::vector<matching::Cidr> internal_cidrs;       // internal_address_config; none: nobody is internal
  bool internal_unix_sockets = false;
  ClientCertHeader client_cert_header = ClientCertHeader::Sanitize;  // Envoy 1.40: SANITIZE, x-forwarded-client-cert of requests is removed
  ClientCertDetails client_cert_details;
  router::HeaderChanges early_header_changes;       // of all early_header_mutation_extensions: before anything else looks at a request's headers
  bool append_x_forwarded_port = false;
  bool append_local_overload = false;
  bool generate_request_id = true;                  // Envoy 1.40: true
  bool preserve_external_request_id = false;
  bool always_set_request_id_in_response = false;
  bool represent_ipv4_remote_address_as_ipv4_mapped_ipv6 = false;
  bool add_user_agent = false;                      // from the node's cluster, with x-envoy-downstream-service-cluster

  bool normalize_path = false;                      // Envoy 1.40: off without the runtime key http_connection_manager.normalize_path
  bool merge_slashes = false;
  EscapedSlashes escaped_slashes = EscapedSlashes::KeepUnchanged;
  bool strip_matching_host_port = false;
  bool strip_any_host_port = false;
  bool strip_trailing_host_dot = false;

  bool proxy_100_continue = false;
  std::vector<router::UpgradeOption> upgrades;

  bool allow_absolute_url = true;                   // Envoy 1.40: true
  bool accept_http_10 = false;
  std::string default_host_for_http_10;
  bool enable_trailers = false;
  bool allow_chunked_length = false;

  Http2Options http2;
  milliseconds drain_timeout{5000};                 // Envoy 1.40: 5 s, between the two GOAWAYs of HTTP/2; what an idle HTTP/1 connection still has
  std::optional<milliseconds> stream_flush_timeout; // Envoy 1.40: stream_idle_timeout

  std::optional<LocalReplyConfig> local_reply;
};

struct HcmOptions {
  const Registry* registry = nullptr;               // null: the global one
  std::function<bool(std::string_view)> knows_cluster;  // for validate_clusters of inline routes
  std::vector<std::string>* warnings = nullptr;
  router::FileReader read_file;                     // unset: texts from files and the environment are not looked at
  std::shared_ptr<const StaticSecrets> secrets;     // of the bootstrap; null: none
  std::shared_ptr<DiscoveredSecrets> discovered = nullptr;  // TlsSources::discovered

  const Registry& extensions() const { return registry != nullptr ? *registry : Registry::global(); }
};

absl::StatusOr<std::shared_ptr<const HcmConfig>> parse_hcm(
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& proto, const std::string& field,
    const HcmOptions& options);

// CompileOptions for a table that serves `http_filters` (checks typed_per_filter_config against the registry).
router::CompileOptions route_options(const HcmOptions& options, bool inline_table);

}  // namespace fairlead::config
