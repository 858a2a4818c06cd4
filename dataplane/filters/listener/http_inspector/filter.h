// Finds out whether a client without TLS speaks HTTP, and which version, so that a filter chain can be chosen by it. Looks only.
#pragma once

#include <memory>

#include "dataplane/filters/listener/http_inspector/config.h"
#include "dataplane/filters/listener/http_inspector/request_line.h"
#include "dataplane/stream/listener_filter.h"

namespace fairlead::filters::listener::http_inspector {

void register_filter(stream::ListenerFilterRegistry& registry);

struct Shared {
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
};

class HttpInspector final : public stream::ListenerFilter {
 public:
  explicit HttpInspector(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Status on_accept(stream::AcceptedSocket& socket) override;
  Status on_data(std::string_view peeked, bool end, stream::AcceptedSocket& socket) override;
  size_t max_bytes() const override { return kMaxRequestLine; }

 private:
  std::shared_ptr<const Shared> shared_;
};

}  // namespace fairlead::filters::listener::http_inspector
