// See cluster_http.h.
#include "dataplane/config/cluster_http.h"

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "base/descriptors.h"
#include "dataplane/config/fields.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/proxy_protocol.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"

namespace fairlead::config {
namespace cluster_v3 = envoy::config::cluster::v3;
namespace core = envoy::config::core::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using Options = envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
namespace {

constexpr std::string_view options_key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

void read_common(const core::HttpProtocolOptions& proto, UpstreamHttpOptions& out) {
  if (proto.has_idle_timeout()) {
    const milliseconds timeout = ms(proto.idle_timeout());
    out.idle_timeout = timeout.count() == 0 ? std::nullopt : std::optional(timeout);
  }
  if (proto.has_max_connection_duration()) out.max_connection_duration = ms(proto.max_connection_duration());
  out.max_connection_duration_jitter = proto.max_connection_duration_jitter().value();
  if (proto.has_max_stream_duration()) out.max_stream_duration = ms(proto.max_stream_duration());
  if (proto.has_max_headers_count()) out.max_headers_count = proto.max_headers_count().value();
  if (proto.has_max_response_headers_kb()) out.max_response_headers_kb = proto.max_response_headers_kb().value();
  if (proto.has_max_requests_per_connection()) out.max_requests_per_connection = proto.max_requests_per_connection().value();
}

void read_names(const core::UpstreamHttpProtocolOptions& proto, UpstreamHttpOptions& out) {
  out.auto_sni = proto.auto_sni();
  out.auto_san_validation = proto.auto_san_validation();
  out.auto_sni_header = absl::AsciiStrToLower(proto.override_auto_sni_header());
}

void read_http1(const core::Http1ProtocolOptions& proto, UpstreamHttpOptions& out) {
  out.http1.enable_trailers = proto.enable_trailers();
  out.http1.accept_http_10 = proto.accept_http_10();
  out.http1.allow_chunked_length = proto.allow_chunked_length();
}

void read_http2(const core::Http2ProtocolOptions& proto, const std::string& field, ClusterConfig& out, ErrorList& errors) {
  out.http.protocol = UpstreamProtocol::Http2;
  out.http.http2 = parse_http2(proto, false, field, errors);
}

// Null: there is an error.
std::shared_ptr<const UpstreamTls> read_upstream_tls(const google::protobuf::Any& any, const std::string& field, const TlsSources& sources, const UpstreamHttpOptions& http, ErrorList& errors) {
  auto context = unpack_as<tls::UpstreamTlsContext>(any, field);
  if (!errors.check(context)) return nullptr;
  if (http.auto_san_validation && context->common_tls_context().validation_context_type_case() == tls::CommonTlsContext::VALIDATION_CONTEXT_TYPE_NOT_SET)
    errors.add(field + ".common_tls_context.validation_context", "auto_san_validation is set, and no certificate would be verified without one");
  auto parsed = parse_upstream_tls(*context, field, sources);
  return errors.check(parsed) ? *std::move(parsed) : nullptr;
}

void read_matches(const cluster_v3::Cluster& proto, const TlsSources& sources, ClusterConfig& out, ErrorList& errors) {
  for (int i = 0; i < proto.transport_socket_matches_size(); ++i) {
    const auto& match = proto.transport_socket_matches(i);
    const std::string field = absl::StrCat("transport_socket_matches[", i, "].transport_socket");
    const auto& any = match.transport_socket().typed_config();
    TransportMatch& made = out.transport_matches.emplace_back();
    made.name = match.name();
    made.criteria = std::make_shared<const google::protobuf::Struct>(match.match());
    if (any.Is<tls::UpstreamTlsContext>()) {
      made.tls = read_upstream_tls(any, field + ".typed_config", sources, out.http, errors);
    } else if (!any.Is<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>()) {
      errors.add(unknown_extension(field, match.transport_socket().name(), any.type_url()));
    }
  }
}

// A ProxyProtocolUpstreamTransport, which has no generated class.
void read_proxy_protocol(const google::protobuf::Message& proto, const TlsSources& sources, ClusterConfig& out, ErrorList& errors) {
  const std::string field = "transport_socket.typed_config";
  const auto member = [&](std::string_view name) -> const google::protobuf::Message& {
    return proto.GetReflection()->GetMessage(proto, proto.GetDescriptor()->FindFieldByName(std::string(name)));
  };
  const auto& inner = dynamic_cast<const core::TransportSocket&>(member("transport_socket"));
  if (inner.typed_config().Is<tls::UpstreamTlsContext>()) {
    out.tls = read_upstream_tls(inner.typed_config(), field + ".transport_socket.typed_config", sources, out.http, errors);
  } else if (!inner.typed_config().Is<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>()) {
    errors.add(unknown_extension(field + ".transport_socket", inner.name(), inner.typed_config().type_url()));
  }
  const auto& config = dynamic_cast<const core::ProxyProtocolConfig&>(member("config"));
  auto protocol = std::make_shared<ProxyProtocol>();
  protocol->v2 = config.version() == core::ProxyProtocolConfig::V2;
  size_t bytes = 36;  // of two IPv6 addresses and ports
  for (const auto& tlv : config.added_tlvs()) {
    protocol->tlvs.emplace_back(static_cast<uint8_t>(tlv.type()), tlv.value());
    bytes += 3 + tlv.value().size();
  }
  if (bytes > 65535) errors.add(field + ".config.added_tlvs", absl::StrCat("more than a header of the PROXY protocol holds (", bytes, " of 65535 bytes)"));
  out.proxy_protocol = std::move(protocol);
}

}  // namespace

const std::shared_ptr<const UpstreamTls>& ClusterConfig::tls_for(const core::Metadata* metadata) const {
  if (transport_matches.empty()) return tls;
  const google::protobuf::Struct* found = nullptr;
  if (metadata != nullptr) {
    const auto it = metadata->filter_metadata().find("envoy.transport_socket_match");
    if (it != metadata->filter_metadata().end()) found = &it->second;
  }
  const auto holds = [&](const auto& wanted) {
    if (found == nullptr) return false;
    const auto value = found->fields().find(wanted.first);
    return value != found->fields().end() && google::protobuf::util::MessageDifferencer::Equals(value->second, wanted.second);
  };
  for (const TransportMatch& match : transport_matches)
    if (std::all_of(match.criteria->fields().begin(), match.criteria->fields().end(), holds)) return match.tls;
  return tls;
}

void parse_upstream_http(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  if (proto.has_max_requests_per_connection()) out.http.max_requests_per_connection = proto.max_requests_per_connection().value();
  read_names(proto.upstream_http_protocol_options(), out.http);
  read_common(proto.common_http_protocol_options(), out.http);
  read_http1(proto.http_protocol_options(), out.http);
  if (proto.has_http2_protocol_options()) read_http2(proto.http2_protocol_options(), "http2_protocol_options", out, errors);
  if (proto.protocol_selection() == cluster_v3::Cluster::USE_DOWNSTREAM_PROTOCOL) out.http.protocol = UpstreamProtocol::Downstream;
  for (const auto& [key, any] : proto.typed_extension_protocol_options()) {
    const std::string field = absl::StrCat("typed_extension_protocol_options[\"", key, "\"]");
    if (key != options_key) {
      errors.add(field, absl::StrCat("Didn't find a registered network or http filter or protocol options implementation for name: '", key, "'"));
      continue;
    }
    auto options = unpack_as<Options>(any, field);
    if (!errors.check(options)) continue;
    out.http = UpstreamHttpOptions{};
    read_common(options->common_http_protocol_options(), out.http);
    read_names(options->upstream_http_protocol_options(), out.http);
    switch (options->upstream_protocol_options_case()) {
      case Options::kExplicitHttpConfig:
        if (options->explicit_http_config().has_http2_protocol_options()) {
          read_http2(options->explicit_http_config().http2_protocol_options(), field + ".explicit_http_config.http2_protocol_options", out, errors);
        } else if (options->explicit_http_config().has_http3_protocol_options()) {
          errors.add(field + ".explicit_http_config.http3_protocol_options", "HTTP/3 is not supported");
        } else {
          read_http1(options->explicit_http_config().http_protocol_options(), out.http);
        }
        break;
      case Options::kUseDownstreamProtocolConfig:
        if (options->use_downstream_protocol_config().has_http2_protocol_options()) {
          read_http2(options->use_downstream_protocol_config().http2_protocol_options(), field + ".use_downstream_protocol_config.http2_protocol_options", out, errors);
        }
        read_http1(options->use_downstream_protocol_config().http_protocol_options(), out.http);
        out.http.protocol = UpstreamProtocol::Downstream;
        break;
      case Options::kAutoConfig:
        if (options->auto_config().has_http3_protocol_options()) {
          errors.add(field + ".auto_config.http3_protocol_options", "HTTP/3 is not supported");
        }
        read_http2(options->auto_config().http2_protocol_options(), field + ".auto_config.http2_protocol_options", out, errors);
        read_http1(options->auto_config().http_protocol_options(), out.http);
        out.http.protocol = UpstreamProtocol::Auto;
        break;
      case Options::UPSTREAM_PROTOCOL_OPTIONS_NOT_SET: break;
    }
  }
}

void parse_transport(const cluster_v3::Cluster& proto, const TlsSources& sources, ClusterConfig& out, ErrorList& errors) {
  read_matches(proto, sources, out, errors);
  if (!proto.has_transport_socket()) return;
  const auto& any = proto.transport_socket().typed_config();
  if (any.Is<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>()) return;
  if (any.Is<tls::UpstreamTlsContext>()) {
    out.tls = read_upstream_tls(any, "transport_socket.typed_config", sources, out.http, errors);
    return;
  }
  if (type_name(any.type_url()) == "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport") {
    auto opened = unpack(any, "transport_socket.typed_config");
    if (errors.check(opened)) read_proxy_protocol(**opened, sources, out, errors);
    return;
  }
  errors.add(unknown_extension("transport_socket", proto.transport_socket().name(), any.type_url()));
}

}  // namespace fairlead::config
