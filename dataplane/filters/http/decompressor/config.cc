// See config.h.
#include "dataplane/filters/http/decompressor/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/decompressor/v3/decompressor.pb.h"

namespace fairlead::filters::decompressor {
namespace {

namespace v3 = envoy::extensions::filters::http::decompressor::v3;

Direction read_direction(const v3::Decompressor::CommonDirectionConfig& proto) {
  Direction out;
  if (proto.has_enabled()) out.enabled = {proto.enabled().default_value().value(), proto.enabled().runtime_key()};
  out.ignore_no_transform = proto.ignore_no_transform_header();
  return out;
}

}  // namespace

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor",
                .canonical = "envoy.filters.http.decompressor",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::Decompressor>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  auto library = compression::parse_decompressor(proto.decompressor_library());
                  if (!library.ok()) return prefix("decompressor_library", library.status());
                  config->library = std::move(*library);
                  config->request = read_direction(proto.request_direction_config().common_config());
                  config->response = read_direction(proto.response_direction_config().common_config());
                  const auto& request = proto.request_direction_config();
                  config->advertise = !request.has_advertise_accept_encoding() || request.advertise_accept_encoding().value();
                  return config;
                }});
}

}  // namespace fairlead::filters::decompressor
