// What a compiled route table is made of: virtual hosts, routes and their actions as plain immutable structs.
// Owned by the RouteTable; a stream keeps pointers into it while it pins the table. Everything optional is std::optional,
// durations of 0 keep Envoy's meaning "off" and are stored as 0.
// Among ten thousand virtual hosts each request meets another host and route, in no cache: what a host and a route have of their own is
// kept within one and two cache lines, and what most leave out or share (an action but for its cluster, headers, limits) is behind references
// to objects that are the same for all of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/matching/metadata_matcher.h"
#include "dataplane/router/header_ops.h"

namespace envoy::config::core::v3 {
class Metadata;
}

namespace fairlead::router {

using std::chrono::milliseconds;

// The parsed form of one typed_per_filter_config entry; each filter derives its own.
struct PerFilterConfig {
  virtual ~PerFilterConfig() = default;
};

struct CorsPolicy;       // cors.h
struct RateLimitPolicy;  // rate_limit.h
using RateLimitPolicies = std::shared_ptr<const std::vector<RateLimitPolicy>>;  // null: none

struct PerFilter {
  std::string name;  // the filter's configured name, not its type URL
  bool disabled = false;
  std::shared_ptr<const PerFilterConfig> config;  // null when only `disabled` was said
};

// Bits of RetryPolicy.retry_on.
enum class RetryOn : uint32_t {
  FiveXx = 1 << 0, GatewayError = 1 << 1, Reset = 1 << 2, ResetBeforeRequest = 1 << 3, ConnectFailure = 1 << 4,
  EnvoyRateLimited = 1 << 5, Retriable4xx = 1 << 6, RefusedStream = 1 << 7, RetriableStatusCodes = 1 << 8,
  RetriableHeaders = 1 << 9, Http3PostConnectFailure = 1 << 10,
  GrpcCancelled = 1 << 16, GrpcDeadlineExceeded = 1 << 17, GrpcResourceExhausted = 1 << 18, GrpcUnavailable = 1 << 19, GrpcInternal = 1 << 20,
};

// Parses a comma separated retry_on (also the x-envoy-retry-on and x-envoy-retry-grpc-on headers).
// Unknown tokens are skipped, as in Envoy, and appended to `unknown` when given.
uint32_t parse_retry_on(std::string_view text, std::vector<std::string>* unknown = nullptr);

struct RateLimitedBackOff {
  struct Header {
    std::string name;  // lower case
    bool unix_timestamp = false;  // else seconds
  };
  std::vector<Header> reset_headers;
  milliseconds max_interval{300'000};  // Envoy 1.40: 300 s
};

struct RetryPolicy {
  uint32_t retry_on = 0;
  uint32_t num_retries = 1;             // Envoy 1.40: 1
  milliseconds per_try_timeout{0};      // 0: the route timeout
  milliseconds per_try_idle_timeout{0};
  milliseconds base_interval{25};       // Envoy 1.40: 25 ms
  milliseconds max_interval{250};       // Envoy 1.40: 10 × base
  std::vector<uint32_t> retriable_status_codes;
  std::vector<matching::HeaderMatcher> retriable_headers;
  std::vector<matching::HeaderMatcher> retriable_request_headers;
  bool previous_hosts_predicate = false;          // envoy.retry_host_predicates.previous_hosts
  bool omit_canary_hosts = false;                 // …omit_canary_hosts
  std::vector<std::shared_ptr<const envoy::config::core::v3::Metadata>> omit_host_metadata;  // …omit_host_metadata: metadata_match of each
  uint32_t previous_priorities_frequency = 0;     // envoy.retry_priorities.previous_priorities: update_frequency; 0: not configured
  uint32_t host_selection_max_attempts = 1;       // Envoy 1.40: 1
  std::optional<RateLimitedBackOff> rate_limited_back_off;

