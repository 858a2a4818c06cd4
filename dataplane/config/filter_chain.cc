// FilterChain and ListenerFilter messages → models; see filter_chain.h.
#include "dataplane/config/filter_chain.h"

#include <absl/strings/str_cat.h>

#include "dataplane/config/fields.h"
#include "dataplane/config/listener_transport.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"

namespace fairlead::config {
namespace listener_v3 = envoy::config::listener::v3;
using Hcm = envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
namespace {

constexpr std::string_view kHcm = "envoy.filters.network.http_connection_manager";

void read_transport_socket(const listener_v3::FilterChain& proto, const std::string& field, const HcmOptions& options, FilterChain& out, ErrorList& errors) {
  if (proto.has_transport_socket_connect_timeout()) out.transport_socket_connect_timeout = ms(proto.transport_socket_connect_timeout());
  out.tls = parse_chain_transport(proto, field, options, errors);
}

// What the connection manager asks of its configuration anew with each request. The rest is the codec's, or counted under its name.
uint64_t connection_hash(listener_v3::FilterChain proto) {
  if (proto.filters_size() != 1 || !proto.filters(0).typed_config().Is<Hcm>()) return 0;
  Hcm hcm;
  if (!proto.filters(0).typed_config().UnpackTo(&hcm)) return 0;
  for (const char* name :
       {"rds", "route_config", "http_filters", "access_log", "access_log_flush_interval", "flush_access_log_on_new_request", "access_log_options", "server_name",
        "server_header_transformation", "scheme_header_transformation", "stream_idle_timeout", "request_timeout", "request_headers_timeout", "delayed_close_timeout", "via",
        "use_remote_address", "xff_num_trusted_hops", "internal_address_config", "skip_xff_append", "append_x_forwarded_port", "generate_request_id", "request_id_extension",
        "preserve_external_request_id", "always_set_request_id_in_response", "forward_client_cert_details", "set_current_client_cert_details", "proxy_100_continue",
        "upgrade_configs", "normalize_path", "merge_slashes", "path_with_escaped_slashes_action", "local_reply_config", "strip_matching_host_port", "strip_any_host_port",
        "strip_trailing_host_dot", "original_ip_detection_extensions", "early_header_mutation_extensions", "add_user_agent", "tracing"})
    hcm.GetReflection()->ClearField(&hcm, Hcm::descriptor()->FindFieldByName(name));
  auto& common = *hcm.mutable_common_http_protocol_options();
  common.clear_idle_timeout();
  common.clear_max_stream_duration();
  common.clear_max_requests_per_connection();
  common.clear_headers_with_underscores_action();
  proto.mutable_filters(0)->mutable_typed_config()->PackFrom(hcm);
  return hash_of(proto);
}

// Whether the filter ends its chain, and its canonical name; nothing when it was refused.
std::optional<std::pair<bool, std::string_view>> read_filter(const listener_v3::Filter& proto, const std::string& place, const HcmOptions& options, FilterChain& out,
                                                             ErrorList& errors) {
  if (proto.config_type_case() == listener_v3::Filter::kConfigDiscovery) {
    errors.add(place + ".config_discovery", "only HTTP filters are discovered");
    return std::nullopt;
  }
  if (proto.typed_config().Is<Hcm>()) {
    auto hcm = unpack_as<Hcm>(proto.typed_config(), place + ".typed_config");
    if (!errors.check(hcm)) return std::nullopt;
    auto parsed = parse_hcm(*hcm, place + ".typed_config", options);
    if (!errors.check(parsed)) return std::nullopt;
    out.hcm = std::move(*parsed);
    return std::pair(true, kHcm);
  }
  const NetworkFilterType* type = options.extensions().network_filter(proto.typed_config().type_url());
  if (type == nullptr) {
    errors.add(unknown_extension(place, proto.name(), proto.typed_config().type_url()));
    return std::nullopt;
  }
  auto config = type->parse(proto.typed_config(), place + ".typed_config");
  if (!errors.check(config)) return std::nullopt;
  out.filters.push_back({proto.name(), type, std::move(*config)});
  return std::pair(type->terminal, std::string_view(type->canonical));
}

}  // namespace

std::shared_ptr<const FilterChain> parse_filter_chain(const listener_v3::FilterChain& proto, const std::string& field, const HcmOptions& options, ErrorList& errors) {
  auto out = std::make_shared<FilterChain>();
  out->name = proto.name();
  out->content_hash = hash_of(proto);
  out->connection_hash = connection_hash(proto);
  read_transport_socket(proto, field, options, *out, errors);
  if (proto.filters().empty()) errors.add(field + ".filters", "a chain without filters would answer nobody");
  for (int i = 0; i < proto.filters_size(); ++i) {
    const listener_v3::Filter& filter = proto.filters(i);
    const std::string place = absl::StrCat(field, ".filters[", i, "]");
    const auto read = read_filter(filter, place, options, *out, errors);
    const bool last = i + 1 == proto.filters_size();
    if (!read.has_value() || read->first == last) continue;
    errors.add(place, last ? absl::StrCat("Error: non-terminal filter named ", filter.name(), " of type ", read->second, " is the last filter in a network filter chain.")
                           : absl::StrCat("Error: terminal filter named ", filter.name(), " of type ", read->second, " must be the last filter in a network filter chain."));
  }
  return out;
}

std::vector<ListenerFilterEntry> parse_listener_filters(const listener_v3::Listener& proto, const HcmOptions& options, ErrorList& errors) {
  std::vector<ListenerFilterEntry> out;
  for (int i = 0; i < proto.listener_filters_size(); ++i) {
    const listener_v3::ListenerFilter& filter = proto.listener_filters(i);
    const std::string place = absl::StrCat("listener_filters[", i, "]");
    if (filter.config_type_case() == listener_v3::ListenerFilter::kConfigDiscovery) {
      errors.add(place + ".config_discovery", "only HTTP filters are discovered");
      continue;
    }
    const ListenerFilterType* type = options.extensions().listener_filter(filter.typed_config().type_url());
    const bool udp = proto.address().socket_address().protocol() == envoy::config::core::v3::SocketAddress::UDP;
    if (type == nullptr || type->udp != udp) {
      errors.add(unknown_extension(place, filter.name(), filter.typed_config().type_url()));
      continue;
    }
    auto config = type->parse(filter.typed_config(), place + ".typed_config");
    if (errors.check(config)) out.push_back({filter.name(), type, std::move(*config)});
  }
  return out;
}

}  // namespace fairlead::config
