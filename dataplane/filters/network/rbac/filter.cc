// See filter.h.
#include "dataplane/filters/network/rbac/filter.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/struct.pb.h>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/network_connections.h"
#include "dataplane/stream/worker_context.h"
#include "dataplane/tls/session.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::filters::network::rbac {
namespace {

struct Factory final : stream::NetworkFilterFactory {
  std::shared_ptr<const Shared> shared;
  std::unique_ptr<stream::NetworkFilter> create() const override { return std::make_unique<Rbac>(shared); }
};

std::string dotted(std::string text) {
  if (!text.empty() && !absl::EndsWith(text, ".")) text.push_back('.');
  return text;
}

Facts facts_of(stream::NetworkConnection& connection) {
  Facts out{connection.info()};
  const tls::Session* session = tls::session_of(connection.connection());
  if (session == nullptr || session->facts() == nullptr || !session->facts()->peer) return out;
  const tls::CertificateFacts& peer = *session->facts()->peer;
  out.authenticated = true;  // the handshake has ended well
  for (const tls::San::Type type : {tls::San::Type::kUri, tls::San::Type::kDns}) {
    if (!out.peer_names.empty()) break;
    for (const tls::San& name : peer.names)
      if (name.type == type) out.peer_names.push_back(name.value);
  }
  if (out.peer_names.empty()) out.peer_names.push_back(peer.subject);
  return out;
}

}  // namespace

void register_filter(stream::NetworkFilterRegistry& registry) {
  registry.add(kTypeUrl, [](std::shared_ptr<const config::FilterConfig> config, const stream::NetworkFactoryContext& context) -> stream::NetworkFilterRegistry::Made {
    auto shared = std::make_shared<Shared>();
    shared->config = std::static_pointer_cast<const Config>(std::move(config));
    const std::string base = dotted(shared->config->stat_prefix) + "rbac.";
    shared->scope = context.stats.scope(stats::plain_scope(base));
    shared->stats = shared->scope->block<Stat>(kStats);
    shared->shadow_scope = context.stats.scope(stats::plain_scope(base + dotted(shared->config->shadow_prefix)));
    shared->shadow_stats = shared->shadow_scope->block<ShadowStat>(kShadowStats);
    auto factory = std::make_shared<Factory>();
    factory->shared = std::move(shared);
    return factory;
  });
}

stream::NetworkFilter::Looks Rbac::looks() const {
  const Config& config = *shared_->config;
  if (!config.rules && !config.shadow) return Looks::kNever;
  return config.continuous ? Looks::kAlways : Looks::kAtFirstBytes;
}

stream::NetworkFilter::Status Rbac::on_data(net::Buffer&, bool) {
  const Config& config = *shared_->config;
  if (delay_ != nullptr) return Status::kWait;
  const Facts facts = facts_of(connection());
  watch(facts);
  if (!config.rules) return Status::kContinue;
  stats::Cells& cells = connection().worker().cells();
  const Rules::Verdict verdict = config.rules->judge(facts);
  if (config.rules->action() == Rules::Action::Log) set_metadata("envoy.common", "access_log_hint", verdict.policy.empty() ? "" : "true");
  if (verdict.allowed) {
    cells.add(shared_->stats, Stat::allowed);
    return Status::kContinue;
  }
  cells.add(shared_->stats, Stat::denied);
  connection().info().termination_details = absl::StrCat("rbac_access_denied_matched_policy[", verdict.policy.empty() ? "none" : verdict.policy, "]");
  if (config.delay.count() == 0) {
    refuse();
  } else {
    delay_ = std::make_unique<net::Timer>(connection().worker().loop().timers(), [this] { refuse(); });
    delay_->arm(config.delay);
  }
  return Status::kWait;
}

// What the shadow rules say is counted, and told in metadata.
void Rbac::watch(const Facts& facts) {
  const Config& config = *shared_->config;
  if (!config.shadow) return;
  const Rules::Verdict verdict = config.shadow->judge(facts);
  connection().worker().cells().add(shared_->shadow_stats, verdict.allowed ? ShadowStat::shadow_allowed : ShadowStat::shadow_denied);
  const std::string prefix = config.shadow_prefix;
  set_metadata("envoy.filters.network.rbac", prefix + "shadow_effective_policy_id", std::string(verdict.policy));
  set_metadata("envoy.filters.network.rbac", prefix + "shadow_engine_result", verdict.allowed ? "allowed" : "denied");
}

void Rbac::set_metadata(const std::string& filter, const std::string& key, const std::string& value) {
  auto& metadata = connection().info().dynamic_metadata;
  if (metadata == nullptr) metadata = std::make_unique<envoy::config::core::v3::Metadata>();
  google::protobuf::Value& slot = (*(*metadata->mutable_filter_metadata())[filter].mutable_fields())[key];
  if (key == "access_log_hint") return slot.set_bool_value(!value.empty());
  if (value.empty()) return void((*metadata->mutable_filter_metadata())[filter].mutable_fields()->erase(key));
  slot.set_string_value(value);
}

void Rbac::refuse() {
  connection().info().local_close_reason = "rbac_deny_close";
  connection().connection().close(net::CloseType::NoFlush);
}

}  // namespace fairlead::filters::network::rbac
