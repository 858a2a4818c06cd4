// See config.h.
#include "dataplane/filters/listener/http_inspector/config.h"

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"

namespace fairlead::filters::listener::http_inspector {
namespace {

using stats::Kind;
constexpr stats::StatDef kDefs[] = {
    {"read_error", Kind::counter}, {"http10_found", Kind::counter}, {"http11_found", Kind::counter}, {"http2_found", Kind::counter}, {"http_not_found", Kind::counter}};

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any, const std::string& field) {
  FL_RETURN_IF_ERROR(config::unpack_as<envoy::extensions::filters::listener::http_inspector::v3::HttpInspector>(any, field).status());
  return std::make_shared<config::FilterConfig>();
}

}  // namespace

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

void register_config(config::Registry& registry) { registry.add(config::ListenerFilterType{.type_url = kTypeUrl, .canonical = "envoy.filters.listener.http_inspector", .parse = parse}); }

}  // namespace fairlead::filters::listener::http_inspector
