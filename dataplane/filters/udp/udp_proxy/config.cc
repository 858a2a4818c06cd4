// See config.h.
#include "dataplane/filters/udp/udp_proxy/config.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "base/hash.h"
#include "dataplane/config/fields.h"
#include "dataplane/config/network_inputs.h"
#include "envoy/extensions/filters/udp/udp_proxy/v3/route.pb.h"
#include "envoy/extensions/filters/udp/udp_proxy/v3/udp_proxy.pb.h"

namespace fairlead::filters::udp::udp_proxy {
namespace {

namespace v3 = envoy::extensions::filters::udp::udp_proxy::v3;
using Proto = v3::UdpProxyConfig;

#define FAIRLEAD_COUNTER(name) {#name, stats::Kind::counter},
#define FAIRLEAD_GAUGE(name) {#name, stats::Kind::gauge},
constexpr stats::StatDef kDefs[] = {FAIRLEAD_UDP_STATS(FAIRLEAD_COUNTER, FAIRLEAD_GAUGE)};
#undef FAIRLEAD_COUNTER
#undef FAIRLEAD_GAUGE
constexpr stats::StatDef kClusterDefs[] = {{"udp.sess_rx_datagrams", stats::Kind::counter},
                                           {"udp.sess_rx_datagrams_dropped", stats::Kind::counter},
                                           {"udp.sess_rx_errors", stats::Kind::counter},
                                           {"udp.sess_tx_datagrams", stats::Kind::counter},
                                           {"udp.sess_tx_errors", stats::Kind::counter}};

// The number of a route's cluster among all.
absl::StatusOr<uint32_t> read_route(const xds::core::v3::TypedExtensionConfig& action, const std::string& field, std::vector<std::string>& clusters) {
  v3::Route route;
  if (!action.typed_config().Is<v3::Route>())
    return absl::InvalidArgumentError(absl::StrCat(field, ": Didn't find a registered implementation for '", action.name(), "' with type URL: '", action.typed_config().type_url(), "'"));
  if (!action.typed_config().UnpackTo(&route)) return absl::InvalidArgumentError(field + ": not a valid Route");
  const auto known = std::find(clusters.begin(), clusters.end(), route.cluster());
  if (known != clusters.end()) return static_cast<uint32_t>(known - clusters.begin());
  clusters.push_back(route.cluster());
  return static_cast<uint32_t>(clusters.size() - 1);
}

absl::Status read_routes(const Proto& proto, const std::string& field, Config& out) {
  if (proto.route_specifier_case() == Proto::kCluster) {
    out.clusters.push_back(proto.cluster());
    return absl::OkStatus();
  }
  if (proto.route_specifier_case() != Proto::kMatcher) return absl::InvalidArgumentError(field + ".route_specifier: one of cluster, matcher must be set");
  const matching::MatchVocabulary vocabulary{
      .input = [](const auto& input, const std::string& place) { return config::network_input(input, place, false); },
      .action = [&](const auto& action, const std::string& place) { return read_route(action, place, out.clusters); }};
  FL_ASSIGN_OR_RETURN(out.matcher, matching::MatchTree::compile(proto.matcher(), vocabulary, field + ".matcher"));
  return absl::OkStatus();
}

absl::Status read_logs(const Proto& proto, const std::string& field, const router::FileReader& read_file, Config& out) {
  for (int i = 0; i < proto.access_log_size(); ++i) {
    FL_ASSIGN_OR_RETURN(auto log, config::parse_access_log(proto.access_log(i), absl::StrCat(field, ".access_log[", i, "]"), read_file));
    out.session_logs.push_back(std::move(log));
  }
  for (int i = 0; i < proto.proxy_access_log_size(); ++i) {
    FL_ASSIGN_OR_RETURN(auto log, config::parse_access_log(proto.proxy_access_log(i), absl::StrCat(field, ".proxy_access_log[", i, "]"), read_file));
    out.proxy_logs.push_back(std::move(log));
  }
  if (proto.access_log_options().has_access_log_flush_interval()) out.log_interval = config::ms(proto.access_log_options().access_log_flush_interval());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field, const router::FileReader& read_file) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<Proto>(any, field));
  auto out = std::make_shared<Config>();
  out->content_hash = config::hash_of(proto);
  out->stat_prefix = proto.stat_prefix();
  FL_RETURN_IF_ERROR(read_routes(proto, field, *out));
  if (proto.has_idle_timeout()) out->idle_timeout = config::ms(proto.idle_timeout());
  out->per_packet = proto.use_per_packet_load_balancing();
  for (const auto& policy : proto.hash_policies()) {
    if (policy.policy_specifier_case() == Proto::HashPolicy::kSourceIp) out->hash_source_ip = true;
    if (policy.policy_specifier_case() == Proto::HashPolicy::kKey) out->hash_key = xx_hash64(policy.key());
  }
  const auto& socket = proto.upstream_socket_config();
  if (socket.has_max_rx_datagram_size()) out->max_datagram = socket.max_rx_datagram_size().value();
  if (socket.has_prefer_gro()) out->join_datagrams = socket.prefer_gro().value();
  FL_RETURN_IF_ERROR(read_logs(proto, field, read_file, *out));
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};
constinit const stats::StatSet kClusterStats = {kClusterDefs, static_cast<uint32_t>(ClusterUdpStat::first_histogram), false};

const std::string& Config::route(const net::Address& local, const net::Address& peer) const {
  static const std::string none;
  if (!matcher) return clusters.front();
  const config::ConnectionFacts facts{.local = local, .remote = peer, .direct_remote = peer};
  const auto found = matcher->match(config::NetworkInputs(facts));
  return found ? clusters[*found] : none;
}

std::optional<uint64_t> Config::hash(const net::Address& peer) const {
  if (hash_key) return hash_key;
  if (hash_source_ip && peer.is_ip()) return xx_hash64(peer.ip_string());
  return std::nullopt;
}

void register_config(config::Registry& registry, router::FileReader read_file) {
  registry.add(config::ListenerFilterType{
      .type_url = kTypeUrl,
      .canonical = "envoy.filters.udp_listener.udp_proxy",
      .parse = [read_file = std::move(read_file)](const google::protobuf::Any& any, const std::string& field) { return parse(any, field, read_file); },
      .udp = true});
}

}  // namespace fairlead::filters::udp::udp_proxy
