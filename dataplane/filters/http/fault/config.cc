// See config.h.
#include "dataplane/filters/http/fault/config.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/fields.h"
#include "dataplane/http/header_map.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"

namespace fairlead::filters::fault {
namespace {

namespace v3 = envoy::extensions::filters::http::fault::v3;
constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault";

absl::Status read_percentage(const envoy::type::v3::FractionalPercent& proto, const std::string& key, std::string_view default_key, std::string_view header, Percentage& out) {
  FL_ASSIGN_OR_RETURN(out.fraction, matching::Fraction::compile(proto));
  out.fraction.set_runtime_key(key.empty() ? std::string(default_key) : key);
  out.header = std::string(header);
  return absl::OkStatus();
}

absl::StatusOr<Settings> parse_settings(const v3::HTTPFault& proto) {
  Settings out;
  if (proto.has_delay()) {
    Settings::Delay& delay = out.delay.emplace();
    if (proto.delay().has_fixed_delay()) delay.fixed = config::ms(proto.delay().fixed_delay());
    FL_RETURN_IF_ERROR(prefix("delay.percentage", read_percentage(proto.delay().percentage(), proto.delay_percent_runtime(), "fault.http.delay.fixed_delay_percent",
                                                                  proto.delay().has_header_delay() ? "x-envoy-fault-delay-request-percentage" : "", delay.percentage)));
  }
  if (proto.has_abort()) {
    Settings::Abort& abort = out.abort.emplace();
    if (proto.abort().error_type_case() == v3::FaultAbort::kHttpStatus) abort.http_status = proto.abort().http_status();
    if (proto.abort().error_type_case() == v3::FaultAbort::kGrpcStatus) abort.grpc_status = proto.abort().grpc_status();
    abort.body = proto.abort().response_body().empty() ? "fault filter abort" : proto.abort().response_body();
    FL_RETURN_IF_ERROR(prefix("abort.percentage", read_percentage(proto.abort().percentage(), proto.abort_percent_runtime(), "fault.http.abort.abort_percent",
                                                                  proto.abort().has_header_abort() ? "x-envoy-fault-abort-request-percentage" : "", abort.percentage)));
  }
  if (proto.has_response_rate_limit()) {
    const auto& limit = proto.response_rate_limit();
    Settings::RateLimit& rate = out.rate_limit.emplace();
    if (limit.has_fixed_limit()) rate.kbps = limit.fixed_limit().limit_kbps();
    FL_RETURN_IF_ERROR(prefix("response_rate_limit.percentage",
                              read_percentage(limit.percentage(), proto.response_rate_limit_percent_runtime(), "fault.http.rate_limit.response_percent",
                                              limit.has_header_limit() ? "x-envoy-fault-throughput-response-percentage" : "", rate.percentage)));
  }
  out.upstream_cluster = proto.upstream_cluster();
  for (int i = 0; i < proto.headers_size(); ++i) {
    auto matcher = matching::HeaderMatcher::compile(proto.headers(i));
    if (!matcher.ok()) return prefix(absl::StrCat("headers[", i, "]"), matcher.status());
    out.headers.push_back(std::move(*matcher));
  }
  out.downstream_nodes.assign(proto.downstream_nodes().begin(), proto.downstream_nodes().end());
  if (proto.has_max_active_faults()) out.max_active = proto.max_active_faults().value();
  out.downstream_cluster_stats = !proto.disable_downstream_cluster_stats();
  const auto key = [](const std::string& given, std::string& out_key) {
    if (!given.empty()) out_key = given;
  };
  key(proto.delay_duration_runtime(), out.delay_duration_key);
  key(proto.abort_http_status_runtime(), out.abort_http_key);
  key(proto.abort_grpc_status_runtime(), out.abort_grpc_key);
  key(proto.max_active_faults_runtime(), out.max_active_key);
  return out;
}

}  // namespace

bool Percentage::hit(const http::HeaderMap& headers, const matching::Runtime* runtime, const std::string& also, uint64_t random, uint64_t other_random) const {
  matching::Fraction chance = fraction;
  if (!header.empty()) {
    uint32_t lower;
    if (absl::SimpleAtoi(headers.get(header), &lower)) {
      chance = matching::Fraction(std::min(lower, fraction.numerator()), fraction.denominator());
      chance.set_runtime_key(fraction.runtime_key());
    }
  }
  if (chance.match(random, runtime)) return true;
  if (also.empty()) return false;
  chance.set_runtime_key(also);
  return chance.match(other_random, runtime);
}

void register_config(config::Registry& registry) {
  registry.add({.type_url = kTypeUrl,
                .canonical = "envoy.filters.http.fault",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::HTTPFault>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  FL_ASSIGN_OR_RETURN(config->settings, parse_settings(proto));
                  return config;
                },
                .per_route_type_url = kTypeUrl,
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::HTTPFault>(any, "typed_per_filter_config"));
                  auto config = std::make_shared<RouteConfig>();
                  FL_ASSIGN_OR_RETURN(config->settings, parse_settings(proto));
                  return config;
                }});
}

}  // namespace fairlead::filters::fault
