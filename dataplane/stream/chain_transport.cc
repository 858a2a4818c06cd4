// See chain_transport.h.
#include "dataplane/stream/chain_transport.h"

#include <utility>

#include "dataplane/tls/session.h"
#include "dataplane/tls/unready.h"

namespace fairlead::stream {

ChainTransport::ChainTransport(std::shared_ptr<const config::DownstreamTls> tls, std::chrono::milliseconds timeout, stats::ScopePtr scope,
                               const stats::Block<stats::ListenerStat>& stats, stats::Cells& main_cells)
    : tls_(std::move(tls)), timeout_(timeout), tls_stats_(std::make_shared<const upstream::TlsStats>(std::move(scope), &stats)) {
  if (const auto context = tls_->context()) tls_stats_->set_expirations(main_cells, context->certificates(), context->trusted());
  tls_->on_change([stats = tls_stats_, &main_cells](const tls::ServerContext* context) {
    stats->changed(main_cells);
    if (context != nullptr) stats->set_expirations(main_cells, context->certificates(), context->trusted());
  });
}

net::ConnectionPtr ChainTransport::adopt(net::EventLoop& loop, int fd, const net::Address& remote, net::Connection::Options options, stats::Cells& cells) const {
  options.handshake_timeout = timeout_;
  auto context = tls_->context();
  if (context == nullptr) {
    tls_stats_->not_ready(cells);
    return net::Connection::adopt(loop, fd, remote, options, std::make_unique<tls::Unready>());
  }
  return net::Connection::adopt(loop, fd, remote, options, tls::Session::accept(std::move(context), upstream::TlsStats::observer(tls_stats_, cells)));
}

}  // namespace fairlead::stream
