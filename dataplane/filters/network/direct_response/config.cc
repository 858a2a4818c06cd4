// See config.h.
#include "dataplane/filters/network/direct_response/config.h"

#include "dataplane/config/fields.h"
#include "dataplane/router/data_source.h"
#include "envoy/extensions/filters/network/direct_response/v3/config.pb.h"

namespace fairlead::filters::network::direct_response {
namespace {

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<envoy::extensions::filters::network::direct_response::v3::Config>(any, field));
  auto out = std::make_shared<Config>();
  std::string text;
  if (proto.has_response()) {
    FL_ASSIGN_OR_RETURN(text, router::read_data_source(proto.response(), {}, field + ".response"));
  }
  out->response = std::make_shared<const std::string>(std::move(text));
  return out;
}

}  // namespace

void register_config(config::Registry& registry) {
  registry.add(config::NetworkFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.network.direct_response", .terminal = true, .parse = parse});
}

}  // namespace fairlead::filters::network::direct_response
