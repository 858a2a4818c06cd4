// See filter.h.
#include "dataplane/filters/http/health_check/filter.h"

#include <algorithm>

#include "dataplane/http/status.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::health_check {

using format::ResponseFlag;
using http::Token;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<HealthCheckFilter>(arena, *shared); }
};

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    Shared& s = *factory->shared;
    s.config = std::static_pointer_cast<const Config>(std::move(config));
    s.service_cluster = context.service_cluster;
    s.scope = context.scope;
    s.request_total = s.scope->counter("health_check.request_total");
    s.ok = s.scope->counter("health_check.ok");
    s.failed = s.scope->counter("health_check.failed");
    s.cached_response = s.scope->counter("health_check.cached_response");
    s.failed_cluster_not_found = s.scope->counter("health_check.failed_cluster_not_found");
    s.failed_cluster_empty = s.scope->counter("health_check.failed_cluster_empty");
    s.failed_cluster_unhealthy = s.scope->counter("health_check.failed_cluster_unhealthy");
    s.degraded = s.scope->counter("health_check.degraded");
    s.traced = s.scope->counter("tracing.health_check");
    return factory;
  });
}

int64_t HealthCheckFilter::now() const { return stream().worker().loop().now().time_since_epoch().count(); }

HeadersStatus HealthCheckFilter::decode_headers(http::HeaderMap& headers, bool end_stream) {
  const Config& config = *shared_.config;
  if (!std::all_of(config.headers.begin(), config.headers.end(), [&](const auto& matcher) { return matcher.match(headers); })) return HeadersStatus::kContinue;
  is_check_ = true;
  stream().set_health_check();
  answers_ = !config.pass_through || stream().worker().health_failed || (config.cache_time && now() < shared_.cached_until.load(std::memory_order_acquire));
  if (!answers_) return HeadersStatus::kContinue;
  if (end_stream) {
    answer();
    return HeadersStatus::kStop;
  }
  return HeadersStatus::kStopAndRead;
}

// The body of a check that is answered here is read and dropped.
DataStatus HealthCheckFilter::decode_data(net::Buffer& data, bool end_stream) {
  if (!answers_) return DataStatus::kContinue;
  data.clear();
  if (end_stream) answer();
  return DataStatus::kHold;
}

TrailersStatus HealthCheckFilter::decode_trailers(http::HeaderMap&) {
  if (!answers_) return TrailersStatus::kContinue;
  answer();
  return TrailersStatus::kStop;
}

void HealthCheckFilter::answer() {
  const Verdict verdict = judge();
  if (verdict.status / 100 != 2) stream().set_flag(ResponseFlag::FailedLocalHealthCheck);
  stats::Cells& cells = stream().worker().cells();
  cells.add(shared_.request_total);
  cells.add(verdict.status / 100 == 2 ? shared_.ok : shared_.failed);
  if (verdict.degraded) cells.add(shared_.degraded);
  stream().send_local_reply({.status = verdict.status, .details = verdict.details, .modify_headers = [&](http::HeaderMap& reply) {
                               if (verdict.degraded) reply.add("x-envoy-degraded", "");
                             }});
}

HealthCheckFilter::Verdict HealthCheckFilter::judge() {
  if (stream().worker().health_failed) return {503, "health_check_failed"};
  if (shared_.config->cache_time) {
    stream().worker().cells().add(shared_.cached_response);
    return {shared_.cached_status.load(std::memory_order_relaxed), "health_check_cached", shared_.cached_degraded.load(std::memory_order_relaxed)};
  }
  return shared_.config->cluster_min_healthy.empty() ? Verdict{200, "health_check_ok"} : judge_clusters();
}

HealthCheckFilter::Verdict HealthCheckFilter::judge_clusters() {
  stats::Cells& cells = stream().worker().cells();
  for (const auto& [name, percent] : shared_.config->cluster_min_healthy) {
    const upstream::Cluster* cluster = stream().worker().clusters().find(name);
    if (cluster == nullptr) {
      cells.add(shared_.failed_cluster_not_found);
      return {503, "health_check_failed_no_cluster_found"};
    }
    const uint64_t total = cluster->hosts().size();
    if (total == 0) {
      if (percent == 0) continue;
      cells.add(shared_.failed_cluster_empty);
      return {503, "health_check_failed_cluster_empty"};
    }
    const auto fit = static_cast<uint64_t>(std::count_if(cluster->hosts().begin(), cluster->hosts().end(), [](const auto& host) { return host->health != upstream::Health::kUnhealthy; }));
    if (100 * fit < total * percent) {
      cells.add(shared_.failed_cluster_unhealthy);
      return {503, "health_check_failed_cluster_unhealthy"};
    }
  }
  return {200, "health_check_ok_cluster_healthy"};
}

HeadersStatus HealthCheckFilter::encode_headers(http::HeaderMap& headers, bool) {
  if (is_check_) {
    if (shared_.config->cache_time && !answers_) {
      shared_.cached_status.store(http::parse_status(headers.get(Token::PseudoStatus)), std::memory_order_relaxed);
      shared_.cached_degraded.store(headers.has("x-envoy-degraded"), std::memory_order_relaxed);
      shared_.cached_until.store(now() + std::chrono::nanoseconds(*shared_.config->cache_time).count(), std::memory_order_release);
    }
    headers.set("x-envoy-upstream-healthchecked-cluster", shared_.service_cluster);
  }
  if (stream().worker().health_failed) headers.set("x-envoy-immediate-health-check-fail", "true");
  return HeadersStatus::kContinue;
}

void HealthCheckFilter::on_stream_end() {
  if (is_check_) stream().worker().cells().add(shared_.traced);
}

}  // namespace fairlead::filters::health_check
