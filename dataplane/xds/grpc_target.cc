// Cluster → channel: grpc_target.h.
#include "dataplane/xds/grpc_target.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/descriptors.h"
#include "base/file.h"
#include "base/status.h"
#include "dataplane/net/address.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace fairlead::xds {
namespace {

using envoy::config::cluster::v3::Cluster;
using google::protobuf::FieldDescriptor;

absl::Status unsupported(const std::string& field, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": not supported for a cluster that xDS streams go to", what.empty() ? "" : ": ", what));
}

// Every set field must be in the list.
absl::Status only(const google::protobuf::Message& m, const std::set<std::string_view>& allowed, const std::string& field) {
  std::vector<const FieldDescriptor*> fields;
  m.GetReflection()->ListFields(m, &fields);
  for (const FieldDescriptor* f : fields)
    if (!allowed.contains(f->name())) return unsupported(absl::StrCat(field, ".", f->name()), "");
  return absl::OkStatus();
}

std::chrono::milliseconds to_ms(const google::protobuf::Duration& d) {
  return std::chrono::milliseconds(d.seconds() * 1000 + d.nanos() / 1000000);
}

absl::StatusOr<std::string> target_of(const envoy::config::core::v3::Address& address, const std::string& field) {
  if (address.has_pipe()) {
    const std::string& path = address.pipe().path();
    return absl::StartsWith(path, "@") ? absl::StrCat("unix-abstract:", path.substr(1)) : absl::StrCat("unix:", path);
  }
  if (!address.has_socket_address()) return unsupported(field, "the address is neither a socket address nor a pipe");
  const auto& socket = address.socket_address();
  if (!socket.named_port().empty()) return unsupported(absl::StrCat(field, ".socket_address.named_port"), "");
  const auto ip = net::Address::from_ip(socket.address(), static_cast<uint16_t>(socket.port_value()));
  if (!ip.ok()) return absl::StrCat("dns:///", socket.address(), ":", socket.port_value());
  return absl::StrCat(ip->kind() == net::Address::Kind::V6 ? "ipv6:" : "ipv4:", ip->to_string());
}

absl::Status read_endpoints(const Cluster& cluster, const std::string& field, GrpcEndpoints& out) {
  switch (cluster.type()) {
    case Cluster::STATIC:
    case Cluster::STRICT_DNS:
    case Cluster::LOGICAL_DNS: break;
    default: return unsupported(absl::StrCat(field, ".type"), Cluster::DiscoveryType_Name(cluster.type()));
  }
  // Those said to be unfit come last, after every priority: a control plane that might answer is better than none.
  std::vector<std::pair<uint32_t, std::string>> found;
  const auto& localities = cluster.load_assignment().endpoints();
  for (int i = 0; i < localities.size(); ++i)
    for (int k = 0; k < localities[i].lb_endpoints_size(); ++k) {
      const std::string at = absl::StrCat(field, ".load_assignment.endpoints[", i, "].lb_endpoints[", k, "].endpoint.address");
      FL_ASSIGN_OR_RETURN(std::string target, target_of(localities[i].lb_endpoints(k).endpoint().address(), at));
      const auto health = localities[i].lb_endpoints(k).health_status();
      const bool fit = health == envoy::config::core::v3::UNKNOWN || health == envoy::config::core::v3::HEALTHY || health == envoy::config::core::v3::DEGRADED;
      const uint32_t rank = localities[i].priority() + (fit ? 0 : 1000);
      found.emplace_back(rank, std::move(target));
      // A channel takes them as endpoints of their own. Envoy 1.40: of DNS clusters nobody reads them
      const auto& others = localities[i].lb_endpoints(k).endpoint().additional_addresses();
      for (int n = 0; n < others.size() && cluster.type() == Cluster::STATIC; ++n) {
        FL_ASSIGN_OR_RETURN(std::string other, target_of(others[n].address(), absl::StrCat(field, ".load_assignment.endpoints[", i, "].lb_endpoints[", k, "].endpoint.additional_addresses[", n, "].address")));
        found.emplace_back(rank, std::move(other));
      }
    }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [priority, target] : found) out.targets.push_back(std::move(target));
  if (out.targets.empty()) return absl::InvalidArgumentError(absl::StrCat(field, ".load_assignment: no endpoints for xDS streams"));
  return absl::OkStatus();
}

