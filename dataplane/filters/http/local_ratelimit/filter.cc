// See filter.h.
#include "dataplane/filters/http/local_ratelimit/filter.h"

#include <absl/strings/str_cat.h>

#include <algorithm>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::local_ratelimit {

using format::ResponseFlag;
using stream::HeadersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<const Config> config;
  stats::Registry* registry = nullptr;
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<LocalRateLimitFilter>(arena, *config, *registry); }
};

stats::ScopeName scope_name(const std::string& prefix) {
  return {absl::StrCat(prefix, ".http_local_rate_limit."), "http_local_rate_limit.", {{"envoy.local_http_ratelimit_prefix", prefix}}};
}

std::chrono::nanoseconds since_epoch(net::TimePoint now) { return now.time_since_epoch(); }
uint64_t whole_seconds(std::chrono::nanoseconds t) { return static_cast<uint64_t>((t.count() + 999'999'999) / 1'000'000'000); }

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    factory->config = std::static_pointer_cast<const Config>(std::move(config));
    factory->registry = &context.stats;
    factory->config->limit.stats.get(context.stats, scope_name(factory->config->limit.stat_prefix), kStats);
    return factory;
  });
}

bool LocalRateLimitFilter::roll(const std::optional<matching::Fraction>& fraction) const {
  return fraction && fraction->match(stream().worker().random().next(), stream().runtime());
}

HeadersStatus LocalRateLimitFilter::decode_headers(http::HeaderMap& headers, bool) {
  const auto* route = dynamic_cast<const RouteConfig*>(stream().per_route_config(*this));
  const Limit& limit = route != nullptr ? route->limit : config_.limit;
  const stats::Block<Stat>* counters = limit.stats.made();
  if (counters == nullptr) counters = &limit.stats.get(registry_, scope_name(limit.stat_prefix), kStats);
  if (!roll(limit.enabled)) return HeadersStatus::kContinue;
  stats::Cells& cells = stream().worker().cells();
  cells.add(*counters, Stat::enabled);
  limit_ = &limit;
  if (allowed(limit, headers)) {
    cells.add(*counters, Stat::ok);
    return HeadersStatus::kContinue;
  }
  cells.add(*counters, Stat::rate_limited);
  if (!roll(limit.enforced)) {
    if (!limit.request_headers_when_not_enforced.empty()) limit.request_headers_when_not_enforced.apply(headers, stream().info());
    return HeadersStatus::kContinue;
  }
  cells.add(*counters, Stat::enforced);
  stream().set_flag(ResponseFlag::RateLimited);
  stream().send_local_reply({.status = limit.status,
                             .body = "local_rate_limited",
                             .details = "local_rate_limited",
                             .grpc_status = limit.resource_exhausted ? std::optional<uint32_t>(8) : std::nullopt,
                             .modify_headers = [&](http::HeaderMap& reply) { limit.response_headers.apply(reply, stream().info()); }});
  return HeadersStatus::kStop;
}

// Every descriptor of the request that has a bucket must get a token, the slowest first, and then the default bucket must give one.
bool LocalRateLimitFilter::allowed(const Limit& limit, const http::HeaderMap& headers) {
  const std::chrono::nanoseconds now = since_epoch(stream().worker().loop().now());
  absl::InlinedVector<fairlead::router::Descriptor, 2> descriptors;
  if (!limit.descriptors.empty()) {
    const fairlead::router::Match& match = stream().route();
    const std::string_view remote = stream().info().downstream_remote_address;  // "1.2.3.4:5", "[::1]:5"
    std::string_view ip = remote.substr(0, remote.rfind(':'));
    if (ip.size() > 2 && ip.front() == '[') ip = ip.substr(1, ip.size() - 2);
    const fairlead::router::RateLimitFacts facts{.remote_ip = ip, .source_cluster = stream().manager().service_cluster(), .destination_cluster = match.cluster};
    const auto add = [&](const std::vector<fairlead::router::RateLimitPolicy>& policies, bool any_stage) {
      for (const auto& policy : policies) {
        fairlead::router::Descriptor descriptor;
        if ((any_stage || policy.stage == limit.stage) && policy.describe(headers, facts, stream().arena(), descriptor)) descriptors.push_back(std::move(descriptor));
      }
    };
    if (!limit.policies.empty()) {
      add(limit.policies, true);
    } else {
      const auto* of_route = match.route != nullptr ? match.route->forward.rate_limits.get() : nullptr;
      const auto* of_host = match.virtual_host != nullptr ? match.virtual_host->extras.rate_limits.get() : nullptr;
      if (of_route != nullptr) add(*of_route, false);
      if (of_host != nullptr && (limit.host_limits == HostLimits::Include || (limit.host_limits == HostLimits::Override && of_route == nullptr))) add(*of_host, false);
    }
  }
  if (!descriptors.empty()) {
    for (const DescriptorLimit& candidate : limit.descriptors) {
      if (std::none_of(descriptors.begin(), descriptors.end(), [&](const auto& d) { return candidate.matches(d); })) continue;
      if (bucket_ == nullptr) bucket_ = candidate.bucket.get();
      if (candidate.bucket->consume(now)) continue;
      bucket_ = candidate.bucket.get();
      return false;
    }
  }
  if (limit.bucket == nullptr || (bucket_ != nullptr && !limit.always_consume_default)) return true;
  const bool good = limit.bucket->consume(now);
  if (bucket_ == nullptr || !good) bucket_ = limit.bucket.get();
  return good;
}

HeadersStatus LocalRateLimitFilter::encode_headers(http::HeaderMap& headers, bool) {
  if (bucket_ == nullptr || !limit_->x_ratelimit_headers) return HeadersStatus::kContinue;
  const std::chrono::nanoseconds now = since_epoch(stream().worker().loop().now());
  headers.add("x-ratelimit-limit", absl::StrCat(bucket_->max()));
  headers.add("x-ratelimit-remaining", absl::StrCat(bucket_->remaining(now)));
  headers.add("x-ratelimit-reset", absl::StrCat(whole_seconds(bucket_->until_next(now))));
  return HeadersStatus::kContinue;
}

}  // namespace fairlead::filters::local_ratelimit
