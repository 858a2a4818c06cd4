// Keeps a client on its host: asks the router for the host that the request carries, and tells the client when it came to another.
// One per stream, in its arena; one worker.
#pragma once

#include <optional>

#include "dataplane/filters/http/stateful_session/config.h"
#include "dataplane/stats/registry.h"
#include "dataplane/stream/filter.h"

namespace fairlead::filters::stateful_session {

void register_filter(stream::FilterRegistry& registry);

struct Counters {
  stats::Counter routed, failed_open, failed_closed, no_session;
};

class StatefulSessionFilter final : public stream::Filter {
 public:
  StatefulSessionFilter(const Config& config, const std::optional<Counters>& counters) : config_(config), counters_(counters) {}
  stream::HeadersStatus decode_headers(http::HeaderMap& headers, bool end_stream) override;
  stream::HeadersStatus encode_headers(http::HeaderMap& headers, bool end_stream) override;

 private:
  void count(stats::Counter Counters::*counter) const;
  uint64_t now() const;

  const Config& config_;
  const std::optional<Counters>& counters_;  // unset: the filter has no stat_prefix
  const Settings* settings_ = nullptr;       // in force, once the request is known; null: the route has none
  bool of_route_ = false;                    // the route's own, which are not counted
  bool session_ = false;                     // the path has one
  std::string_view host_;                    // that the request carried; in the arena
};

}  // namespace fairlead::filters::stateful_session