absl::StatusOr<std::string> read_source(const envoy::config::core::v3::DataSource& source, const std::string& field) {
  if (source.has_watched_directory()) return unsupported(absl::StrCat(field, ".watched_directory"), "files are read when a stream begins");
  switch (source.specifier_case()) {
    case envoy::config::core::v3::DataSource::kFilename: {
      auto text = read_file(source.filename());
      return text.ok() ? std::move(text) : absl::StatusOr<std::string>(prefix(field, text.status()));
    }
    case envoy::config::core::v3::DataSource::kInlineString: return source.inline_string();
    case envoy::config::core::v3::DataSource::kInlineBytes: return source.inline_bytes();
    case envoy::config::core::v3::DataSource::kEnvironmentVariable: {
      const char* value = std::getenv(source.environment_variable().c_str());
      if (value == nullptr) return absl::InvalidArgumentError(absl::StrCat(field, ".environment_variable: Environment variable doesn't exist: ", source.environment_variable()));
      return std::string(value);
    }
    default: return unsupported(field, "only filename, inline_string, inline_bytes and environment_variable");
  }
}

// gRPC takes any text and then fails every handshake without saying why.
absl::StatusOr<std::string> read_pem(const envoy::config::core::v3::DataSource& source, std::string_view kind, const std::string& field) {
  FL_ASSIGN_OR_RETURN(std::string text, read_source(source, field));
  const size_t begin = text.find("-----BEGIN ");
  const size_t end = begin == std::string::npos ? begin : text.find(kind, begin);
  if (end == std::string::npos) return absl::InvalidArgumentError(absl::StrCat(field, ": holds no PEM block of a ", kind == "CERTIFICATE-----" ? "certificate" : "private key"));
  return text;
}

absl::Status read_tls(const google::protobuf::Any& any, const std::string& field, GrpcEndpoints& out) {
  if (absl::EndsWith(any.type_url(), "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer")) return absl::OkStatus();
  envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext tls;
  if (fairlead::type_name(any.type_url()) != "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" || !tls.ParseFromString(any.value()))
    return unsupported(absl::StrCat(field, ".@type"), any.type_url());
  FL_RETURN_IF_ERROR(only(tls, {"common_tls_context", "sni", "auto_sni_san_validation", "max_session_keys"}, field));
  const auto& common = tls.common_tls_context();
  const std::string at = absl::StrCat(field, ".common_tls_context");
  FL_RETURN_IF_ERROR(only(common, {"tls_certificates", "validation_context", "alpn_protocols"}, at));
  GrpcTls result;
  result.server_name = tls.sni();
  FL_RETURN_IF_ERROR(only(common.validation_context(), {"trusted_ca", "suppress_client_ca_list"}, absl::StrCat(at, ".validation_context")));
  if (!common.validation_context().has_trusted_ca()) return unsupported(absl::StrCat(at, ".validation_context"), "a trusted_ca is required, an unverified control plane is not accepted");
  FL_ASSIGN_OR_RETURN(result.roots, read_pem(common.validation_context().trusted_ca(), "CERTIFICATE-----", absl::StrCat(at, ".validation_context.trusted_ca")));
  if (common.tls_certificates_size() > 1) return unsupported(absl::StrCat(at, ".tls_certificates"), "more than one");
  if (common.tls_certificates_size() == 1) {
    const auto& certificate = common.tls_certificates(0);
    FL_RETURN_IF_ERROR(only(certificate, {"certificate_chain", "private_key"}, absl::StrCat(at, ".tls_certificates[0]")));
    FL_ASSIGN_OR_RETURN(result.certificate, read_pem(certificate.certificate_chain(), "CERTIFICATE-----", absl::StrCat(at, ".tls_certificates[0].certificate_chain")));
    FL_ASSIGN_OR_RETURN(result.private_key, read_pem(certificate.private_key(), "PRIVATE KEY-----", absl::StrCat(at, ".tls_certificates[0].private_key")));
  }
  out.tls = std::move(result);
  return absl::OkStatus();
}

