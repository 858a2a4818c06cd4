// Cluster → ClusterConfig; see cluster.h. Protocol options and the control plane's transport are in cluster_http.cc,
// load balancing in cluster_lb.cc.
#include "dataplane/config/cluster.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/cluster_http.h"
#include "dataplane/config/cluster_lb.h"
#include "dataplane/config/fields.h"
#include "dataplane/config/health.h"
#include "envoy/config/cluster/v3/cluster.pb.h"

namespace fairlead::config {
namespace cluster_v3 = envoy::config::cluster::v3;
namespace {

void parse_original_dst(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  if (proto.lb_policy() != cluster_v3::Cluster::CLUSTER_PROVIDED || proto.has_load_balancing_policy()) {
    errors.add("lb_policy", absl::StrCat("cluster: LB policy ", cluster_v3::Cluster::LbPolicy_Name(proto.lb_policy()),
                                         " is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'"));
  }
  if (proto.has_load_assignment()) errors.add("load_assignment", "ORIGINAL_DST clusters must have no load assignment configured");
  if (proto.health_checks_size() != 0) errors.add("health_checks", "not supported: hosts that requests name are not checked");
  const auto& lb = proto.original_dst_lb_config();
  auto original = std::make_shared<OriginalDst>();
  if (lb.use_http_header()) original->header = lb.http_header_name().empty() ? "x-envoy-original-dst-host" : absl::AsciiStrToLower(lb.http_header_name());
  if (!lb.use_http_header() && !lb.http_header_name().empty()) {
    errors.add("original_dst_lb_config", absl::StrCat("ORIGINAL_DST cluster: invalid config http_header_name=", lb.http_header_name(),
                                                      " and use_http_header is false. Set use_http_header to true if http_header_name is desired."));
  }
  original->metadata_filter = lb.metadata_key().key();
  for (const auto& segment : lb.metadata_key().path()) original->metadata_path.push_back(segment.key());
  if (lb.has_upstream_port_override()) original->port = static_cast<uint16_t>(lb.upstream_port_override().value());
  if (proto.has_cleanup_interval()) original->cleanup_interval = ms(proto.cleanup_interval());
  out.original_dst = std::move(original);
  out.endpoints = std::make_shared<EndpointSet>();
}

void parse_discovery(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  if (proto.cluster_discovery_type_case() == cluster_v3::Cluster::kClusterType) {
    errors.add("cluster_type", absl::StrCat("Didn't find a registered cluster factory implementation for name: '", proto.cluster_type().name(), "'"));
    return;
  }
  switch (proto.type()) {
    case cluster_v3::Cluster::STATIC: out.discovery = ClusterConfig::Discovery::Static; break;
    case cluster_v3::Cluster::STRICT_DNS: out.discovery = ClusterConfig::Discovery::StrictDns; break;
    case cluster_v3::Cluster::LOGICAL_DNS: out.discovery = ClusterConfig::Discovery::LogicalDns; break;
    case cluster_v3::Cluster::EDS: out.discovery = ClusterConfig::Discovery::Eds; break;
    case cluster_v3::Cluster::ORIGINAL_DST: break;
    default: errors.add("type", absl::StrCat("not supported: ", cluster_v3::Cluster::DiscoveryType_Name(proto.type()))); return;
  }
  if (out.discovery == ClusterConfig::Discovery::Eds) {
    if (!proto.has_eds_cluster_config()) {
      errors.add("eds_cluster_config", "cannot create an EDS cluster without an EDS config");
      return;
    }
    out.eds_service_name = proto.eds_cluster_config().service_name().empty() ? proto.name() : proto.eds_cluster_config().service_name();
    auto source = parse_config_source(proto.eds_cluster_config().eds_config(), "eds_cluster_config.eds_config");
    if (errors.check(source)) out.eds_source = std::move(*source);
    return;
  }
  if (proto.has_eds_cluster_config()) {
    errors.add("eds_cluster_config", "eds_cluster_config set in a non-EDS cluster");
    return;
  }
  if (proto.type() == cluster_v3::Cluster::ORIGINAL_DST) return parse_original_dst(proto, out, errors);
  auto endpoints = build_endpoints(proto.load_assignment(), out.discovery != ClusterConfig::Discovery::Static, "load_assignment.");
  if (!errors.check(endpoints)) return;
  out.endpoints = std::move(*endpoints);
  if (out.discovery == ClusterConfig::Discovery::LogicalDns && (proto.load_assignment().endpoints_size() != 1 || out.endpoints->size() != 1)) {
    errors.add("load_assignment", "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint");
  }
}

void parse_breakers(const cluster_v3::CircuitBreakers& proto, ClusterConfig& out) {
  std::array<bool, 2> seen{};
  for (const auto& threshold : proto.thresholds()) {
    const size_t which = threshold.priority() == envoy::config::core::v3::HIGH ? 1 : 0;
    if (std::exchange(seen[which], true)) continue;  // Envoy: the first entry of a priority counts
    CircuitBreaker& breaker = out.breakers[which];
    if (threshold.has_max_connections()) breaker.max_connections = threshold.max_connections().value();
    if (threshold.has_max_pending_requests()) breaker.max_pending_requests = threshold.max_pending_requests().value();
    if (threshold.has_max_requests()) breaker.max_requests = threshold.max_requests().value();
    if (threshold.has_max_retries()) breaker.max_retries = threshold.max_retries().value();
    if (threshold.has_max_connection_pools()) breaker.max_connection_pools = threshold.max_connection_pools().value();
    if (threshold.has_retry_budget()) {
      CircuitBreaker::RetryBudget budget;
      if (threshold.retry_budget().has_budget_percent()) budget.budget_percent = threshold.retry_budget().budget_percent().value();
      if (threshold.retry_budget().has_min_retry_concurrency()) {
        budget.min_retry_concurrency = threshold.retry_budget().min_retry_concurrency().value();
      }
      breaker.retry_budget = budget;
    }
  }
}

void parse_dns(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  if (proto.has_dns_refresh_rate()) out.dns_refresh_rate = ms(proto.dns_refresh_rate());
  if (proto.has_dns_jitter()) out.dns_jitter = ms(proto.dns_jitter());
  out.respect_dns_ttl = proto.respect_dns_ttl();
  if (proto.has_dns_failure_refresh_rate()) {
    const milliseconds base = ms(proto.dns_failure_refresh_rate().base_interval());
    const milliseconds most =
        proto.dns_failure_refresh_rate().has_max_interval() ? ms(proto.dns_failure_refresh_rate().max_interval()) : base * 10;
    const bool by_dns = proto.type() == cluster_v3::Cluster::STRICT_DNS || proto.type() == cluster_v3::Cluster::LOGICAL_DNS;
    if (by_dns && most < base) {
      errors.add("dns_failure_refresh_rate", "dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval");
    }
    out.dns_failure_refresh.emplace(base, most);
  }
  if (proto.has_typed_dns_resolver_config()) {
    const auto& resolver = proto.typed_dns_resolver_config();
    errors.add(check_resolver("typed_dns_resolver_config", resolver.name(), resolver.typed_config().type_url()));
  }
  switch (proto.dns_lookup_family()) {
    case cluster_v3::Cluster::V4_ONLY: out.dns_family = ClusterConfig::DnsFamily::V4Only; break;
    case cluster_v3::Cluster::V6_ONLY: out.dns_family = ClusterConfig::DnsFamily::V6Only; break;
    case cluster_v3::Cluster::V4_PREFERRED: out.dns_family = ClusterConfig::DnsFamily::V4Preferred; break;
    case cluster_v3::Cluster::ALL: out.dns_family = ClusterConfig::DnsFamily::All; break;
    default: out.dns_family = ClusterConfig::DnsFamily::Auto;
  }
}

// After the protocol is known.
void parse_health(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  out.health_check = parse_health_check(proto, errors);
  if (out.health_check && out.health_check->kind == HealthCheck::Kind::Grpc && out.http.protocol == UpstreamProtocol::Http1) {
    errors.add("health_checks[0].grpc_health_check", absl::StrCat(proto.name(), " cluster must support HTTP/2 for gRPC healthchecking"));
  }
  auto outlier = parse_outlier_detection(proto, errors);
  if (!out.original_dst) out.outlier = std::move(outlier);  // Envoy 1.40: a host that a request names is taken whatever is known of it
  out.ignore_health_on_host_removal = proto.ignore_health_on_host_removal();
  out.ignore_new_hosts_until_first_check = proto.common_lb_config().ignore_new_hosts_until_first_hc();
}

}  // namespace

absl::StatusOr<BindConfig> parse_bind(const envoy::config::core::v3::BindConfig& proto, const std::string& field) {
  BindConfig bind;
  if (proto.has_source_address()) {
    envoy::config::core::v3::Address address;
    *address.mutable_socket_address() = proto.source_address();
    FL_ASSIGN_OR_RETURN(bind.source_address.emplace(), parse_address(address, field + ".source_address"));
    if (!bind.source_address->is_ip()) {
      return absl::InvalidArgumentError(absl::StrCat(field, ".source_address.address: malformed IP address: ", bind.source_address->host));
    }
  }
  return bind;
}

absl::StatusOr<std::shared_ptr<const ClusterConfig>> parse_cluster(const cluster_v3::Cluster& proto, SupportFindings* findings, const TlsSources& sources) {
  const std::string place = absl::StrCat("cluster '", proto.name(), "'");
  FL_RETURN_IF_ERROR(prefix(place, admit(proto, findings)));
  auto out = std::make_shared<ClusterConfig>();
  ErrorList errors(20);
  out->name = proto.name();
  out->alt_stat_name = proto.alt_stat_name();
  out->content_hash = hash_of(proto);
  parse_discovery(proto, *out, errors);
  if (proto.has_connect_timeout()) out->connect_timeout = ms(proto.connect_timeout());
  if (proto.has_per_connection_buffer_limit_bytes()) out->per_connection_buffer_limit = proto.per_connection_buffer_limit_bytes().value();
  parse_lb(proto, *out, errors);
  parse_breakers(proto.circuit_breakers(), *out);
  parse_dns(proto, *out, errors);
  parse_upstream_http(proto, *out, errors);
  parse_transport(proto, sources, *out, errors);
  const bool any_plain = !out->tls || std::any_of(out->transport_matches.begin(), out->transport_matches.end(), [](const TransportMatch& match) { return match.tls == nullptr; });
  if (out->http.protocol == UpstreamProtocol::Auto && any_plain && errors.empty()) {
    errors.add("typed_extension_protocol_options", absl::StrCat("ALPN configured for cluster ", proto.name(), " which has a non-ALPN transport socket"));
  }
  parse_health(proto, *out, errors);
  if (proto.upstream_connection_options().has_tcp_keepalive()) {
    const auto& keepalive = proto.upstream_connection_options().tcp_keepalive();
    out->keepalive = TcpKeepalive{keepalive.keepalive_probes().value(), std::chrono::seconds(keepalive.keepalive_time().value()),
                                  std::chrono::seconds(keepalive.keepalive_interval().value())};
  }
  if (proto.upstream_connection_options().has_happy_eyeballs_config()) {
    using Config = cluster_v3::UpstreamConnectionOptions;
    const auto& race = proto.upstream_connection_options().happy_eyeballs_config();
    if (race.first_address_family_version() == Config::V4) out->happy_eyeballs.first = HappyEyeballs::Family::V4;
    if (race.first_address_family_version() == Config::V6) out->happy_eyeballs.first = HappyEyeballs::Family::V6;
    if (race.has_first_address_family_count()) out->happy_eyeballs.count = race.first_address_family_count().value();
  }
  if (proto.has_upstream_bind_config()) {
    auto bind = parse_bind(proto.upstream_bind_config(), "upstream_bind_config");
    if (errors.check(bind)) out->bind = std::move(*bind);
  }
  out->load_metrics.assign(proto.lrs_report_endpoint_metrics().begin(), proto.lrs_report_endpoint_metrics().end());
  if (proto.has_metadata()) out->metadata = std::make_shared<const envoy::config::core::v3::Metadata>(proto.metadata());
  if (!errors.empty()) return prefix(place, errors.status());
  return std::shared_ptr<const ClusterConfig>(std::move(out));
}

}  // namespace fairlead::config
