// What the access log says of a connection; see filter.h.
#include "dataplane/filters/network/tcp_proxy/described.h"

#include <absl/strings/str_replace.h>

#include "dataplane/net/event_loop.h"
#include "dataplane/stream/network_connections.h"
#include "dataplane/tls/session.h"
#include "dataplane/upstream/worker_clusters.h"

namespace fairlead::filters::network::tcp_proxy {

using format::TimePoint;

void TcpProxy::describe(Described& to) const {
  const stream::ConnectionInfo& info = connection_->info();
  const net::EventLoop& loop = down_->loop();
  format::FormatContext& out = to.format;
  const net::Duration age = loop.now() - down_->created_at();
  out.start = loop.wall_now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(age);
  out.times.set(TimePoint::DownstreamRxBegin, std::chrono::nanoseconds(0));
  out.times.set(TimePoint::StreamEnd, age);
  if (ready_at_ != net::TimePoint{}) out.times.set(TimePoint::UpstreamTxBegin, ready_at_ - down_->created_at());
  out.bytes.body_received = down_->bytes_received() + way_up_.spliced;
  out.bytes.body_sent = down_->bytes_sent() + way_down_.spliced;
  // Envoy 1.40: what went through this filter
  out.bytes.downstream_wire_received = out.bytes.upstream_wire_sent = up_sent_;
  out.bytes.downstream_wire_sent = out.bytes.upstream_wire_received = up_received_;
  out.flags = info.flags;
  out.connection_termination_details = info.termination_details;
  out.downstream_local_close_reason = info.local_close_reason;
  out.downstream_detected_close_type = detected_close_;
  out.listener_name = shared_->listener_name;
  out.filter_chain_name = shared_->chain_name;
  out.connection_id = down_->id();
  const tls::Session* tls = tls::session_of(*down_);
  if (tls != nullptr) out.downstream_tls = tls->facts().get();
  to.failure = absl::StrReplaceAll(down_->transport_failure_reason(), {{" ", "_"}});
  out.downstream_transport_failure_reason = to.failure;
  out.requested_server_name = info.server_name;
  out.tls_ja3 = info.ja3;
  out.tls_ja4 = info.ja4;
  out.dynamic_metadata = info.dynamic_metadata.get();
  if (!info.filter_state.empty()) out.filter_state = &info.filter_state;
  to.remote = info.remote.to_string();
  to.local = info.local.to_string();
  to.direct_remote = info.direct_remote.to_string();
  to.direct_local = info.direct_local.to_string();
  out.downstream_remote_address = to.remote;
  out.downstream_local_address = to.local;
  out.downstream_direct_remote_address = to.direct_remote;
  out.downstream_direct_local_address = to.direct_local;
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
  if (shared_->logs.empty()) return;
  Described described;
  describe(described);
  described.format.log_type = type;
  stream::WorkerContext& worker = connection_->worker();
  config::AccessLogFilter::Input input;
  input.context = &described.format;
  input.random = worker.random().next();
  input.runtime = worker.runtime();
  shared_->logs.log(worker.index(), input);
}

}  // namespace fairlead::filters::network::tcp_proxy