  bool has(RetryOn bit) const { return (retry_on & static_cast<uint32_t>(bit)) != 0; }
};

// One part of a hash_policy; see hash_policy.h.
struct HashMethod {
  enum class Kind : uint8_t { Header, Cookie, SourceIp, Query };
  Kind kind = Kind::Header;
  bool terminal = false;
  std::string name;                  // of the header (lower case), cookie or query parameter
  std::optional<matching::Regex> regex;
  std::string substitution;
  std::optional<std::chrono::seconds> ttl;  // set: a cookie that is missing is made; 0: for the session
  std::string attributes;            // "; Path=/a; Secure"
};

struct MirrorPolicy {
  std::string cluster;
  std::string cluster_header;  // lower case; one of the two is set
  std::optional<matching::Fraction> fraction;  // unset: every request
  bool disable_shadow_host_suffix = false;
  std::string host_rewrite_literal;
};

struct HostRewrite {
  enum class Kind : uint8_t { None, Literal, Auto, Header, PathRegex };
  Kind kind = Kind::None;
  std::string text;  // literal, or lower-case header name
  std::optional<matching::Regex> regex;
  std::string substitution;
  bool append_x_forwarded_host = false;
};

struct PathRewrite {
  enum class Kind : uint8_t { None, Prefix, Regex };
  Kind kind = Kind::None;
  std::string prefix;
  std::optional<matching::Regex> regex;
  std::string substitution;
};

struct WeightedCluster {
  std::string name;
  std::string cluster_header;  // lower case; one of the two is set
  uint32_t weight = 0;
  uint64_t cumulative = 0;     // sum of the weights up to and including this one
  HeaderOps request_headers, response_headers;
  std::string host_rewrite_literal;
  std::vector<PerFilter> per_filter;
};

struct UpgradeOption {
  std::string type;  // lower case: "websocket", "connect"
  bool enabled = true;
};

struct MaxStreamDuration {
  std::optional<milliseconds> max_stream_duration;      // 0 disables the connection manager's
  std::optional<milliseconds> grpc_timeout_header_max;  // 0: no limit on grpc-timeout
  std::optional<milliseconds> grpc_timeout_header_offset;
};

// RouteAction.internal_redirect_policy: which responses the proxy follows itself; see internal_redirect.h.
struct InternalRedirectPolicy {
  std::vector<uint32_t> codes{302};                       // Envoy 1.40: 302
  uint32_t max_redirects = 1;                             // Envoy 1.40: 1, of one request
  bool cross_scheme = false;                              // http may lead to https and the other way round
  std::vector<std::string> copied_headers;                // of the response into the request, lower case
  std::vector<std::vector<std::string>> allowed_routes;   // …allow_listed_routes: each must name the target
  bool previous_routes = false;                           // …previous_routes: no target twice from one route
  bool safe_cross_scheme = false;                         // …safe_cross_scheme: never from http to https
};

// UpgradeConfig.connect_config: a CONNECT ends here, and its bytes go to the cluster as they are.
struct ConnectConfig {
  enum class ProxyHeader : uint8_t { None, V1, V2 };
  bool allow_post = false;                                // the body of a POST, too
  ProxyHeader proxy_header = ProxyHeader::None;           // before the first byte
  std::vector<std::pair<uint8_t, std::string>> tlvs;      // in it, of V2
};

// What forwarding takes beside the cluster. Routes of a table whose configurations differ in the cluster alone share one.
struct RouteAction {
  std::string cluster_header;                     // lower case
  std::vector<WeightedCluster> weighted;          // one of the two is set, or Route::cluster
  std::string weighted_random_header;             // weighted_clusters.header_name, lower case
  bool weighted_by_hash = false;                  // weighted_clusters.use_hash_policy
  uint64_t total_weight = 0;
  uint32_t cluster_not_found_code = 503;          // Envoy 1.40: 503
  PathRewrite path_rewrite;
  HostRewrite host_rewrite;
  milliseconds timeout{15'000};                   // Envoy 1.40: 15 s; 0 = none
  std::optional<milliseconds> idle_timeout;       // replaces the connection manager's stream_idle_timeout
  MaxStreamDuration max_stream_duration;
  std::optional<RetryPolicy> retry_policy;        // the route's, else its virtual host's, else the table's
  std::vector<MirrorPolicy> mirrors;              // first non-empty level of route, virtual host, table
  std::vector<UpgradeOption> upgrades;
  std::optional<ConnectConfig> connect;
  std::shared_ptr<const InternalRedirectPolicy> internal_redirects;  // null: all responses go to the client
  bool high_priority = false;
  std::vector<HashMethod> hash_policy;
  std::shared_ptr<const CorsPolicy> cors;
  RateLimitPolicies rate_limits;

  static const RouteAction& none();               // of routes that do not forward
};

struct RedirectAction {
  uint32_t code = 301;  // Envoy 1.40: MOVED_PERMANENTLY
  std::string scheme;   // empty: the request's
  bool https = false;
  std::string host;     // empty: the request's
  uint32_t port = 0;    // 0: by scheme
  enum class Path : uint8_t { Keep, Replace, Prefix, Regex };
  Path path_kind = Path::Keep;
  std::string path;     // replacement, prefix
  std::optional<matching::Regex> regex;
  std::string substitution;
  bool strip_query = false;
};

struct DirectResponse {
  uint32_t status = 200;
  std::string body;
};

enum class TlsRequirement : uint8_t { None, ExternalOnly, All };

// Text is the table's.
struct PathMatch {
  enum class Kind : uint8_t { Prefix, Exact, Regex, SeparatedPrefix, Connect };
  std::string_view text;  // path, prefix or pattern
  const matching::Regex* regex = nullptr;
  Kind kind = Kind::Prefix;
  bool case_sensitive = true;
};

// What a route asks of a request beside its path.
struct RouteConditions {
  std::vector<matching::HeaderMatcher> headers;
  std::vector<matching::QueryMatcher> query;
  std::vector<matching::CookieMatcher> cookies;
  std::vector<matching::MetadataMatcher> metadata;  // of the request, or its connection
  std::optional<bool> client_certificate_presented, client_certificate_validated;  // tls_context
  bool grpc = false;
  std::optional<matching::Fraction> fraction;
};

// What few routes have.
struct RouteExtras {
  HeaderOps request_headers, response_headers;
  std::vector<PerFilter> per_filter;
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata;
  std::optional<uint64_t> retry_buffer_limit;  // per_request_buffer_limit_bytes / request_body_buffer_limit; unset: the virtual host's
  DirectResponse direct;                       // when the action is Direct
  RedirectAction redirect;                     // when Redirect

