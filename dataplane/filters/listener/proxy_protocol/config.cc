// See config.h.
#include "dataplane/filters/listener/proxy_protocol/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"

namespace fairlead::filters::listener::proxy_protocol {
namespace {

namespace v3 = envoy::extensions::filters::listener::proxy_protocol::v3;
using stats::Kind;
constexpr stats::StatDef kDefs[] = {{"not_found_disallowed", Kind::counter}, {"not_found_allowed", Kind::counter}};
constexpr stats::StatDef kVersionDefs[] = {{"found", Kind::counter}, {"disallowed", Kind::counter}, {"error", Kind::counter}};

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::ProxyProtocol>(any, field));
  auto out = std::make_shared<Config>();
  for (const auto& rule : proto.rules()) {
    const auto& target = rule.on_tlv_present();
    out->rules[static_cast<uint8_t>(rule.tlv_type())] = {target.metadata_namespace().empty() ? "envoy.filters.listener.proxy_protocol" : target.metadata_namespace(), target.key(),
                                                         target.value_string_encoding() == v3::ProxyProtocol::KeyValuePair::BASE64};
  }
  for (const int version : proto.disallowed_versions()) (version == envoy::config::core::v3::ProxyProtocolConfig::V2 ? out->v2 : out->v1) = false;
  if (!out->v1 && !out->v2) return absl::InvalidArgumentError(field + ".disallowed_versions: Proxy Protocol filter is misconfigured: all proxy protocol versions are disallowed.");  // Envoy's text
  out->allow_without = proto.allow_requests_without_proxy_protocol();
  out->stat_prefix = proto.stat_prefix();
  return out;
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};
constinit const stats::StatSet kVersionStats = {kVersionDefs, static_cast<uint32_t>(VersionStat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::ListenerFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.listener.proxy_protocol", .parse = parse}); }

}  // namespace fairlead::filters::listener::proxy_protocol
