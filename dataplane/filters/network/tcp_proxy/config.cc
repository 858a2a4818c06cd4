// See config.h.
#include "dataplane/filters/network/tcp_proxy/config.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

namespace fairlead::filters::network::tcp_proxy {
namespace {

namespace v3 = envoy::extensions::filters::network::tcp_proxy::v3;

#define FAIRLEAD_COUNTER(name) {#name, stats::Kind::counter},
#define FAIRLEAD_GAUGE(name) {#name, stats::Kind::gauge},
constexpr stats::StatDef kDefs[] = {FAIRLEAD_TCP_STATS(FAIRLEAD_COUNTER, FAIRLEAD_GAUGE)};
#undef FAIRLEAD_COUNTER
#undef FAIRLEAD_GAUGE

absl::Status at(const std::string& field, std::string_view name, std::string_view what) { return absl::InvalidArgumentError(absl::StrCat(field, ".", name, ": ", what)); }

absl::Status read_clusters(const v3::TcpProxy& proto, const std::string& field, Config& out) {
  if (proto.cluster_specifier_case() == v3::TcpProxy::kCluster) {
    out.cluster = proto.cluster();
    return absl::OkStatus();
  }
  if (proto.cluster_specifier_case() != v3::TcpProxy::kWeightedClusters) return at(field, "cluster_specifier", "one of cluster, weighted_clusters must be set");
  uint64_t total = 0;
  for (const auto& entry : proto.weighted_clusters().clusters()) out.weighted.push_back({entry.name(), total += entry.weight()});
  return absl::OkStatus();
}

absl::Status read_connects(const v3::TcpProxy& proto, const std::string& field, Config& out) {
  if (proto.has_max_connect_attempts()) out.max_connect_attempts = proto.max_connect_attempts().value();
  if (proto.has_backoff_options()) {
    const milliseconds base = config::ms(proto.backoff_options().base_interval());
    const milliseconds max = proto.backoff_options().has_max_interval() ? config::ms(proto.backoff_options().max_interval()) : 10 * base;
    if (max < base) return at(field, "backoff_options", "max_backoff_interval must be greater or equal to base_backoff_interval");  // Envoy's text
    out.back_off = Config::BackOff{base, max};
  }
  using Hash = envoy::type::v3::HashPolicy;
  for (const auto& policy : proto.hash_policy()) {
    if (policy.policy_specifier_case() == Hash::kSourceIp) out.hash_policy.push_back({});
    if (policy.policy_specifier_case() == Hash::kFilterState) out.hash_policy.push_back({policy.filter_state().key()});
  }
  if (proto.has_max_early_data_bytes()) out.max_early_data = proto.max_early_data_bytes().value();
  out.connect_on_data = proto.upstream_connect_mode() == v3::ON_DOWNSTREAM_DATA;
  if (out.connect_on_data && !out.max_early_data) return at(field, "max_early_data_bytes", "must be set with upstream_connect_mode ON_DOWNSTREAM_DATA");
  return absl::OkStatus();
}

absl::Status read_tunnel(const v3::TcpProxy& proto, const std::string& field, Config& out) {
  if (!proto.has_tunneling_config()) return absl::OkStatus();
  const auto& tunnel = proto.tunneling_config();
  const std::string place = field + ".tunneling_config";
  if (!tunnel.post_path().empty() && !tunnel.use_post()) return at(place, "post_path", "Can't set a post path when POST method isn't used");  // Envoy's text
  TunnelConfig& made = out.tunnel.emplace();
  auto hostname = format::Formatter::parse(tunnel.hostname());
  if (!hostname.ok()) return prefix(place + ".hostname", hostname.status());
  made.hostname = *std::move(hostname);
  made.post = tunnel.use_post();
  if (!tunnel.post_path().empty()) made.path = tunnel.post_path();
  auto headers = router::HeaderOps::compile(tunnel.headers_to_add(), {}, "headers_to_add");
  if (!headers.ok()) return prefix(place, headers.status());
  made.headers = *std::move(headers);
  return absl::OkStatus();
}

absl::Status read_logs(const v3::TcpProxy& proto, const std::string& field, const router::FileReader& read_file, Config& out) {
  for (int i = 0; i < proto.access_log_size(); ++i) {
    FL_ASSIGN_OR_RETURN(auto log, config::parse_access_log(proto.access_log(i), absl::StrCat(field, ".access_log[", i, "]"), read_file));
    out.access_logs.push_back(std::move(log));
  }
  if (proto.has_access_log_options()) {
    // Envoy's texts
    if (proto.flush_access_log_on_connected()) return at(field, "flush_access_log_on_connected", "Only one of flush_access_log_on_connected or access_log_options can be specified.");
    if (proto.has_access_log_flush_interval()) return at(field, "access_log_flush_interval", "Only one of access_log_flush_interval or access_log_options can be specified.");
    const auto& options = proto.access_log_options();
    out.log_on_connected = options.flush_access_log_on_connected();
    out.log_on_start = options.flush_access_log_on_start();
    if (options.has_access_log_flush_interval()) out.log_interval = config::ms(options.access_log_flush_interval());
    return absl::OkStatus();
  }
  out.log_on_connected = proto.flush_access_log_on_connected();
  if (proto.has_access_log_flush_interval()) out.log_interval = config::ms(proto.access_log_flush_interval());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field, const router::FileReader& read_file) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::TcpProxy>(any, field));
  auto out = std::make_shared<Config>();
  out->stat_prefix = proto.stat_prefix();
  FL_RETURN_IF_ERROR(read_clusters(proto, field, *out));
  if (proto.has_idle_timeout()) out->idle_timeout = config::ms(proto.idle_timeout());
  if (proto.has_max_downstream_connection_duration()) out->max_duration = config::ms(proto.max_downstream_connection_duration());
  if (proto.has_max_downstream_connection_duration_jitter_percentage()) out->max_duration_jitter = proto.max_downstream_connection_duration_jitter_percentage().value();
  FL_RETURN_IF_ERROR(read_connects(proto, field, *out));
  FL_RETURN_IF_ERROR(read_tunnel(proto, field, *out));
  FL_RETURN_IF_ERROR(read_logs(proto, field, read_file, *out));
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

const std::string& Config::pick(uint64_t random) const {
  if (weighted.empty()) return cluster;
  const uint64_t at = random % weighted.back().cumulative;
  return std::upper_bound(weighted.begin(), weighted.end(), at, [](uint64_t value, const Weighted& entry) { return value < entry.cumulative; })->cluster;
}

void register_config(config::Registry& registry, router::FileReader read_file) {
  registry.add(config::NetworkFilterType{.type_url = kTypeUrl,
                                         .canonical = "envoy.filters.network.tcp_proxy",
                                         .terminal = true,
                                         .parse = [read_file = std::move(read_file)](const google::protobuf::Any& any, const std::string& field) { return parse(any, field, read_file); }});
}

}  // namespace fairlead::filters::network::tcp_proxy
