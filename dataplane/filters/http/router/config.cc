// Parses the router filter's configuration; see config.h.
#include "dataplane/filters/http/router/config.h"

#include <absl/strings/str_cat.h>

#include "base/descriptors.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"

namespace fairlead::filters::router {
namespace {

using Proto = envoy::extensions::filters::http::router::v3::Router;

absl::StatusOr<std::shared_ptr<const config::FilterConfig>> parse(const google::protobuf::Any& any) {
  Proto proto;
  if (!any.UnpackTo(&proto)) return absl::InvalidArgumentError(absl::StrCat("not a Router message: ", any.type_url()));
  if (proto.upstream_log_size() != 0) return absl::InvalidArgumentError("upstream_log: not supported");
  // The codec ends every list of upstream filters, and alone it is what there is without one.
  for (int i = 0; i < proto.upstream_http_filters_size(); ++i) {
    const auto& filter = proto.upstream_http_filters(i);
    if (i == 0 && proto.upstream_http_filters_size() == 1 && !filter.disabled() &&
        type_name(filter.typed_config().type_url()) == "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec") {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat("upstream_http_filters[", i, "]: only envoy.filters.http.upstream_codec, alone, is supported (", filter.name(), ")"));
  }
  auto config = std::make_shared<RouterConfig>();
  if (proto.has_dynamic_stats()) config->dynamic_stats = proto.dynamic_stats().value();
  config->suppress_envoy_headers = proto.suppress_envoy_headers();
  config->respect_expected_rq_timeout = proto.respect_expected_rq_timeout();
  config->strict_check_headers.assign(proto.strict_check_headers().begin(), proto.strict_check_headers().end());
  return config;
}

}  // namespace

void register_config(config::Registry& registry) {
  registry.add({.type_url = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", .canonical = "envoy.filters.http.router", .terminal = true, .parse = parse});
}

}  // namespace fairlead::filters::router