  static const RouteExtras& none();
};

// All that it points to is its table's. Within two cache lines: look before you add something that extras could hold.
struct alignas(32) Route {
  enum class Action : uint8_t { Forward, Redirect, Direct, NonForwarding };
  Route(const RouteAction& with_forward, const RouteExtras& with_extras) : forward(with_forward), extras(with_extras) {}

  PathMatch path;
  std::string_view cluster;    // when the action is Forward, to one cluster that the configuration names
  const RouteAction& forward;  // when Forward
  const RouteExtras& extras;
  std::string_view name;
  const RouteConditions* conditions = nullptr;  // null: none
  uint32_t index = 0;          // position in its virtual host
  Action action = Action::Forward;

  std::string describe() const;  // `prefix "/api", header x-a exact "1"`
};
static_assert(sizeof(Route) == 96);

// What few virtual hosts have.
struct VirtualHostExtras {
  HeaderOps request_headers, response_headers;
  std::vector<PerFilter> per_filter;
  std::optional<uint64_t> retry_buffer_limit;
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata;
  std::shared_ptr<const CorsPolicy> cors;
  RateLimitPolicies rate_limits;

  static const VirtualHostExtras& none();
};

struct alignas(64) VirtualHost {
  explicit VirtualHost(const VirtualHostExtras& with_extras) : extras(with_extras) {}

  std::span<const Route> routes;
  const VirtualHostExtras& extras;
  std::string_view name;
  std::span<const std::string_view> domains;  // as configured
  TlsRequirement require_tls = TlsRequirement::None;
  bool include_request_attempt_count = false;
  bool include_attempt_count_in_response = false;
  bool include_is_timeout_retry_header = false;
};
static_assert(sizeof(VirtualHost) == 64);

}  // namespace fairlead::router
