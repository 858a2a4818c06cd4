// See config.h.
#include "dataplane/filters/http/cors/config.h"

#include "dataplane/config/fields.h"
#include "dataplane/router/cors.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"

namespace fairlead::filters::cors {

namespace v3 = envoy::extensions::filters::http::cors::v3;

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors",
                .canonical = "envoy.filters.http.cors",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_RETURN_IF_ERROR(config::unpack_as<v3::Cors>(any, "typed_config").status());
                  return std::make_shared<Config>();
                },
                .per_route_type_url = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::CorsPolicy>(any, "typed_per_filter_config"));
                  return fairlead::router::CorsPolicy::compile(proto);
                }});
}

}  // namespace fairlead::filters::cors