absl::Status read_http2(const envoy::config::core::v3::Http2ProtocolOptions& http2, const std::string& field, GrpcEndpoints& out) {
  const auto note = [&](bool set, std::string_view name, std::string_view reason) {
    if (set) out.ignored.push_back({absl::StrCat(field, ".", name), absl::StrCat("envoy.config.core.v3.Http2ProtocolOptions.", name), std::string(reason)});
  };
  constexpr std::string_view kOwn = "a channel has gRPC's own windows and a stream for each subscription";
  note(http2.has_hpack_table_size(), "hpack_table_size", kOwn);
  note(http2.has_max_concurrent_streams(), "max_concurrent_streams", kOwn);
  note(http2.has_initial_stream_window_size(), "initial_stream_window_size", kOwn);
  note(http2.has_initial_connection_window_size(), "initial_connection_window_size", kOwn);
  note(http2.connection_keepalive().has_interval_jitter(), "connection_keepalive.interval_jitter", "gRPC's PINGs come at their exact interval");
  FL_RETURN_IF_ERROR(only(http2, {"connection_keepalive", "max_concurrent_streams", "initial_stream_window_size", "initial_connection_window_size", "hpack_table_size"}, field));
  FL_RETURN_IF_ERROR(only(http2.connection_keepalive(), {"interval", "timeout", "interval_jitter"}, absl::StrCat(field, ".connection_keepalive")));
  if (http2.connection_keepalive().has_interval()) out.keepalive_interval = to_ms(http2.connection_keepalive().interval());
  if (http2.connection_keepalive().has_timeout()) out.keepalive_timeout = to_ms(http2.connection_keepalive().timeout());
  return absl::OkStatus();
}

absl::Status read_protocol(const Cluster& cluster, const std::string& field, GrpcEndpoints& out) {
  if (cluster.has_http2_protocol_options()) FL_RETURN_IF_ERROR(read_http2(cluster.http2_protocol_options(), absl::StrCat(field, ".http2_protocol_options"), out));
  for (const auto& [name, any] : cluster.typed_extension_protocol_options()) {
    const std::string at = absl::StrCat(field, ".typed_extension_protocol_options[", name, "]");
    envoy::extensions::upstreams::http::v3::HttpProtocolOptions http;
    if (fairlead::type_name(any.type_url()) != "envoy.extensions.upstreams.http.v3.HttpProtocolOptions" || !http.ParseFromString(any.value())) return unsupported(absl::StrCat(at, ".@type"), any.type_url());
    FL_RETURN_IF_ERROR(only(http, {"explicit_http_config"}, at));
    if (!http.explicit_http_config().has_http2_protocol_options()) return unsupported(absl::StrCat(at, ".explicit_http_config"), "gRPC needs http2_protocol_options");
    FL_RETURN_IF_ERROR(read_http2(http.explicit_http_config().http2_protocol_options(), absl::StrCat(at, ".explicit_http_config.http2_protocol_options"), out));
  }
  return absl::OkStatus();
}

// A channel carries a stream for each subscription, a handful at most: limits above that are kept by themselves.
absl::Status check_limits(const Cluster& cluster, const std::string& field) {
  constexpr uint32_t streams = 16;
  for (int i = 0; i < cluster.circuit_breakers().thresholds_size(); ++i) {
    const auto& limits = cluster.circuit_breakers().thresholds(i);
    if (limits.priority() != envoy::config::core::v3::DEFAULT) continue;  // streams have no other
    const std::string at = absl::StrCat(field, ".circuit_breakers.thresholds[", i, "].");
    if (limits.has_max_connections() && limits.max_connections().value() == 0) return unsupported(at + "max_connections", "no stream could be opened");
    if (limits.has_max_requests() && limits.max_requests().value() < streams) return unsupported(at + "max_requests", absl::StrCat("below ", streams, " streams"));
  }
  return absl::OkStatus();
}

