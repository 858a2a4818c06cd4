// See filter.h.
#include "dataplane/filters/http/header_mutation/filter.h"

#include <algorithm>

#include "dataplane/stream/stream.h"

namespace fairlead::filters::header_mutation {

using stream::HeadersStatus;
using stream::TrailersStatus;

void register_filter(stream::FilterRegistry& registry) { registry.add_configured<HeaderMutationFilter, Config>("type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"); }

// Envoy 1.40: the filter's own first; then the most specific level first and the table last, whose word so stands, unless
// most_specific_header_mutations_wins turns that around.
void HeaderMutationFilter::find_levels() {
  if (level_count_ != 0) return;
  levels_[level_count_++] = &config_.mutations;
  for (const auto* level : stream().per_route_configs(*this)) {
    if (const auto* route = dynamic_cast<const RouteConfig*>(level); route != nullptr) levels_[level_count_++] = &route->mutations;
  }
  if (config_.most_specific_wins) std::reverse(levels_.begin() + 1, levels_.begin() + level_count_);
}

void HeaderMutationFilter::apply_all(const HeaderChanges Mutations::*changes, http::HeaderMap& headers) {
  find_levels();
  for (uint8_t i = 0; i < level_count_; ++i) {
    if (!(levels_[i]->*changes).empty()) apply(levels_[i]->*changes, headers, stream().info());
  }
}

HeadersStatus HeaderMutationFilter::decode_headers(http::HeaderMap& headers, bool) {
  apply_all(&Mutations::request, headers);
  std::vector<const std::vector<QueryChange>*> queries;
  for (uint8_t i = 0; i < level_count_; ++i) {
    if (!levels_[i]->query.empty()) queries.push_back(&levels_[i]->query);
  }
  if (!queries.empty()) headers.set(http::Token::PseudoPath, change_query(headers.get(http::Token::PseudoPath), queries, stream().info()));
  return HeadersStatus::kContinue;
}

TrailersStatus HeaderMutationFilter::decode_trailers(http::HeaderMap& trailers) {
  apply_all(&Mutations::request_trailers, trailers);
  return TrailersStatus::kContinue;
}

HeadersStatus HeaderMutationFilter::encode_headers(http::HeaderMap& headers, bool) {
  apply_all(&Mutations::response, headers);
  return HeadersStatus::kContinue;
}

TrailersStatus HeaderMutationFilter::encode_trailers(http::HeaderMap& trailers) {
  apply_all(&Mutations::response_trailers, trailers);
  return TrailersStatus::kContinue;
}

}  // namespace fairlead::filters::header_mutation
