// RouteAction.internal_redirect_policy and its deprecated forms, and UpgradeConfig.connect_config; see compiler.h.
// The predicates' messages are read through the embedded descriptors.
#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>
#include <google/protobuf/message.h>

#include "base/descriptors.h"
#include "base/validate.h"
#include "dataplane/router/compiler.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::router {
namespace v3 = envoy::config::route::v3;

std::shared_ptr<const InternalRedirectPolicy> TableCompiler::internal_redirects(const v3::RouteAction& proto, const Path& path) {
  if (!proto.has_internal_redirect_policy()) {
    if (proto.internal_redirect_action() != v3::RouteAction::HANDLE_INTERNAL_REDIRECT) return nullptr;
    auto policy = std::make_shared<InternalRedirectPolicy>();
    if (proto.has_max_internal_redirects()) policy->max_redirects = proto.max_internal_redirects().value();
    return policy;
  }
  const auto& config = proto.internal_redirect_policy();
  const Path place = path + ".internal_redirect_policy";
  auto policy = std::make_shared<InternalRedirectPolicy>();
  if (config.has_max_internal_redirects()) policy->max_redirects = config.max_internal_redirects().value();
  policy->cross_scheme = config.allow_cross_scheme_redirect();
  if (config.redirect_response_codes_size() != 0) policy->codes.clear();
  for (const uint32_t code : config.redirect_response_codes()) {  // Envoy 1.40: others are skipped
    if (code == 301 || code == 302 || code == 303 || code == 307 || code == 308) {
      policy->codes.push_back(code);
    } else {
      warn(place + ".redirect_response_codes", absl::StrCat(code, " is no redirect and has no effect"));
    }
  }
  for (int i = 0; i < config.response_headers_to_copy_size(); ++i) {
    const std::string& name = config.response_headers_to_copy(i);
    if (name.empty() || name[0] == ':' || absl::AsciiStrToLower(name) == "host") {
      errors_.add(absl::StrCat(place, ".response_headers_to_copy[", i, "]"), absl::StrCat(":-prefixed headers or Hosts may not be specified here. (\"", name, "\")"));
      continue;
    }
    policy->copied_headers.push_back(absl::AsciiStrToLower(name));
  }
  for (int i = 0; i < config.predicates_size(); ++i) redirect_predicate(config.predicates(i), absl::StrCat(place, ".predicates[", i, "]"), *policy);
  return policy;
}

void TableCompiler::redirect_predicate(const envoy::config::core::v3::TypedExtensionConfig& proto, const Path& path, InternalRedirectPolicy& policy) {
  const std::string_view type = type_name(proto.typed_config().type_url());
  if (type == "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig") {
    policy.previous_routes = true;
  } else if (type == "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig") {
    policy.safe_cross_scheme = true;
  } else if (type == "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig") {
    auto message = unpack(proto.typed_config(), path + ".typed_config");
    const absl::Status status = message.ok() ? validate(**message, {.path = path + ".typed_config"}) : message.status();
    if (!status.ok()) {
      errors_.add(status);
      return;
    }
    const auto* field = (*message)->GetDescriptor()->FindFieldByName("allowed_route_names");
    const auto* reflection = (*message)->GetReflection();
    auto& names = policy.allowed_routes.emplace_back();
    for (int i = 0; i < reflection->FieldSize(**message, field); ++i) names.push_back(reflection->GetRepeatedString(**message, field, i));
  } else {
    errors_.add(path, absl::StrCat("Didn't find a registered implementation for '", proto.name(), "' with type URL: '", proto.typed_config().type_url(), "'"));
  }
}

void TableCompiler::upgrades(const v3::RouteAction& proto, const Path& path, RouteAction& action) {
  for (int i = 0; i < proto.upgrade_configs_size(); ++i) {
    const auto& upgrade = proto.upgrade_configs(i);
    const Path place = absl::StrCat(path, ".upgrade_configs[", i, "]");
    UpgradeOption option{absl::AsciiStrToLower(upgrade.upgrade_type()), !upgrade.has_enabled() || upgrade.enabled().value()};
    for (const UpgradeOption& other : action.upgrades) {
      if (other.type == option.type) errors_.add(place, absl::StrCat("Duplicate upgrade ", upgrade.upgrade_type()));
    }
    if (upgrade.has_connect_config()) {
      if (option.type != "connect") errors_.add(place, absl::StrCat("Non-CONNECT upgrade type ", upgrade.upgrade_type(), " has ConnectConfig"));
      const auto& config = upgrade.connect_config();
      action.connect.emplace().allow_post = config.allow_post();
      if (config.has_proxy_protocol_config()) {
        const bool v2 = config.proxy_protocol_config().version() == envoy::config::core::v3::ProxyProtocolConfig::V2;
        action.connect->proxy_header = v2 ? ConnectConfig::ProxyHeader::V2 : ConnectConfig::ProxyHeader::V1;
        for (const auto& tlv : config.proxy_protocol_config().added_tlvs()) action.connect->tlvs.emplace_back(static_cast<uint8_t>(tlv.type()), tlv.value());
      }
    }
    action.upgrades.push_back(std::move(option));
  }
}

}  // namespace fairlead::router
