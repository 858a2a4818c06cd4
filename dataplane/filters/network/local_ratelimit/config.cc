// See config.h.
#include "dataplane/filters/network/local_ratelimit/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/local_ratelimit/v3/local_rate_limit.pb.h"

namespace fairlead::filters::network::local_ratelimit {
namespace {

constexpr stats::StatDef kDefs[] = {{"rate_limited", stats::Kind::counter}};

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<envoy::extensions::filters::network::local_ratelimit::v3::LocalRateLimit>(any, field));
  auto out = std::make_shared<Config>();
  out->stat_prefix = proto.stat_prefix();
  auto size = filters::local_ratelimit::read_bucket(proto.token_bucket());
  if (!size.ok()) return prefix(field + ".token_bucket.fill_interval", size.status());
  out->bucket = *size;
  out->share_key = proto.share_key();
  if (proto.has_runtime_enabled()) out->enabled = {proto.runtime_enabled().default_value().value(), proto.runtime_enabled().runtime_key()};
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::NetworkFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.network.local_ratelimit", .parse = parse}); }

}  // namespace fairlead::filters::network::local_ratelimit
