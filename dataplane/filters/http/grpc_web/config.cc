// See config.h.
#include "dataplane/filters/http/grpc_web/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/grpc_web/v3/grpc_web.pb.h"

namespace fairlead::filters::grpc_web {

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
                .canonical = "envoy.filters.http.grpc_web",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_RETURN_IF_ERROR(config::unpack_as<envoy::extensions::filters::http::grpc_web::v3::GrpcWeb>(any, "typed_config").status());
                  return std::make_shared<Config>();
                }});
}

}  // namespace fairlead::filters::grpc_web
