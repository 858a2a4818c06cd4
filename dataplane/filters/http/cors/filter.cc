// See filter.h.
#include "dataplane/filters/http/cors/filter.h"

#include "dataplane/stream/stream.h"

namespace fairlead::filters::cors {

using http::Token;
using stream::HeadersStatus;

namespace {

struct Factory final : stream::FilterFactory {
  stats::ScopePtr scope;
  Counters counters;
  stream::Filter* create(http::Arena& arena) const override { return stream::make_filter<CorsFilter>(arena, counters); }
};

}  // namespace

void register_filter(stream::FilterRegistry& registry) {
  registry.add("type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors", [](std::shared_ptr<const config::FilterConfig>, const stream::FactoryContext& context) {
    auto factory = std::make_shared<Factory>();
    factory->scope = context.scope;
    factory->counters = {context.scope->counter("cors.origin_valid"), context.scope->counter("cors.origin_invalid")};
    return factory;
  });
}

// Typed policies count before the older `cors` fields, which are read only when there is none.
void CorsFilter::find_policies() {
  for (const auto* level : stream().per_route_configs(*this)) {
    if (const auto* policy = dynamic_cast<const Policy*>(level); policy != nullptr) policies_.push_back(policy);
  }
  if (!policies_.empty()) return;
  const fairlead::router::Match& match = stream().route();
  if (match.route != nullptr && match.route->forward.cors) policies_.push_back(match.route->forward.cors.get());
  if (match.virtual_host != nullptr && match.virtual_host->extras.cors) policies_.push_back(match.virtual_host->extras.cors.get());
}

std::string_view CorsFilter::first(const std::string Policy::*text) const {
  for (const Policy* policy : policies_) {
    if (!(policy->*text).empty()) return policy->*text;
  }
  return {};
}

bool CorsFilter::first(const std::optional<bool> Policy::*flag, bool fallback) const {
  for (const Policy* policy : policies_) {
    if (policy->*flag) return *(policy->*flag);
  }
  return fallback;
}

bool CorsFilter::origin_allowed(std::string_view origin) const {
  for (const Policy* policy : policies_) {
    if (policy->allow_origins.empty()) continue;
    for (const matching::StringMatcher& matcher : policy->allow_origins) {
      if (matcher.match("*") || matcher.match(origin)) return true;
    }
    return false;
  }
  return false;
}

HeadersStatus CorsFilter::decode_headers(http::HeaderMap& headers, bool) {
  const std::string_view origin = headers.get(Token::Origin);
  if (origin.empty()) return HeadersStatus::kContinue;
  find_policies();
  if (policies_.empty()) return HeadersStatus::kContinue;
  const Policy& nearest = *policies_.front();
  const matching::Runtime* runtime = stream().runtime();
  const bool enabled = !nearest.enabled || nearest.enabled->match(stream().worker().random().next(), runtime);
  if (!enabled && !(nearest.shadow && nearest.shadow->match(stream().worker().random().next(), runtime))) return HeadersStatus::kContinue;
  const bool preflight = headers.get(Token::PseudoMethod) == "OPTIONS" && !headers.get(Token::AccessControlRequestMethod).empty();
  stats::Cells& cells = stream().worker().cells();
  if (!origin_allowed(origin)) {
    cells.add(counters_.origin_invalid);
    if (!enabled || !preflight || first(&Policy::forward_not_matching_preflights, true)) return HeadersStatus::kContinue;  // Envoy 1.40: forwarded
    answer_preflight(headers, false);
    return HeadersStatus::kStop;
  }
  cells.add(counters_.origin_valid);
  if (!enabled) return HeadersStatus::kContinue;
  origin_ = origin;
  if (!preflight) return HeadersStatus::kContinue;
  answer_preflight(headers, true);
  return HeadersStatus::kStop;
}

void CorsFilter::answer_preflight(const http::HeaderMap& request, bool allowed) {
  http::Arena& arena = stream().arena();
  auto* reply = arena.make<http::HeaderMap>(arena);
  reply->add_ref(Token::PseudoStatus, "200");
  if (allowed) {
    reply->add_ref(Token::AccessControlAllowOrigin, origin_);
    if (first(&Policy::allow_credentials, false)) reply->add_ref("access-control-allow-credentials", "true");
    const auto add = [&](std::string_view name, std::string_view value) {
      if (!value.empty()) reply->add_ref(name, value);
    };
    add("access-control-allow-methods", first(&Policy::allow_methods));
    add("access-control-allow-headers", first(&Policy::allow_headers));
    add("access-control-max-age", first(&Policy::max_age));
    if (request.get("access-control-request-private-network") == "true" && first(&Policy::allow_private_network_access, false)) {
      reply->add_ref("access-control-allow-private-network", "true");
    }
  }
  stream().answer(*reply, "cors_response");
}

HeadersStatus CorsFilter::encode_headers(http::HeaderMap& headers, bool) {
  if (origin_.empty()) return HeadersStatus::kContinue;
  headers.set_ref(Token::AccessControlAllowOrigin, origin_);
  if (first(&Policy::allow_credentials, false)) headers.set("access-control-allow-credentials", "true");
  if (const std::string_view names = first(&Policy::expose_headers); !names.empty()) headers.set("access-control-expose-headers", names);
  return HeadersStatus::kContinue;
}

}  // namespace fairlead::filters::cors
