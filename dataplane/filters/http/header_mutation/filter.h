// Changes headers, trailers and query parameters of requests and responses, as the filter and then the levels of the route say.
// One per stream, in its arena; one worker.
#pragma once

#include <array>

#include "dataplane/filters/http/header_mutation/config.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::header_mutation {

void register_filter(stream::FilterRegistry& registry);

class HeaderMutationFilter final : public stream::Filter {
 public:
  explicit HeaderMutationFilter(const Config& config) : config_(config) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::TrailersStatus decode_trailers(http::HeaderMap& trailers) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::TrailersStatus encode_trailers(http::HeaderMap& trailers) override;

 private:
  void find_levels();
  void apply_all(const HeaderChanges Mutations::*changes, http::HeaderMap& headers);

  const Config& config_;
  std::array<const Mutations*, 5> levels_;  // in the order of application
  uint8_t level_count_ = 0;
};

}  // namespace fairlead::filters::header_mutation
