// See filter.h.
#include "dataplane/filters/http/stateful_session/filter.h"

#include <absl/strings/str_cat.h>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/stream.h"

namespace fairlead::filters::stateful_session {

using stream::HeadersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  std::optional<Counters> counters;
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<StatefulSessionFilter>(arena, *config, counters); }
};

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession", [](std::shared_ptr<const config::FilterConfig> config, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    factory->config = std::static_pointer_cast<const Config>(std::move(config));
    factory->scope = context.scope;
    const std::string& name = factory->config->stat_prefix;
    const auto counter = [&](std::string_view what) { return context.scope->counter(absl::StrCat("stateful_session.", name, ".", what)); };
    if (!name.empty()) factory->counters = Counters{counter("routed"), counter("failed_open"), counter("failed_closed"), counter("no_session")};
    return factory;
  });
}

void StatefulSessionFilter::count(stats::Counter Counters::*counter) const {
  if (counters_ && !of_route_) stream().worker().cells().add((*counters_).*counter);
}

uint64_t StatefulSessionFilter::now() const {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(stream().worker().loop().wall_now().time_since_epoch()).count());
}

HeadersStatus StatefulSessionFilter::decode_headers(http::HeaderMap& headers, bool) {
  settings_ = &config_.settings;
  if (const auto* route = dynamic_cast<const RouteConfig*>(stream().per_route_config(*this)); route != nullptr) {
    settings_ = route->disabled ? nullptr : &route->settings;
    of_route_ = true;
  }
  if (settings_ == nullptr || !has_session(*settings_, headers.get(http::Token::PseudoPath))) return HeadersStatus::kContinue;
  session_ = true;
  host_ = stream().arena().copy(session_host(*settings_, headers, now()));
  if (!host_.empty()) stream().set_override_host({.address = host_, .strict = settings_->strict, .missing_status = settings_->missing_status});
  return HeadersStatus::kContinue;
}

// Of answers of the proxy itself too, when a host had been chosen.
HeadersStatus StatefulSessionFilter::encode_headers(http::HeaderMap& headers, bool) {
  if (settings_ == nullptr) return HeadersStatus::kContinue;
  const std::string_view host = stream().info().upstream_host;
  if (!session_) {
    if (!host.empty()) count(&Counters::no_session);
  } else if (host.empty()) {
    if (settings_->strict && stream().has_flag(format::ResponseFlag::NoHealthyUpstream)) count(&Counters::failed_closed);
  } else if (host == host_) {
    count(&Counters::routed);
  } else {
    tell_client(*settings_, host, now(), headers);
    if (!settings_->strict) count(&Counters::failed_open);
  }
  return HeadersStatus::kContinue;
}

}  // namespace fairlead::filters::stateful_session
