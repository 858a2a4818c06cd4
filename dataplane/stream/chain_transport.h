// What accepted connections of a filter chain with TLS begin with: its context of the moment and the statistics of it. Made on the main thread with the
// chain, shared by all workers. Without a context, because a secret has not come yet, connections are closed.
#pragma once

#include <chrono>
#include <memory>

#include "dataplane/config/tls.h"
#include "dataplane/net/connection.h"
#include "dataplane/stats/names.h"
#include "dataplane/stats/registry.h"
#include "dataplane/upstream/pool/tls.h"

namespace fairlead::stream {

class ChainTransport {
 public:
  // `scope`: listener.<address>, `stats` its block. Main thread: sets gauges in `main_cells`.
  ChainTransport(std::shared_ptr<const config::DownstreamTls> tls, std::chrono::milliseconds timeout, stats::ScopePtr scope, const stats::Block<stats::ListenerStat>& stats,
                 stats::Cells& main_cells);

  const std::shared_ptr<const config::DownstreamTls>& config() const { return tls_; }
  // The accepted socket as a connection, which says on_connected() when its handshake is done; on the worker whose cells these are.
  net::ConnectionPtr adopt(net::EventLoop& loop, int fd, const net::Address& remote, net::Connection::Options options, stats::Cells& cells) const;

 private:
  std::shared_ptr<const config::DownstreamTls> tls_;
  std::chrono::milliseconds timeout_;  // of the handshake; 0: none
  std::shared_ptr<const upstream::TlsStats> tls_stats_;
};

}  // namespace fairlead::stream
