// An attempt at a host; see upstream_request.h.
#include "dataplane/filters/http/router/upstream_request.h"

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "dataplane/filters/http/router/filter.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/http_connection.h"
#include "dataplane/tls/session.h"
#include "dataplane/stream/stream.h"
#include "dataplane/upstream/pool/pooled_session.h"
#include "dataplane/upstream/pool/proxy_header.h"

namespace fairlead::filters::router {

using upstream::ResetReason;

namespace {

ResetReason from_codec(http::ResetReason reason) {
  switch (reason) {
    case http::ResetReason::LocalReset: return ResetReason::kLocalReset;
    case http::ResetReason::RemoteReset: return ResetReason::kRemoteReset;
    case http::ResetReason::RemoteRefused: return ResetReason::kRemoteRefusedStream;
    case http::ResetReason::ConnectionFailure: return ResetReason::kConnectFailure;
    case http::ResetReason::ConnectionTermination: return ResetReason::kConnectionTermination;
    case http::ResetReason::ProtocolError: return ResetReason::kProtocolError;
    case http::ResetReason::Overflow: return ResetReason::kOverflow;
  }
  return ResetReason::kConnectionTermination;
}

}  // namespace

void UpstreamRequest::start(upstream::Host& host, bool high_priority, const ConnectConfig* connect, const upstream::MadeFor* names) {
  if (std::exchange(reached_, false)) keep_reached();
  connect_ = connect;
  host_ = upstream::Ref<upstream::Host>(&host);
  request_ended_ = response_ended_ = reused_ = response_begun_ = request_begun_ = false;
  pending_.reset();
  pending_end_ = false;
  pending_trailers_ = nullptr;
  const bool tcp = connect_ != nullptr;
  if (!host.cluster().config->proxy_protocol) return host.acquire(*this, high_priority, router_.stream().protocol(), names, tcp);
  upstream::MadeFor whom = names != nullptr ? *names : upstream::MadeFor{};
  const net::Connection& client = router_.stream().connection().connection();
  whom.client = upstream::ProxiedFor{client.remote_address(), client.local_address()};
  host.acquire(*this, high_priority, router_.stream().protocol(), &whom, tcp);
}

void UpstreamRequest::on_pool_ready(upstream::PooledStream& stream) {
  stream_ = &stream;
  sender_ = &stream.open(*this);
  host_->report_local(upstream::LocalResult::Connected);
  reached_ = true;
  protocol_ = sender_->protocol();
  const net::Connection& connection = stream.connection();
  connection_id_ = connection.id();
  if (const tls::Session* tls = host_->cluster().tls_stats != nullptr ? tls::session_of(connection) : nullptr) tls_ = tls->facts();
  local_address_ = router_.stream().manager().access_log().empty() ? std::string_view() : arena().copy(connection.local_address().to_string());
  raced_address_ = host_->race() == nullptr ? std::string_view() : arena().copy(connection.remote_address().to_string());
  const bool headers_only = router_.request_is_headers_only();
  if (headers_only) end_request();
  sender_->send_headers(router_.stream().request_headers(), headers_only);
  if (connect_ != nullptr) send_proxy_header();
  router_.on_attempt_ready();
  if (sender_ != nullptr && !router_.holds_body()) flush_pending();
}

// Before the first byte of the client.
void UpstreamRequest::send_proxy_header() {
  if (connect_->proxy_header == ConnectConfig::ProxyHeader::None) return;
  config::ProxyProtocol protocol;
  protocol.v2 = connect_->proxy_header == ConnectConfig::ProxyHeader::V2;
  protocol.tlvs = connect_->tlvs;
  const net::Connection& client = router_.stream().connection().connection();
  const upstream::ProxiedFor whom{client.remote_address(), client.local_address()};
  net::Buffer header(upstream::proxy_header(protocol, &whom, whom.destination, whom.source));
  sender_->send_data(header, false);
}

void UpstreamRequest::flush_pending() {
  if (pending_ || pending_end_) {
    if (pending_end_) end_request();
    net::Buffer none;
    sender_->send_data(pending_ ? *pending_ : none, pending_end_);
  }
  if (pending_trailers_ != nullptr && sender_ != nullptr) {
    end_request();
    sender_->send_trailers(*pending_trailers_);
  }
  if (paused_downstream_ && sender_ != nullptr && !sender_->write_blocked()) on_write_ready();
}

void UpstreamRequest::on_pool_failure(ResetReason reason, std::string_view detail) { router_.on_attempt_reset(reason, detail); }

void UpstreamRequest::send_data(net::Buffer& data, bool end_stream) {
  if (sender_ != nullptr && !router_.holds_body()) {
    if (end_stream) end_request();
    sender_->send_data(data, end_stream);
    return;
  }
  if (!pending_) pending_.emplace();
  pending_->append(data);
  pending_end_ = end_stream;
  if (!paused_downstream_ && pending_->size() > router_.stream().buffer_limit()) on_write_blocked();
}

void UpstreamRequest::send_trailers(const http::HeaderMap& trailers) {
  if (sender_ == nullptr) {
    pending_trailers_ = &trailers;
    return;
  }
  end_request();
  sender_->send_trailers(trailers);
}

void UpstreamRequest::end_request() {
  request_ended_ = true;
  router_.stream().mark(format::TimePoint::UpstreamTxEnd);
}

// Of all attempts together, as Envoy 1.40 prints them.
void UpstreamRequest::take_wire_bytes() {
  if (sender_ == nullptr) return;
  format::ByteCounts& bytes = router_.stream().bytes();
  bytes.upstream_wire_received += sender_->wire_bytes_received();
  bytes.upstream_wire_sent += sender_->wire_bytes_sent();
  bytes.upstream_header_received += sender_->header_bytes_received();
  bytes.upstream_header_sent += sender_->header_bytes_sent();
}

void UpstreamRequest::finish() {
  if (paused_downstream_) on_write_ready();
  take_wire_bytes();
  if (sender_ != nullptr && response_ended_ && !request_ended_) count_reset(ResetReason::kLocalReset);  // the codec gives the rest up
  sender_ = nullptr;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->release(request_ended_ && response_ended_);
}

void UpstreamRequest::abandon() {
  cancel();
  if (sender_ != nullptr && !(request_ended_ && response_ended_)) {
    take_wire_bytes();
    count_reset(ResetReason::kLocalReset);
    std::exchange(sender_, nullptr)->reset(http::ResetReason::LocalReset);
  }
  finish();
}

// Envoy 1.40, HTTP/2 pools: resets by their direction, and what goes down with its connection. What breaks the protocol its codec resets.
void UpstreamRequest::count_reset(ResetReason reason) {
  http2_ = sender_ != nullptr && sender_->protocol() == http::Protocol::Http2;
  if (!http2_) return;
  stats::ClusterStat stat = stats::ClusterStat::upstream_rq_tx_reset;
  switch (reason) {
    case ResetReason::kRemoteReset: stat = stats::ClusterStat::upstream_rq_rx_reset; break;
    case ResetReason::kConnectionTermination: stat = stats::ClusterStat::upstream_rq_pending_failure_eject; break;
    case ResetReason::kLocalReset:
    case ResetReason::kProtocolError: break;
    default: return;
  }
  router_.count_reset(stat);
}

UpstreamRequest::Reached UpstreamRequest::reached() const {
  http::Arena& arena = router_.stream().arena();
  Reached now;
  now.local_address = local_address_;
  const std::string_view host = host_->address_text();
  now.remote_address = raced_address_.empty() ? host : raced_address_;
  const std::string_view earlier = before_ != nullptr ? before_->hosts : std::string_view();
  // Envoy 1.40: each once
  now.hosts = earlier.empty() ? host : absl::StrContains(earlier, host) ? earlier : arena.copy(absl::StrCat(earlier, ",", host));
  now.protocol = connect_ == nullptr ? http::protocol_name(protocol_) : before_ != nullptr ? before_->protocol : std::string_view();
  now.connection_id = connection_id_;
  return now;
}

// The host may be gone when its texts are printed.
void UpstreamRequest::keep_reached() {
  auto* kept = arena().make<Reached>(reached());
  kept->remote_address = arena().copy(kept->remote_address);
  kept->hosts = arena().copy(kept->hosts);
  before_ = kept;
}

void UpstreamRequest::describe(format::FormatContext& info) const {
  info.upstream_tls = tls_.get();
  if (!reached_ && before_ == nullptr) return;
  const Reached last = reached_ ? reached() : *before_;
  info.upstream_local_address = last.local_address;
  info.upstream_remote_address = last.remote_address;
  info.upstream_hosts_attempted = last.hosts;
  info.upstream_protocol = last.protocol;
  info.upstream_connection_id = last.connection_id;
}

http::Arena& UpstreamRequest::arena() { return router_.stream().arena(); }

void UpstreamRequest::on_headers(http::HeaderMap& headers, bool end_stream) {
  response_ended_ = end_stream;
  router_.on_upstream_headers(headers, end_stream);
}

void UpstreamRequest::on_informational(http::HeaderMap& headers) { router_.on_upstream_informational(headers); }

void UpstreamRequest::on_data(net::Buffer& data, bool end_stream) {
  response_ended_ = end_stream;
  router_.on_upstream_data(data, end_stream);
}

void UpstreamRequest::on_trailers(http::HeaderMap& trailers) {
  response_ended_ = true;
  router_.on_upstream_trailers(trailers);
}

void UpstreamRequest::on_reset(http::ResetReason reason, std::string_view) {
  take_wire_bytes();
  count_reset(from_codec(reason));
  sender_ = nullptr;
  if (stream_ != nullptr) {
    reused_ = stream_->reused();
    response_begun_ = stream_->response_begun();
    request_begun_ = stream_->request_begun();
  }
  finish();
  router_.on_attempt_reset(from_codec(reason), {});
}

void UpstreamRequest::on_write_blocked() {
  if (paused_downstream_) return;
  paused_downstream_ = true;
  router_.on_upstream_blocked();
}

void UpstreamRequest::on_write_ready() {
  if (!paused_downstream_) return;
  paused_downstream_ = false;
  router_.on_upstream_ready();
}

}  // namespace fairlead::filters::router
