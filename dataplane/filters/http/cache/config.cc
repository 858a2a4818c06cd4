// See config.h.
#include "dataplane/filters/http/cache/config.h"

#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/cache/v3/cache.pb.h"

namespace fairlead::filters::cache {

namespace v3 = envoy::extensions::filters::http::cache::v3;

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.cache.v3.CacheConfig",
                .canonical = "envoy.filters.http.cache",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::CacheConfig>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  config->disabled = proto.disabled().value();
                  config->ignore_request_cache_control = proto.ignore_request_cache_control_header();
                  config->max_body_bytes = proto.max_body_bytes();
                  for (int i = 0; i < proto.allowed_vary_headers_size(); ++i) {
                    auto matcher = matching::StringMatcher::compile(proto.allowed_vary_headers(i));
                    if (!matcher.ok()) return prefix(absl::StrCat("allowed_vary_headers[", i, "]"), matcher.status());
                    config->allowed_vary.push_back(std::move(*matcher));
                  }
                  if (config->disabled) return config;
                  // Envoy 1.40's texts.
                  if (!proto.has_typed_config()) return absl::InvalidArgumentError("at least one of typed_config or disabled must be set");
                  const std::string_view type = type_name(proto.typed_config().type_url());
                  if (type != "envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig") {
                    return absl::InvalidArgumentError(absl::StrCat("Didn't find a registered implementation for type: '", type, "'"));
                  }
                  return config;
                }});
}

}  // namespace fairlead::filters::cache
