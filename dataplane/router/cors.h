// A CORS policy as a model: of the `cors` field of virtual hosts and routes, and of the CORS filter's per-route message, which has the same
// fields. What one level leaves unset is the next one's: see filters/http/cors. Compiled on the main thread, immutable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/matching/matchers.h"
#include "dataplane/router/route.h"

namespace envoy::config::route::v3 {
class CorsPolicy;
}
namespace envoy::extensions::filters::http::cors::v3 {
class CorsPolicy;
}

namespace fairlead::router {

struct CorsPolicy final : PerFilterConfig {
  std::vector<matching::StringMatcher> allow_origins;
  std::string allow_methods, allow_headers, expose_headers, max_age;
  std::optional<bool> allow_credentials, allow_private_network_access, forward_not_matching_preflights;
  std::optional<matching::Fraction> enabled;  // unset: always
  std::optional<matching::Fraction> shadow;   // unset: never

  static absl::StatusOr<std::shared_ptr<const CorsPolicy>> compile(const envoy::config::route::v3::CorsPolicy& proto);
  static absl::StatusOr<std::shared_ptr<const CorsPolicy>> compile(const envoy::extensions::filters::http::cors::v3::CorsPolicy& proto);
};

}  // namespace fairlead::router
