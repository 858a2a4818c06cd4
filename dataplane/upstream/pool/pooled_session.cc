// One upstream connection and the request it serves; see http1_pool.h.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "dataplane/http/h1/session.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/pool/host.h"
#include "dataplane/upstream/pool/http1_pool.h"

namespace fairlead::upstream {

using stats::ClusterStat;

namespace {

net::Connection::Options connection_options(const config::ClusterConfig& config) {
  net::Connection::Options options;
  options.buffer_limit = config.per_connection_buffer_limit;
  options.connect_timeout = config.connect_timeout;
  if (config.bind && config.bind->source_address && config.bind->source_address->is_ip()) {
    auto source = net::Address::from_ip(config.bind->source_address->host, config.bind->source_address->port);
    if (source.ok()) options.bind_to = *std::move(source);
  }
  return options;
}

// 0 leaves the system's value.
void set_keepalive(int fd, const config::TcpKeepalive& keepalive) {
  const int on = 1, probes = static_cast<int>(keepalive.probes), time = static_cast<int>(keepalive.time.count()), interval = static_cast<int>(keepalive.interval.count());
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  if (probes != 0) ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  if (time != 0) ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &time, sizeof time);
  if (interval != 0) ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
}

h1::Settings session_settings(const config::UpstreamHttpOptions& http) {
  h1::Settings settings;
  settings.max_head_bytes = http.max_response_headers_kb * 1024;
  settings.max_headers = http.max_headers_count;
  settings.enable_trailers = http.http1.enable_trailers;
  settings.accept_http_10 = http.http1.accept_http_10;
  settings.allow_chunked_length = http.http1.allow_chunked_length;
  return settings;
}

}  // namespace

PooledSession::PooledSession(Http1Pool& pool) : pool_(pool), host_(&pool.host_), idle_timer_(host_->env().loop.timers(), [this] { on_idle_timeout(); }) {
  const config::ClusterConfig& config = *pool.cluster().config;
  net::ConnectionPtr connection = net::Connection::connect(host_->env().loop, host_->address(), connection_options(config));
  if (config.keepalive) set_keepalive(connection->fd(), *config.keepalive);
  session_ = h1::make_client_session(std::move(connection), session_settings(config.http), *this);
}

PooledSession::~PooledSession() = default;

net::Connection& PooledSession::connection() const { return session_->connection(); }
bool PooledSession::response_begun() const { return session_->connection().bytes_received() != received_before_; }
bool PooledSession::request_begun() const { return session_->connection().bytes_sent() != sent_before_; }

http::MessageSender& PooledSession::open(http::MessageReceiver& receiver) {
  exchange_open_ = true;
  return session_->new_stream(receiver);
}

void PooledSession::release(bool complete) {
  if (!attached_) return;
  attached_ = false;
  cut_ = !complete;
  pool_.breakers_.requests.give_back();
  --host_->active_requests;
  pool_.cells().sub(pool_.cluster().stats, ClusterStat::upstream_rq_active);
  count_bytes();
  settle();
}

// The connection is free when both the owner of the request and the codec are done with it.
void PooledSession::settle() {
  if (state_ == State::kBusy && !attached_ && !exchange_open_ && session_->can_open_stream()) pool_.session_ready(*this);
}

void PooledSession::on_session_connected() {
  connect_time_ = session_->connection().loop().now() - session_->connection().created_at();
  --pool_.connecting_;
  pool_.cells().record(pool_.cluster().stats, ClusterStat::upstream_cx_connect_ms, std::chrono::duration_cast<std::chrono::milliseconds>(connect_time_).count());
  state_ = State::kBusy;
  pool_.session_ready(*this);
}

void PooledSession::on_stream_slot() {
  exchange_open_ = false;
  settle();
}

void PooledSession::on_going_away() {
  going_away_ = true;
  if (state_ == State::kIdle) {
    pool_.idle_.remove(*this);
    pool_.others_.push(*this);
    state_ = State::kClosing;
    session_->close(net::CloseType::NoFlush);
  }
}

void PooledSession::on_session_closed(net::CloseReason reason) {
  if (state_ == State::kGone) return;
  count_bytes();
  idle_timer_.disarm();
  stats::Cells& cells = pool_.cells();
  cells.record(pool_.cluster().stats, ClusterStat::upstream_cx_length_ms, std::chrono::duration_cast<std::chrono::milliseconds>(age()).count());
  cells.record(pool_.cluster().stats, ClusterStat::upstream_rq_per_cx, requests_);
  pool_.session_gone(*this, reason);
  host_->env().loop.delete_later(this);
}

net::Duration PooledSession::age() const { return session_->connection().loop().now() - session_->connection().created_at(); }

void PooledSession::on_idle_timeout() {
  if (state_ != State::kIdle) return;  // the timer is left armed while a request runs
  const auto& max_age = pool_.cluster().config->http.max_connection_duration;
  const bool old = max_age && age() >= *max_age;
  pool_.cells().add(pool_.cluster().stats, old ? ClusterStat::upstream_cx_max_duration_reached : ClusterStat::upstream_cx_idle_timeout);
  on_going_away();
}

void PooledSession::count_bytes() {
  const net::Connection& connection = session_->connection();
  stats::Cells& cells = pool_.cells();
  cells.add(pool_.cluster().stats, ClusterStat::upstream_cx_rx_bytes_total, connection.bytes_received() - received_counted_);
  cells.add(pool_.cluster().stats, ClusterStat::upstream_cx_tx_bytes_total, connection.bytes_sent() - sent_counted_);
  received_counted_ = connection.bytes_received();
  sent_counted_ = connection.bytes_sent();
}

}  // namespace fairlead::upstream
