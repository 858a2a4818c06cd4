// See config.h.
#include "dataplane/filters/listener/original_dst/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"

namespace fairlead::filters::listener::original_dst {
namespace {

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_RETURN_IF_ERROR(config::unpack_as<envoy::extensions::filters::listener::original_dst::v3::OriginalDst>(any, field).status());
  return std::make_shared<config::FilterConfig>();
}

}  // namespace

void register_config(config::Registry& registry) { registry.add(config::ListenerFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.listener.original_dst", .parse = parse}); }

}  // namespace fairlead::filters::listener::original_dst
