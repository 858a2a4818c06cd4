// Listener → ListenerConfig; see listener.h.
#include "dataplane/config/listener.h"

#include <absl/strings/str_cat.h>

#include "dataplane/config/fields.h"
#include "dataplane/config/support.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"

namespace fairlead::config {
namespace v3 = envoy::config::listener::v3;
using Hcm = envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
namespace {

bool has_criteria(const v3::FilterChain& chain) {
  return chain.has_filter_chain_match() && chain.filter_chain_match().ByteSizeLong() > 0;
}

// The chain that serves every connection: the only one, or the default.
const v3::FilterChain* the_chain(const v3::Listener& proto, std::string& field, ErrorList& errors) {
  for (int i = 0; i < proto.filter_chains_size(); ++i) {
    if (has_criteria(proto.filter_chains(i))) {
      errors.add(absl::StrCat("filter_chains[", i, "].filter_chain_match"), "filter chain matching is not supported");
      return nullptr;
    }
  }
  if (proto.filter_chains_size() > 1) {
    errors.add("filter_chains[1]", absl::StrCat("filter chain '", proto.filter_chains(1).name(), "' has the same matching rules defined as '",
                                                proto.filter_chains(0).name(), "'"));
    return nullptr;
  }
  if (proto.filter_chains_size() == 1) {
    field = "filter_chains[0]";
    return &proto.filter_chains(0);
  }
  if (proto.has_default_filter_chain()) {
    field = "default_filter_chain";
    return &proto.default_filter_chain();
  }
  errors.add("filter_chains", "no filter chains specified");
  return nullptr;
}

void read_chain(const v3::FilterChain& proto, const std::string& field, const HcmOptions& options, FilterChain& out, ErrorList& errors) {
  out.name = proto.name();
  if (proto.has_transport_socket() && !proto.transport_socket().typed_config().Is<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>()) {
    errors.add(unknown_extension(field + ".transport_socket", proto.transport_socket().name(), proto.transport_socket().typed_config().type_url()));
  }
  if (proto.filters().empty()) {
    errors.add(field + ".filters", "a chain needs envoy.filters.network.http_connection_manager");
    return;
  }
  for (int i = 0; i < proto.filters_size(); ++i) {
    const auto& filter = proto.filters(i);
    const std::string place = absl::StrCat(field, ".filters[", i, "]");
    if (filter.config_type_case() == v3::Filter::kConfigDiscovery) {
      errors.add(place + ".config_discovery", "only HTTP filters are discovered");
      continue;
    }
    if (!filter.typed_config().Is<Hcm>()) {
      errors.add(unknown_extension(place, filter.name(), filter.typed_config().type_url()));
      continue;
    }
    if (i + 1 != proto.filters_size()) {
      errors.add(place, absl::StrCat("Error: terminal filter named ", filter.name(),
                                     " of type envoy.filters.network.http_connection_manager must be the last filter in a network filter chain."));
      continue;
    }
    auto hcm = unpack_as<Hcm>(filter.typed_config(), place + ".typed_config");
    if (!errors.check(hcm)) continue;
    auto parsed = parse_hcm(*hcm, place + ".typed_config", options);
    if (errors.check(parsed)) out.hcm = std::move(*parsed);
  }
}

void read_addresses(const v3::Listener& proto, ListenerConfig& out, ErrorList& errors) {
  const auto read = [&](const envoy::config::core::v3::Address& address_proto, const std::string& field) {
    auto address = parse_address(address_proto, field);
    if (!errors.check(address)) return;
    if (address->udp) {
      errors.add(field + ".socket_address.protocol", "UDP listeners are not supported");
    } else if (address->kind == Address::Kind::Socket && !address->is_ip()) {
      errors.add(field + ".socket_address.address", absl::StrCat("malformed IP address: ", address->host));
    } else if (address->ipv4_compat && address->host != "::" && !address->host.starts_with("::ffff:")) {
      errors.add(field + ".socket_address.ipv4_compat", absl::StrCat("Only IPv6 address '::' or valid IPv4-mapped IPv6 address can set ipv4_compat: ", address->text()));
    } else {
      out.addresses.push_back(std::move(*address));
    }
  };
  if (!proto.has_address()) {
    errors.add("address", "error adding listener: address is necessary");
    return;
  }
  read(proto.address(), "address");
  for (int i = 0; i < proto.additional_addresses_size(); ++i) {
    read(proto.additional_addresses(i).address(), absl::StrCat("additional_addresses[", i, "].address"));
  }
}

void read_socket(const v3::Listener& proto, ListenerConfig& out, ErrorList& errors) {
  for (int i = 0; i < proto.socket_options_size(); ++i) {
    auto option = parse_socket_option(proto.socket_options(i), absl::StrCat("socket_options[", i, "]"));
    if (errors.check(option)) out.socket_options.push_back(std::move(*option));
  }
  if (proto.has_per_connection_buffer_limit_bytes()) out.per_connection_buffer_limit = proto.per_connection_buffer_limit_bytes().value();
  out.reuse_port = !proto.has_enable_reuse_port() || proto.enable_reuse_port().value();
  out.bind_to_port = !proto.has_bind_to_port() || proto.bind_to_port().value();
  if (proto.has_tcp_backlog_size()) out.tcp_backlog = proto.tcp_backlog_size().value();
  if (proto.has_transparent()) out.transparent = proto.transparent().value();
  if (proto.has_freebind()) out.freebind = proto.freebind().value();
  if (proto.has_tcp_fast_open_queue_length()) out.tcp_fast_open_queue_length = proto.tcp_fast_open_queue_length().value();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ListenerConfig>> parse_listener(const v3::Listener& proto, const HcmOptions& options,
                                                                     SupportFindings* findings) {
  auto out = std::make_shared<ListenerConfig>();
  out->name = proto.name();
  const std::string place = absl::StrCat("listener '", proto.name(), "'");
  FL_RETURN_IF_ERROR(prefix(place, admit(proto, findings)));
  ErrorList errors(20);
  out->content_hash = hash_of(proto);
  read_addresses(proto, *out, errors);
  if (out->name.empty() && !out->addresses.empty()) out->name = absl::StrCat("listener_", out->addresses.front().text());
  read_socket(proto, *out, errors);
  std::string field;
  if (const v3::FilterChain* chain = the_chain(proto, field, errors)) read_chain(*chain, field, options, out->chain, errors);
  switch (proto.traffic_direction()) {
    case envoy::config::core::v3::INBOUND: out->direction = ListenerConfig::Direction::Inbound; break;
    case envoy::config::core::v3::OUTBOUND: out->direction = ListenerConfig::Direction::Outbound; break;
    default: out->direction = ListenerConfig::Direction::Unspecified;
  }
  out->stat_prefix = proto.stat_prefix();
  out->drain_modify_only = proto.drain_type() == v3::Listener::MODIFY_ONLY;
  if (proto.has_metadata()) out->metadata = std::make_shared<const envoy::config::core::v3::Metadata>(proto.metadata());
  if (!errors.empty()) return prefix(place, errors.status());
  return std::shared_ptr<const ListenerConfig>(std::move(out));
}

}  // namespace fairlead::config
