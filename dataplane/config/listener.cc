// Listener → ListenerConfig; see listener.h.
#include "dataplane/config/listener.h"

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>

#include "dataplane/config/fields.h"
#include "dataplane/config/network_inputs.h"
#include "dataplane/config/support.h"
#include "envoy/config/listener/v3/listener.pb.h"

namespace fairlead::config {
namespace listener_v3 = envoy::config::listener::v3;
namespace {

// Chains are known to the tree by their names.
void read_tree(const listener_v3::Listener& proto, ListenerConfig& out, ErrorList& errors) {
  absl::flat_hash_map<std::string, uint32_t> names;
  for (int i = 0; i < proto.filter_chains_size(); ++i) {
    const std::string& name = proto.filter_chains(i).name();
    const std::string place = absl::StrCat("filter_chains[", i, "]");
    // Envoy 1.40's words
    if (name.empty()) {
      errors.add(place + ".name", "\"name\" field is required when using a listener matcher");
    } else if (!names.emplace(name, static_cast<uint32_t>(i)).second) {
      errors.add(place + ".name", absl::StrCat("\"name\" field is duplicated with value '", name, "'"));
    }
  }
  const matching::MatchVocabulary vocabulary{
      .input = [](const auto& input, const std::string& field) { return network_input(input, field, true); },
      .action = [&](const auto& action, const std::string& field) -> absl::StatusOr<uint32_t> {
        google::protobuf::StringValue chain;
        if (!action.typed_config().template Is<google::protobuf::StringValue>() || !action.typed_config().UnpackTo(&chain))
          return unknown_extension(field, action.name(), action.typed_config().type_url());
        const auto known = names.find(chain.value());
        return known == names.end() ? ListenerConfig::kNoChain : known->second;
      },
      .server_names = true};
  auto tree = matching::MatchTree::compile(proto.filter_chain_matcher(), vocabulary, "filter_chain_matcher");
  if (errors.check(tree)) out.tree = std::make_shared<const matching::MatchTree>(*std::move(tree));
}

void read_chains(const listener_v3::Listener& proto, const HcmOptions& options, ListenerConfig& out, ErrorList& errors) {
  if (out.udp) {
    // Envoy 1.40's words
    if (!proto.filter_chains().empty() || proto.has_default_filter_chain())
      errors.add("filter_chains", absl::StrCat(proto.filter_chains_size(), " filter chain(s) specified for connection-less UDP listener."));
    return;
  }
  if (proto.filter_chains().empty() && !proto.has_default_filter_chain()) errors.add("filter_chains", "no filter chains specified");
  auto matcher = std::make_shared<FilterChainMatcher>();
  for (int i = 0; i < proto.filter_chains_size(); ++i) {
    if (!proto.has_filter_chain_matcher()) matcher->add(proto.filter_chains(i), errors);
    out.chains.push_back(parse_filter_chain(proto.filter_chains(i), absl::StrCat("filter_chains[", i, "]"), options, errors));
  }
  if (proto.has_default_filter_chain()) out.default_chain = parse_filter_chain(proto.default_filter_chain(), "default_filter_chain", options, errors);
  if (proto.has_filter_chain_matcher()) {
    read_tree(proto, out, errors);
  } else if (!out.chains.empty() && !matcher->trivial()) {
    out.matcher = std::move(matcher);
  }
}

// Of everything but what may be replaced in place.
uint64_t outer_hash(listener_v3::Listener proto) {
  proto.clear_filter_chains();
  proto.clear_default_filter_chain();
  proto.clear_filter_chain_matcher();
  return hash_of(proto);
}

void read_addresses(const listener_v3::Listener& proto, ListenerConfig& out, ErrorList& errors) {
  const auto read = [&](const envoy::config::core::v3::Address& address_proto, const std::string& field) {
    auto address = parse_address(address_proto, field);
    if (!errors.check(address)) return;
    if (address->udp != out.udp) {
      errors.add(field + ".socket_address.protocol", "has different socket type. The listener only support same socket type for all the addresses.");
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
  out.udp = proto.address().socket_address().protocol() == envoy::config::core::v3::SocketAddress::UDP;
  read(proto.address(), "address");
  for (int i = 0; i < proto.additional_addresses_size(); ++i) {
    read(proto.additional_addresses(i).address(), absl::StrCat("additional_addresses[", i, "].address"));
  }
}

void read_socket(const listener_v3::Listener& proto, ListenerConfig& out, ErrorList& errors) {
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

void read_access_logs(const listener_v3::Listener& proto, const HcmOptions& options, ListenerConfig& out, ErrorList& errors) {
  for (int i = 0; i < proto.access_log_size(); ++i) {
    auto log = parse_access_log(proto.access_log(i), absl::StrCat("access_log[", i, "]"), options.read_file);
    if (errors.check(log)) out.access_logs.push_back(*std::move(log));
  }
}

void read_udp(const listener_v3::Listener& proto, ListenerConfig& out, ErrorList& errors) {
  if (!out.udp) return;
  if (!out.access_logs.empty()) errors.add("access_log", "a UDP listener has no connections; say it on udp_proxy");
  if (out.listener_filters.size() > 1) errors.add("listener_filters[1]", "would never see a datagram: the first takes them all");
  if (proto.listener_filters().empty()) errors.add("listener_filters", "nobody would read the datagrams of a UDP listener without one");
  const auto& socket = proto.udp_listener_config().downstream_socket_config();
  if (socket.has_max_rx_datagram_size()) out.max_datagram = socket.max_rx_datagram_size().value();
  out.join_datagrams = socket.prefer_gro().value();
}

}  // namespace

std::optional<size_t> ListenerConfig::choose(const ConnectionFacts& facts) const {
  std::optional<uint32_t> found;
  if (tree != nullptr) {
    found = tree->match(NetworkInputs(facts));
    if (found == kNoChain) return std::nullopt;
  } else {
    found = matcher->find(facts);
  }
  if (found) return *found;
  return default_chain != nullptr ? std::optional(chains.size()) : std::nullopt;
}

absl::StatusOr<std::shared_ptr<const ListenerConfig>> parse_listener(const listener_v3::Listener& proto, const HcmOptions& options,
                                                                     SupportFindings* findings) {
  auto out = std::make_shared<ListenerConfig>();
  out->name = proto.name();
  const std::string place = absl::StrCat("listener '", proto.name(), "'");
  FL_RETURN_IF_ERROR(prefix(place, admit(proto, findings)));
  ErrorList errors(20);
  out->content_hash = hash_of(proto);
  out->outer_hash = outer_hash(proto);
  read_addresses(proto, *out, errors);
  if (out->name.empty() && !out->addresses.empty()) out->name = absl::StrCat("listener_", out->addresses.front().text());
  read_socket(proto, *out, errors);
  read_chains(proto, options, *out, errors);
  out->listener_filters = parse_listener_filters(proto, options, errors);
  read_access_logs(proto, options, *out, errors);
  read_udp(proto, *out, errors);
  if (proto.has_listener_filters_timeout()) out->listener_filters_timeout = ms(proto.listener_filters_timeout());
  out->continue_on_listener_filters_timeout = proto.continue_on_listener_filters_timeout();
  out->use_original_dst = proto.use_original_dst().value();
  switch (proto.traffic_direction()) {
    case envoy::config::core::v3::INBOUND: out->direction = ListenerConfig::Direction::Inbound; break;
    case envoy::config::core::v3::OUTBOUND: out->direction = ListenerConfig::Direction::Outbound; break;
    default: out->direction = ListenerConfig::Direction::Unspecified;
  }
  out->stat_prefix = proto.stat_prefix();
  out->exact_balance = proto.connection_balance_config().has_exact_balance();
  out->drain_modify_only = proto.drain_type() == listener_v3::Listener::MODIFY_ONLY;
  out->ignore_global_connection_limit = proto.ignore_global_conn_limit();
  out->bypass_overload = proto.bypass_overload_manager();
  if (proto.has_metadata()) out->metadata = std::make_shared<const envoy::config::core::v3::Metadata>(proto.metadata());
  if (!errors.empty()) return prefix(place, errors.status());
  return std::shared_ptr<const ListenerConfig>(std::move(out));
}

}  // namespace fairlead::config
