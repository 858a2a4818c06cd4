// See config.h.
#include "dataplane/filters/http/buffer/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/buffer/v3/buffer.pb.h"

namespace fairlead::filters::buffer {

namespace v3 = envoy::extensions::filters::http::buffer::v3;

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer",
                .canonical = "envoy.filters.http.buffer",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::Buffer>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  config->max_request_bytes = proto.max_request_bytes().value();
                  return config;
                },
                .per_route_type_url = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::BufferPerRoute>(any, "typed_per_filter_config"));
                  auto config = std::make_shared<RouteConfig>();
                  config->disabled = proto.disabled();
                  config->max_request_bytes = proto.buffer().max_request_bytes().value();
                  return config;
                }});
}

}  // namespace fairlead::filters::buffer
