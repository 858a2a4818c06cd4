// See config.h.
#include "dataplane/filters/http/local_ratelimit/config.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/config/fields.h"
#include "envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.pb.h"

namespace fairlead::filters::local_ratelimit {
namespace {

namespace v3 = envoy::extensions::filters::http::local_ratelimit::v3;
constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";

#define FAIRLEAD_DEF(name) {#name, stats::Kind::counter},
constexpr stats::StatDef kDefs[] = {FAIRLEAD_LOCAL_RATE_LIMIT_STATS(FAIRLEAD_DEF)};
#undef FAIRLEAD_DEF

absl::Status parse_descriptors(const v3::LocalRateLimit& proto, Limit& out) {
  for (int i = 0; i < proto.descriptors_size(); ++i) {
    const auto& descriptor = proto.descriptors(i);
    const std::string place = absl::StrCat("descriptors[", i, "]");
    DescriptorLimit limit;
    for (const auto& entry : descriptor.entries()) {
      if (entry.value().empty()) return prefix(place, absl::InvalidArgumentError(absl::StrCat("entries: a wildcard for '", entry.key(), "' is not supported")));
      limit.entries.emplace_back(entry.key(), entry.value());
    }
    const auto same = [&](const DescriptorLimit& other) { return other.entries == limit.entries; };
    if (std::any_of(out.descriptors.begin(), out.descriptors.end(), same)) return prefix(place, absl::InvalidArgumentError("duplicate descriptor in the local rate descriptor"));  // Envoy's text
    const auto size = read_bucket(descriptor.token_bucket(), "local rate limit descriptor");
    if (!size.ok()) return prefix(place, size.status());
    limit.bucket = std::make_unique<TokenBucket>(*size);
    limit.per_second = size->per_fill / std::chrono::duration<double>(size->interval).count();
    out.descriptors.push_back(std::move(limit));
  }
  std::stable_sort(out.descriptors.begin(), out.descriptors.end(), [](const auto& a, const auto& b) { return a.per_second < b.per_second; });
  FL_ASSIGN_OR_RETURN(out.policies, fairlead::router::RateLimitPolicy::compile(proto.rate_limits(), "rate_limits"));
  out.stage = proto.stage();
  using envoy::extensions::common::ratelimit::v3::VhRateLimitsOptions;
  switch (proto.vh_rate_limits()) {
    case VhRateLimitsOptions::INCLUDE: out.host_limits = HostLimits::Include; break;
    case VhRateLimitsOptions::IGNORE: out.host_limits = HostLimits::Ignore; break;
    default: out.host_limits = HostLimits::Override;
  }
  if (proto.has_always_consume_default_token_bucket()) out.always_consume_default = proto.always_consume_default_token_bucket().value();
  return absl::OkStatus();
}

absl::Status parse_limit(const v3::LocalRateLimit& proto, bool per_route, Limit& out) {
  out.stat_prefix = proto.stat_prefix();
  if (proto.has_status() && proto.status().code() >= 400) out.status = static_cast<uint32_t>(proto.status().code());
  if (proto.has_token_bucket()) {
    FL_ASSIGN_OR_RETURN(const BucketSize size, read_bucket(proto.token_bucket()));
    out.bucket = std::make_unique<TokenBucket>(size);
  } else if (per_route) {
    return absl::InvalidArgumentError("local rate limit token bucket must be set for per filter configs");  // Envoy's text
  }
  const auto fraction = [](const auto& field, std::optional<matching::Fraction>& fraction_out) -> absl::Status {
    FL_ASSIGN_OR_RETURN(fraction_out, matching::Fraction::compile(field));
    return absl::OkStatus();
  };
  if (proto.has_filter_enabled()) FL_RETURN_IF_ERROR(prefix("filter_enabled", fraction(proto.filter_enabled(), out.enabled)));
  if (proto.has_filter_enforced()) FL_RETURN_IF_ERROR(prefix("filter_enforced", fraction(proto.filter_enforced(), out.enforced)));
  FL_ASSIGN_OR_RETURN(out.request_headers_when_not_enforced, fairlead::router::HeaderOps::compile(proto.request_headers_to_add_when_not_enforced(), {}, "request_headers"));
  FL_ASSIGN_OR_RETURN(out.response_headers, fairlead::router::HeaderOps::compile(proto.response_headers_to_add(), {}, "response_headers"));
  out.x_ratelimit_headers = proto.enable_x_ratelimit_headers() == envoy::extensions::common::ratelimit::v3::DRAFT_VERSION_03;
  out.retry_after = proto.enable_retry_after_header();
  out.resource_exhausted = proto.rate_limited_as_resource_exhausted();
  return parse_descriptors(proto, out);
}

}  // namespace

bool DescriptorLimit::matches(const fairlead::router::Descriptor& descriptor) const {
  return std::equal(entries.begin(), entries.end(), descriptor.begin(), descriptor.end(), [](const auto& mine, const auto& theirs) { return mine.first == theirs.key && mine.second == theirs.value; });
}

constinit const stats::StatSet kStats = {kDefs, static_cast<uint32_t>(Stat::first_histogram), false};

void register_config(config::Registry& registry) {
  registry.add({.type_url = kTypeUrl,
                .canonical = "envoy.filters.http.local_ratelimit",
                .parse = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::LocalRateLimit>(any, "typed_config"));
                  auto config = std::make_shared<Config>();
                  FL_RETURN_IF_ERROR(parse_limit(proto, false, config->limit));
                  return config;
                },
                .per_route_type_url = kTypeUrl,
                .parse_per_route = [](const google::protobuf::Any& any) -> absl::StatusOr<std::shared_ptr<const fairlead::router::PerFilterConfig>> {
                  FL_ASSIGN_OR_RETURN(const auto proto, config::unpack_as<v3::LocalRateLimit>(any, "typed_per_filter_config"));
                  auto config = std::make_shared<RouteConfig>();
                  FL_RETURN_IF_ERROR(parse_limit(proto, true, config->limit));
                  return config;
                }});
}

}  // namespace fairlead::filters::local_ratelimit
