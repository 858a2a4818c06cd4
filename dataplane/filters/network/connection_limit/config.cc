// See config.h.
#include "dataplane/filters/network/connection_limit/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/connection_limit/v3/connection_limit.pb.h"

namespace fairlead::filters::network::connection_limit {
namespace {

constexpr stats::StatDef kDefs[] = {{"limited_connections", stats::Kind::counter}, {"active_connections", stats::Kind::gauge}};

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<envoy::extensions::filters::network::connection_limit::v3::ConnectionLimit>(any, field));
  if (!proto.has_max_connections()) return absl::InvalidArgumentError(field + ".max_connections: must be set");
  auto out = std::make_shared<Config>();
  out->stat_prefix = proto.stat_prefix();
  out->max_connections = proto.max_connections().value();
  if (proto.has_delay()) out->delay = config::ms(proto.delay());
  if (proto.has_runtime_enabled()) out->enabled = {proto.runtime_enabled().default_value().value(), proto.runtime_enabled().runtime_key()};
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::NetworkFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.network.connection_limit", .parse = parse}); }

}  // namespace fairlead::filters::network::connection_limit
