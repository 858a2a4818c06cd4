// Compiles CORS policies; see cors.h.
#include "dataplane/router/cors.h"

#include <absl/strings/str_cat.h>

#include "base/status.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"

namespace fairlead::router {
namespace {

template <class Proto>
absl::StatusOr<std::shared_ptr<const CorsPolicy>> compile_policy(const Proto& proto) {
  auto policy = std::make_shared<CorsPolicy>();
  ErrorList errors;
  for (int i = 0; i < proto.allow_origin_string_match_size(); ++i) {
    auto matcher = matching::StringMatcher::compile(proto.allow_origin_string_match(i));
    if (matcher.ok()) {
      policy->allow_origins.push_back(std::move(*matcher));
    } else {
      errors.add(prefix(absl::StrCat("allow_origin_string_match[", i, "]"), matcher.status()));
    }
  }
  policy->allow_methods = proto.allow_methods();
  policy->allow_headers = proto.allow_headers();
  policy->expose_headers = proto.expose_headers();
  policy->max_age = proto.max_age();
  if (proto.has_allow_credentials()) policy->allow_credentials = proto.allow_credentials().value();
  if (proto.has_allow_private_network_access()) policy->allow_private_network_access = proto.allow_private_network_access().value();
  if (proto.has_forward_not_matching_preflights()) policy->forward_not_matching_preflights = proto.forward_not_matching_preflights().value();
  const auto fraction = [&](const auto& field, const char* name, std::optional<matching::Fraction>& out) {
    auto compiled = matching::Fraction::compile(field);
    if (compiled.ok()) {
      out = std::move(*compiled);
    } else {
      errors.add(prefix(name, compiled.status()));
    }
  };
  if (proto.has_filter_enabled()) fraction(proto.filter_enabled(), "filter_enabled", policy->enabled);
  if (proto.has_shadow_enabled()) fraction(proto.shadow_enabled(), "shadow_enabled", policy->shadow);
  if (!errors.empty()) return errors.status();
  return policy;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const CorsPolicy>> CorsPolicy::compile(const envoy::config::route::v3::CorsPolicy& proto) { return compile_policy(proto); }
absl::StatusOr<std::shared_ptr<const CorsPolicy>> CorsPolicy::compile(const envoy::extensions::filters::http::cors::v3::CorsPolicy& proto) { return compile_policy(proto); }

}  // namespace fairlead::router
