// Takes the PROXY protocol's header off a connection and believes it: the addresses in it are the connection's from then on. The one listener
// filter that consumes bytes, so it goes before those that look at what follows.
#pragma once

#include <array>
#include <memory>

#include "dataplane/filters/listener/proxy_protocol/config.h"
#include "dataplane/filters/listener/proxy_protocol/header.h"
#include "dataplane/stream/listener_filter.h"

namespace fairlead::filters::listener::proxy_protocol {

void register_filter(stream::ListenerFilterRegistry& registry);

struct Shared {
  std::shared_ptr<const Config> config;
  stats::ScopePtr scope;
  stats::Block<Stat> stats;
  std::array<stats::ScopePtr, 2> version_scopes;
  std::array<stats::Block<VersionStat>, 2> version_stats;
  stats::ScopePtr error_scope;
  stats::Counter errors;  // downstream_cx_proxy_proto_error
};

class ProxyProtocol final : public stream::ListenerFilter {
 public:
  explicit ProxyProtocol(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}
  Status on_accept(stream::AcceptedSocket&) override { return Status::kWait; }
  Status on_data(std::string_view peeked, bool end, stream::AcceptedSocket& socket) override;
  size_t max_bytes() const override { return kMaxHeader; }

 private:
  void take(const Header& header, stream::AcceptedSocket& socket) const;
  Status refuse(const Header& header, VersionStat why, stream::AcceptedSocket& socket) const;

  std::shared_ptr<const Shared> shared_;
};

}  // namespace fairlead::filters::listener::proxy_protocol
