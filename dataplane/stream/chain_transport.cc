// See chain_transport.h.
#include "dataplane/stream/chain_transport.h"

#include <utility>

#include "dataplane/tls/session.h"

namespace fairlead::stream {

ChainTransport::ChainTransport(std::shared_ptr<const config::DownstreamTls> tls, std::chrono::milliseconds timeout, stats::ScopePtr scope,
                               const stats::Block<stats::ListenerStat>& stats, stats::Cells& main_cells)
    : tls_(std::move(tls)), timeout_(timeout), tls_stats_(std::make_shared<const upstream::TlsStats>(std::move(scope), &stats)) {
  tls_stats_->set_expirations(main_cells, tls_->context->certificates(), tls_->context->trusted());
}

net::ConnectionPtr ChainTransport::adopt(net::EventLoop& loop, int fd, const net::Address& remote, net::Connection::Options options, stats::Cells& cells) const {
  options.handshake_timeout = timeout_;
  return net::Connection::adopt(loop, fd, remote, options, tls::Session::accept(tls_->context, upstream::TlsStats::observer(tls_stats_, cells)));
}

}  // namespace fairlead::stream
