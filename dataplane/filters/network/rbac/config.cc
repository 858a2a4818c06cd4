// See config.h.
#include "dataplane/filters/network/rbac/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"

namespace fairlead::filters::network::rbac {
namespace {

namespace filter_v3 = envoy::extensions::filters::network::rbac::v3;

constexpr stats::StatDef kDefs[] = {{"allowed", stats::Kind::counter}, {"denied", stats::Kind::counter}};
constexpr stats::StatDef kShadowDefs[] = {{"shadow_allowed", stats::Kind::counter}, {"shadow_denied", stats::Kind::counter}};

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<filter_v3::RBAC>(any, field));
  auto out = std::make_shared<Config>();
  out->stat_prefix = proto.stat_prefix();
  out->shadow_prefix = proto.shadow_rules_stat_prefix();
  if (proto.has_rules()) {
    FL_ASSIGN_OR_RETURN(out->rules, Rules::compile(proto.rules(), field + ".rules"));
  }
  if (proto.has_shadow_rules()) {
    FL_ASSIGN_OR_RETURN(out->shadow, Rules::compile(proto.shadow_rules(), field + ".shadow_rules"));
  }
  out->continuous = proto.enforcement_type() == filter_v3::RBAC::CONTINUOUS;
  if (proto.has_delay_deny()) out->delay = config::ms(proto.delay_deny());
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};
constinit const stats::StatSet kShadowStats = {kShadowDefs, static_cast<uint32_t>(ShadowStat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::NetworkFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.network.rbac", .parse = parse}); }

}  // namespace fairlead::filters::network::rbac
