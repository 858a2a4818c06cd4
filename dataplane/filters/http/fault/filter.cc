// See filter.h.
#include "dataplane/filters/http/fault/filter.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include <algorithm>
#include <limits>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::fault {

using format::ResponseFlag;
using std::chrono::milliseconds;
using stream::DataStatus;
using stream::HeadersStatus;
using stream::TrailersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<Shared> shared = std::make_shared<Shared>();
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<FaultFilter>(arena, *shared); }
};

std::optional<uint64_t> number_in(const http::HeaderMap& headers, std::string_view name) {
  uint64_t value;
  if (!absl::SimpleAtoi(headers.get(name), &value)) return std::nullopt;
  return value;
}

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    Shared& shared = *factory->shared;
    shared.config = std::static_pointer_cast<const Config>(std::move(config));
    shared.scope = context.scope;
    shared.aborts = context.scope->counter("fault.aborts_injected");
    shared.delays = context.scope->counter("fault.delays_injected");
    shared.overflow = context.scope->counter("fault.faults_overflow");
    shared.limited = context.scope->counter("fault.response_rl_injected");
    shared.active = context.scope->gauge("fault.active_faults");
    shared.clusters.resize(context.stats.threads());
    return factory;
  });
}

const Shared::PerCluster* Shared::per_cluster(uint32_t worker, std::string_view name) {
  auto& known = clusters[worker];
  if (const auto it = known.find(name); it != known.end()) return &it->second;
  if (known.size() >= kMaxDownstreamClusters) return nullptr;
  const PerCluster counters{scope->counter_on_use(absl::StrCat("fault.", name, ".aborts_injected")), scope->counter_on_use(absl::StrCat("fault.", name, ".delays_injected"))};
  return &known.emplace(std::string(name), counters).first->second;
}

stats::Cells& FaultFilter::cells() const { return stream().worker().cells(); }

std::string FaultFilter::cluster_key(std::string_view rest) const {
  return downstream_cluster_.empty() || stream().runtime() == nullptr ? std::string() : absl::StrCat("fault.http.", downstream_cluster_, ".", rest);
}

bool FaultFilter::hit(const Percentage& percentage, const http::HeaderMap& headers, std::string_view key_of_cluster) {
  upstream::Random& random = stream().worker().random();
  return percentage.hit(headers, stream().runtime(), key_of_cluster.empty() ? std::string() : cluster_key(key_of_cluster), random.next(), random.next());
}

uint64_t FaultFilter::number(const std::string& key, std::string_view key_of_cluster, uint64_t value) const {
  const matching::Runtime* runtime = stream().runtime();
  if (runtime == nullptr) return value;
  value = static_cast<uint64_t>(runtime->number(key, static_cast<double>(value)));
  if (const std::string own = cluster_key(key_of_cluster); !own.empty()) value = static_cast<uint64_t>(runtime->number(own, static_cast<double>(value)));
  return value;
}

bool FaultFilter::applies(const http::HeaderMap& headers) {
  if (!settings_->upstream_cluster.empty()) {
    const fairlead::router::Match& match = stream().route();
    if (match.route == nullptr || match.cluster != settings_->upstream_cluster) return false;
  }
  if (!settings_->downstream_nodes.empty()) {
    const std::string_view node = headers.get("x-envoy-downstream-service-node");
    if (std::find(settings_->downstream_nodes.begin(), settings_->downstream_nodes.end(), node) == settings_->downstream_nodes.end()) return false;
  }
  return std::all_of(settings_->headers.begin(), settings_->headers.end(), [&](const auto& matcher) { return matcher.match(headers); });
}

HeadersStatus FaultFilter::decode_headers(http::HeaderMap& headers, bool) {
  const auto* route = dynamic_cast<const RouteConfig*>(stream().per_route_config(*this));
  settings_ = route != nullptr ? &route->settings : &shared_.config->settings;
  if (!applies(headers)) return HeadersStatus::kContinue;
  downstream_cluster_ = headers.get("x-envoy-downstream-service-cluster");
  set_up_rate_limit(headers);
  code_ = abort_of(headers);
  const auto delay = delay_of(headers);
  if (delay && begin_fault()) {
    cells().add(shared_.delays);
    if (settings_->downstream_cluster_stats && !downstream_cluster_.empty()) {
      if (const auto* counters = shared_.per_cluster(stream().worker().index(), downstream_cluster_)) cells().add(counters->delays);
    }
    stream().set_flag(ResponseFlag::DelayInjected);
    delay_timer_.emplace(stream().worker().loop().timers(), [this] {
      if (code_) return abort(*code_);
      continue_decoding();
    });
    delay_timer_->arm(*delay);
    return HeadersStatus::kStop;
  }
  if (code_ && begin_fault()) {
    abort(*code_);
    return HeadersStatus::kStop;
  }
  return HeadersStatus::kContinue;
}

