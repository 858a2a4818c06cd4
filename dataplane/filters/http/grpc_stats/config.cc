// See config.h.
#include "dataplane/filters/http/grpc_stats/config.h"

#include <absl/strings/str_cat.h>

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"

namespace fairlead::filters::grpc_stats {

namespace v3 = envoy::extensions::filters::http::grpc_stats::v3;

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
                .canonical = "envoy.filters.http.grpc_stats",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::FilterConfig>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  config->all_methods = proto.stats_for_all_methods().value();
                  for (const auto& service : proto.individual_method_stats_allowlist().services()) {
                    for (const std::string& method : service.method_names()) config->methods.insert(absl::StrCat(service.name(), "/", method));
                  }
                  config->upstream_times = proto.enable_upstream_stats();
                  config->replace_dots = proto.replace_dots_in_grpc_service_name();
                  return config;
                }});
}

}  // namespace fairlead::filters::grpc_stats
