// What the access log says of a connection; see filter.h.
#include "dataplane/filters/network/tcp_proxy/described.h"

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/network_connections.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::network::tcp_proxy {

using format::TimePoint;

TcpProxy::Described::Described(const TcpProxy& proxy) : DescribedConnection(proxy.down_->loop(), proxy.connection_->info(), proxy.down_) {
  proxy.describe(format);
}

void TcpProxy::describe(format::FormatContext& out) const {
  if (ready_at_ != net::TimePoint{}) out.times.set(TimePoint::UpstreamTxBegin, ready_at_ - stream::began(connection_->info(), *down_));
  out.bytes.body_received = down_->bytes_received() + way_up_.spliced;
  out.bytes.body_sent = down_->bytes_sent() + way_down_.spliced;
  // Envoy 1.40: what went through this filter
  out.bytes.downstream_wire_received = out.bytes.upstream_wire_sent = up_sent_;
  out.bytes.downstream_wire_sent = out.bytes.upstream_wire_received = up_received_;
  out.downstream_detected_close_type = detected_close_;
  out.listener_name = shared_->listener_name;
  out.filter_chain_name = shared_->chain_name;
  out.upstream_attempts = attempts_;
  out.upstream_hosts_attempted = hosts_attempted_;
  out.upstream_transport_failure_reason = failure_reason_;
  out.upstream_local_address = local_address_;
  out.upstream_remote_address = remote_address_;
  out.upstream_connection_id = upstream_id_;
  if (cluster_) {
    out.upstream_cluster = cluster_->config().stat_name();
    out.upstream_cluster_raw = cluster_->config().name;
    out.cluster_metadata = cluster_->config().metadata.get();
  }
  if (host_ && host_known_) {
    out.upstream_host = host_->address_text();
    out.upstream_host_name = host_->hostname().empty() ? out.upstream_host : std::string_view(host_->hostname());
    out.upstream_host_metadata = host_->metadata().get();
  }
}

void TcpProxy::log(format::LogType type) {
  const bool listener_too = type == format::LogType::TcpConnectionEnd && connection_->end_is_logged();
  if (shared_->logs.empty() && !listener_too) return;
  Described described(*this);
  if (listener_too) connection_->log_end(described.format);
  described.format.log_type = type;
  stream::WorkerContext& worker = connection_->worker();
  config::AccessLogFilter::Input input;
  input.context = &described.format;
  input.random = worker.random().next();
  input.runtime = worker.runtime();
  shared_->logs.log(worker.index(), input);
}

}  // namespace fairlead::filters::network::tcp_proxy
