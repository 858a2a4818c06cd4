// See config.h.
#include "dataplane/filters/network/echo/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/echo/v3/echo.pb.h"

namespace fairlead::filters::network::echo {

void register_config(config::Registry& registry) {
  registry.add(config::NetworkFilterType{.type_url = kTypeUrl,
                                         .canonical = "envoy.filters.network.echo",
                                         .terminal = true,
                                         .parse = [](const google::protobuf::Any& any, const std::string& field) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                                           FL_RETURN_IF_ERROR(config::unpack_as<envoy::extensions::filters::network::echo::v3::Echo>(any, field).status());
                                           return std::make_shared<Config>();
                                         }});
}

}  // namespace fairlead::filters::network::echo
