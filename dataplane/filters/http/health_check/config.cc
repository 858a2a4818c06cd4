// See config.h.
#include "dataplane/filters/http/health_check/config.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/health_check/v3/health_check.pb.h"

namespace fairlead::filters::health_check {

namespace v3 = envoy::extensions::filters::http::health_check::v3;

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
                .canonical = "envoy.filters.http.health_check",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::HealthCheck>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  config->pass_through = proto.pass_through_mode().value();
                  if (proto.has_cache_time()) {
                    if (!config->pass_through) return absl::InvalidArgumentError("cache_time_ms must not be set when path_through_mode is disabled");  // Envoy's text
                    config->cache_time = config::ms(proto.cache_time());
                  }
                  if (config->pass_through && proto.cluster_min_healthy_percentages_size() != 0) {
                    return absl::InvalidArgumentError("cluster_min_healthy_percentages must not be set when path_through_mode is enabled");  // Envoy's text
                  }
                  for (const auto& [cluster, percent] : proto.cluster_min_healthy_percentages()) {
                    config->cluster_min_healthy.emplace_back(cluster, static_cast<uint32_t>(percent.value()));  // Envoy 1.40 drops the fraction
                  }
                  std::sort(config->cluster_min_healthy.begin(), config->cluster_min_healthy.end());
                  for (int i = 0; i < proto.headers_size(); ++i) {
                    auto matcher = matching::HeaderMatcher::compile(proto.headers(i));
                    if (!matcher.ok()) return prefix(absl::StrCat("headers[", i, "]"), matcher.status());
                    config->headers.push_back(std::move(*matcher));
                  }
                  return config;
                }});
}

}  // namespace fairlead::filters::health_check