std::optional<milliseconds> FaultFilter::delay_of(const http::HeaderMap& headers) {
  if (!settings_->delay || !hit(settings_->delay->percentage, headers, "delay.fixed_delay_percent")) return std::nullopt;
  uint64_t duration;
  if (settings_->delay->fixed) {
    duration = static_cast<uint64_t>(settings_->delay->fixed->count());
  } else {
    const auto asked = number_in(headers, "x-envoy-fault-delay-request");
    if (!asked) return std::nullopt;
    duration = *asked;
  }
  duration = std::min<uint64_t>(number(settings_->delay_duration_key, "delay.fixed_duration_ms", duration), std::numeric_limits<uint32_t>::max());
  if (duration == 0) return std::nullopt;
  return milliseconds(duration);
}

std::optional<FaultFilter::AbortCode> FaultFilter::abort_of(const http::HeaderMap& headers) {
  if (!settings_->abort || !hit(settings_->abort->percentage, headers, "abort.abort_percent")) return std::nullopt;
  const Settings::Abort& abort = *settings_->abort;
  std::optional<uint64_t> http, grpc;
  if (abort.http_status) {
    http = *abort.http_status;
  } else if (abort.grpc_status) {
    grpc = *abort.grpc_status;
  } else {
    http = number_in(headers, "x-envoy-fault-abort-request");
    if (http && (*http < 200 || *http >= 600)) http.reset();
    if (!http) grpc = number_in(headers, "x-envoy-fault-abort-grpc-request");
  }
  if (http) {
    const uint64_t status = number(settings_->abort_http_key, "abort.http_status", *http);
    return AbortCode{static_cast<uint32_t>(status >= 200 && status < 600 ? status : *http), {}};
  }
  if (grpc) return AbortCode{200, static_cast<uint32_t>(number(settings_->abort_grpc_key, "abort.grpc_status", *grpc))};
  return std::nullopt;
}

void FaultFilter::set_up_rate_limit(const http::HeaderMap& headers) {
  if (!settings_->rate_limit) return;
  std::optional<uint64_t> kbps = settings_->rate_limit->kbps;
  if (!kbps) kbps = number_in(headers, "x-envoy-fault-throughput-response");
  if (!kbps || *kbps == 0 || !hit(settings_->rate_limit->percentage, headers, {})) return;
  if (!begin_fault()) return;
  cells().add(shared_.limited);
  limiter_.emplace(stream().worker().loop().timers(), std::min<uint64_t>(*kbps, 1u << 30) * 1024, [this](net::Buffer& data, bool end) {
    if (paused_ && limiter_->held() <= stream().buffer_limit() / 2) {
      paused_ = false;
      stream().resume_response();
    }
    if (!end || trailers_ == nullptr) return send_response_data(data, end);
    send_response_data(data, false);
    if (stream().active()) send_response_trailers(*trailers_);
  });
}

// A filter counts as one fault, whatever it does to the request. The limit is soft, as in Envoy 1.40: it may be overshot by a race.
bool FaultFilter::begin_fault() {
  if (active_) return true;
  const uint64_t limit = number(settings_->max_active_key, {}, settings_->max_active.value_or(std::numeric_limits<uint32_t>::max()));
  if (shared_.active_count.load(std::memory_order_relaxed) >= limit) {
    cells().add(shared_.overflow);
    return false;
  }
  shared_.active_count.fetch_add(1, std::memory_order_relaxed);
  cells().add(shared_.active);
  active_ = true;
  return true;
}

void FaultFilter::abort(const AbortCode& code) {
  cells().add(shared_.aborts);
  if (settings_->downstream_cluster_stats && !downstream_cluster_.empty()) {
    if (const auto* counters = shared_.per_cluster(stream().worker().index(), downstream_cluster_)) cells().add(counters->aborts);
  }
  stream().set_flag(ResponseFlag::FaultInjected);
  stream().send_local_reply({.status = code.http, .body = settings_->abort->body, .details = "fault_filter_abort", .grpc_status = code.grpc});
}

DataStatus FaultFilter::encode_data(net::Buffer& data, bool end_stream) {
  if (!limiter_) return DataStatus::kContinue;
  limiter_->add(data, end_stream);
  if (stream().active() && !paused_ && stream().buffer_limit() != 0 && limiter_->held() > stream().buffer_limit()) {
    paused_ = true;
    stream().pause_response();
  }
  return DataStatus::kTaken;
}

TrailersStatus FaultFilter::encode_trailers(http::HeaderMap& trailers) {
  if (!limiter_) return TrailersStatus::kContinue;
  trailers_ = &trailers;
  net::Buffer none;
  limiter_->add(none, true);
  return TrailersStatus::kTaken;
}

void FaultFilter::on_stream_end() {
  if (delay_timer_) delay_timer_->disarm();
  if (limiter_) limiter_->stop();
  if (!active_) return;
  active_ = false;
  shared_.active_count.fetch_sub(1, std::memory_order_relaxed);
  cells().sub(shared_.active);
}

}  // namespace fairlead::filters::fault