// What a cluster for requests would follow and a channel cannot.
void note_ignored(const Cluster& cluster, const std::string& field, GrpcEndpoints& out) {
  const auto note = [&](bool set, std::string_view name, std::string_view reason) {
    if (set) out.ignored.push_back({absl::StrCat(field, ".", name), absl::StrCat("envoy.config.cluster.v3.Cluster.", name), std::string(reason)});
  };
  note(cluster.lb_policy() != Cluster::ROUND_ROBIN, "lb_policy", "xDS streams go to the endpoints in turn");
  note(cluster.dns_lookup_family() != Cluster::AUTO, "dns_lookup_family", "gRPC tries addresses of both families");
  note(cluster.has_dns_refresh_rate(), "dns_refresh_rate", "gRPC resolves names when it connects");
  note(cluster.has_dns_failure_refresh_rate(), "dns_failure_refresh_rate", "gRPC resolves names when it connects");
  note(cluster.respect_dns_ttl(), "respect_dns_ttl", "gRPC resolves names when it connects");
  note(!cluster.alt_stat_name().empty(), "alt_stat_name", "a cluster that xDS streams go to has no statistics");
  note(cluster.has_per_connection_buffer_limit_bytes(), "per_connection_buffer_limit_bytes", "gRPC's flow control bounds what is held");
  note(cluster.has_metadata(), "metadata", "nothing reads the metadata of a cluster that xDS streams go to");
  bool weighted = false;
  for (const auto& locality : cluster.load_assignment().endpoints()) {
    weighted |= locality.has_load_balancing_weight();
    for (const auto& endpoint : locality.lb_endpoints()) weighted |= endpoint.has_load_balancing_weight();
  }
  note(weighted, "load_assignment", "weights: xDS streams go to the endpoints in turn");
}

}  // namespace

absl::StatusOr<GrpcEndpoints> parse_grpc_cluster(const Cluster& cluster, const std::string& field) {
  FL_RETURN_IF_ERROR(only(cluster,
                          {"name", "type", "connect_timeout", "load_assignment", "lb_policy", "http2_protocol_options", "typed_extension_protocol_options", "transport_socket",
                           "upstream_connection_options", "dns_lookup_family", "dns_refresh_rate", "respect_dns_ttl", "dns_failure_refresh_rate", "ignore_health_on_host_removal",
                           "alt_stat_name", "circuit_breakers", "per_connection_buffer_limit_bytes", "metadata"},
                          field));
  GrpcEndpoints out;
  FL_RETURN_IF_ERROR(check_limits(cluster, field));
  note_ignored(cluster, field, out);
  if (cluster.has_connect_timeout()) out.connect_timeout = to_ms(cluster.connect_timeout());
  FL_RETURN_IF_ERROR(read_endpoints(cluster, field, out));
  FL_RETURN_IF_ERROR(read_protocol(cluster, field, out));
  if (cluster.has_upstream_connection_options()) {
    const std::string at = absl::StrCat(field, ".upstream_connection_options");
    FL_RETURN_IF_ERROR(only(cluster.upstream_connection_options(), {"tcp_keepalive"}, at));
    const auto& tcp = cluster.upstream_connection_options().tcp_keepalive();
    // the same purpose by HTTP/2 pings: gRPC has no way to its sockets. Servers end a connection that pings more often than this, as they cannot see TCP's
    // probes (gRPC: 5 min, http2_min_recv_ping_interval_without_data; grpc-go: EnforcementPolicy.MinTime)
    constexpr std::chrono::seconds kOftenest{300};
    if (!out.keepalive_interval.has_value() && tcp.has_keepalive_time()) out.keepalive_interval = std::max(kOftenest, std::chrono::seconds(tcp.keepalive_time().value()));
  }
  if (cluster.has_transport_socket()) FL_RETURN_IF_ERROR(read_tls(cluster.transport_socket().typed_config(), absl::StrCat(field, ".transport_socket.typed_config"), out));
  return out;
}

}  // namespace fairlead::xds
