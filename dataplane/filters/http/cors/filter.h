// Answers preflight requests and adds CORS headers to responses, as the policies of route and virtual host say.
// One per stream, in its arena; one worker.
#pragma once

#include <absl/container/inlined_vector.h>

#include "dataplane/router/cors.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::cors {

void register_filter(stream::FilterRegistry& registry);

struct Counters {
  stats::Counter origin_valid, origin_invalid;
};

class CorsFilter final : public stream::Filter {
 public:
  explicit CorsFilter(const Counters& counters) : counters_(counters) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;

 private:
  using Policy = fairlead::router::CorsPolicy;
  void find_policies();
  bool origin_allowed(std::string_view origin) const;
  void answer_preflight(const http::HeaderMap& request, bool allowed);
  // The first level that says something.
  std::string_view first(const std::string Policy::*text) const;
  bool first(const std::optional<bool> Policy::*flag, bool fallback) const;

  const Counters& counters_;
  absl::InlinedVector<const Policy*, 4> policies_;  // the most specific first
  std::string_view origin_;                         // of a request whose response gets headers
};

}  // namespace fairlead::filters::cors
