// See config.h.
#include "dataplane/filters/network/direct_response/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/network/direct_response/v3/config.pb.h"

namespace fairlead::filters::network::direct_response {
namespace {

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field, const router::FileReader& read_file) {
  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<envoy::extensions::filters::network::direct_response::v3::Config>(any, field));
  auto out = std::make_shared<Config>();
  std::string text;
  if (proto.has_response()) {
    FL_ASSIGN_OR_RETURN(text, router::read_data_source(proto.response(), read_file, field + ".response"));
  }
  out->response = std::make_shared<const std::string>(std::move(text));
  return out;
}

}  // namespace

void register_config(config::Registry& registry, router::FileReader read_file) {
  registry.add(config::NetworkFilterType{.type_url = kTypeUrl,
                                         .canonical = "envoy.filters.network.direct_response",
                                         .terminal = true,
                                         .parse = [read_file = std::move(read_file)](const google::protobuf::Any& any, const std::string& field) { return parse(any, field, read_file); }});
}

}  // namespace fairlead::filters::network::direct_response
