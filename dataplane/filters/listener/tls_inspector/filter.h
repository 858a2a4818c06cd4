// Finds out whether a client speaks TLS, to which name and with which protocols, so that a filter chain can be chosen by it. Looks only.
#pragma once

#include <memory>

#include "dataplane/filters/listener/tls_inspector/config.h"
#include "dataplane/stream/listener_filter.h"

namespace fairlead::filters::listener::tls_inspector {

void register_filter(stream::ListenerFilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
};

class TlsInspector final : public stream::ListenerFilter {
 public:
  explicit TlsInspector(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Status on_accept(stream::AcceptedSocket&) override { return Status::kWait; }
  Status on_data(std::string_view peeked, bool end, stream::AcceptedSocket& socket) override;
  size_t max_bytes() const override { return shared_->config->wanted.limit; }

 private:
  Status found(ClientHello& hello, stream::AcceptedSocket& socket);
  Status not_found(size_t seen, stream::AcceptedSocket& socket);

  std::shared_ptr<const Shared> shared_;
};

}  // namespace fairlead::filters::listener::tls_inspector
