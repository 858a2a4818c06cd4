// Downstream connections; see http_connection.h.
#include "dataplane/stream/http_connection.h"

#include "dataplane/http/h2/session.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/stream/connection_log.h"
#include "dataplane/stream/stream.h"
#include "dataplane/upstream/pool/http2_codec.h"

namespace fairlead::stream {

using stats::HttpStat;
using std::chrono::milliseconds;

namespace {
milliseconds to_ms(net::Duration d) { return std::chrono::duration_cast<milliseconds>(d); }

class DownstreamHttp2Stats final : public upstream::Http2StatSink {
 public:
  DownstreamHttp2Stats(stats::Cells& cells, const ConnectionManager& manager) : Http2StatSink(cells, manager.http2_stats), stats_(manager.stats) {}
  void protocol_error() override { cells_.add(stats_, HttpStat::downstream_cx_protocol_error); }

 private:
  stats::Block<HttpStat> stats_;
};
}  // namespace

HttpConnection::HttpConnection(HttpConnections& owner, std::shared_ptr<const ConnectionManager> manager, net::ConnectionPtr connection,
                               std::unique_ptr<ConnectionInfo> info)
    : owner_(&owner), worker_(owner.worker()), manager_(std::move(manager)), connection_(connection.get()), info_(std::move(info)), tls_(tls::session_of(*connection)), idle_timer_(worker_.loop().timers(), [this] { on_idle_timeout(); }), created_(worker_.loop().now()) {
  waiting_ = std::move(connection);
  stats::Cells& cells = worker_.cells();
  cells.add(manager_->stats, HttpStat::downstream_cx_total);
  cells.add(manager_->stats, HttpStat::downstream_cx_active);
  if (tls_ != nullptr) {
    cells.add(manager_->stats, HttpStat::downstream_cx_ssl_total);
    cells.add(manager_->stats, HttpStat::downstream_cx_ssl_active);
  }
  waiting_->set_events(this);
  if (!connection_->connecting()) on_connected();
  arm_idle();
  const milliseconds limit = manager_->config().max_connection_duration;
  if (limit.count() != 0) {
    duration_timer_ = std::make_unique<net::Timer>(worker_.loop().timers(), [this] { on_max_duration(); });
    const auto more = worker_.random().below(static_cast<uint64_t>(manager_->config().max_connection_duration_jitter * 100) + 1);  // of 10,000
    duration_timer_->arm(scaled(config::ScaledTimer::ConnectionMax, limit + limit * static_cast<int64_t>(more) / 10'000));
  }
}

HttpConnection::~HttpConnection() = default;

// Envoy 1.40: http2_server_go_away_on_dispatch drains connections of HTTP/1, too, and counts what comes while they drain.
bool HttpConnection::sheds_input() {
  if (manager_->listener().bypass_overload) return false;
  if (worker_.sheds(config::ShedAt::Http2Dispatch) && !draining_ && !last_response_) {
    if (http2()) {
      last_response_ = true;
      session_->drain();
    } else {
      draining_ = true;
    }
  }
  return !http2() && worker_.sheds(config::ShedAt::Http1Dispatch);
}

void HttpConnection::start(bool http2) {
  stats::Cells& cells = worker_.cells();
  if (!manager_->listener().bypass_overload && worker_.sheds(config::ShedAt::CodecCreation)) {
    cells.add(manager_->overload_close);
    return waiting_->close(net::CloseType::NoFlush);
  }
  if (http2) {
    h2::Settings settings = manager_->h2_settings();
    settings.stats = std::make_shared<DownstreamHttp2Stats>(cells, *manager_);
    session_ = h2::make_server_session(std::move(waiting_), settings, *this);
    cells.add(manager_->stats, HttpStat::downstream_cx_http2_total);
    cells.add(manager_->stats, HttpStat::downstream_cx_http2_active);
  } else {
    session_ = h1::make_server_session(std::move(waiting_), manager_->h1_settings(), *this);
    cells.add(manager_->stats, HttpStat::downstream_cx_http1_total);
    cells.add(manager_->stats, HttpStat::downstream_cx_http1_active);
  }
}

// Any handshake is done: ALPN may have told the protocol.
void HttpConnection::on_connected() {
  switch (manager_->config().codec) {
    case config::HcmConfig::Codec::Http1: return start(false);
    case config::HcmConfig::Codec::Http2: return start(true);
    case config::HcmConfig::Codec::Auto: break;
  }
  const std::string_view chosen = tls_ != nullptr ? tls_->alpn() : std::string_view();
  if (chosen == "h2" || chosen == "http/1.1") start(chosen == "h2");
}

// HTTP/2 says so with its first bytes. Envoy looks at the first read alone; a preface in pieces is one all the same.
void HttpConnection::on_data(net::Buffer& data, bool) {
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  char first[kPreface.size()];
  const size_t size = data.copy_out(0, first, sizeof first);
  const bool http2 = kPreface.substr(0, size) == std::string_view(first, size);
  if (http2 && size < kPreface.size()) {
    if (size != 0) on_request_begins();
    return;
  }
  head_complete();
  start(http2);  // the session takes the connection's events, and so these bytes
}

const std::string& HttpConnection::remote_text() {
  if (remote_text_.empty()) remote_text_ = connection().remote_address().to_string();
  return remote_text_;
}

const std::string& HttpConnection::local_text() {
  if (local_text_.empty()) local_text_ = connection().local_address().to_string();
  return local_text_;
}

const std::string& HttpConnection::remote_ip() {
  if (remote_ip_.empty()) remote_ip_ = connection().remote_address().ip_string();
  return remote_ip_;
}

void HttpConnection::on_request_begins() {
  local_text();  // for the log of a client that goes away before its head is whole: the socket is closed then
  const milliseconds timeout = manager_->config().request_headers_timeout;
  if (timeout.count() == 0) return;
  if (!headers_timer_) headers_timer_ = std::make_unique<net::Timer>(worker_.loop().timers(), [this] { on_headers_timeout(); });
  headers_timer_->arm(timeout);
}

void HttpConnection::on_headers_timeout() {
  worker_.cells().add(manager_->stats, HttpStat::downstream_rq_header_timeout);
  if (session_ == nullptr) return waiting_->close(net::CloseType::NoFlush);
  session_->refuse_slow_head();
}

http::MessageReceiver* HttpConnection::on_stream(http::MessageSender& sender) {
  ++requests_;
  if (active_ == 0) take_newest_manager();
  if (active_++ == 0) idle_timer_.disarm();
  Stream* stream = worker_.take_stream().release();  // gives itself back when it has ended
  stream->begin(*this, sender);
  return stream;
}

void HttpConnection::take_newest_manager() {
  if (owner_ == nullptr || manager_ == owner_->manager_) return;
  owner_->not_outdated(*this);
  manager_ = owner_->manager_;
  connection_->set_delayed_close(manager_->config().delayed_close_timeout);
}

void HttpConnection::on_protocol_error(http::MessageSender&, http::MessageReceiver& receiver, const http::ProtocolError& error) {
  if (info_ != nullptr && info_->log != nullptr && (error.overload || (error.downstream_protocol_error && !http2())))
    info_->flags.set(error.overload ? format::ResponseFlag::OverloadManager : format::ResponseFlag::DownstreamProtocolError);
  if (error.overload) worker_.cells().add(manager_->overload_close);
  if (!error.overload && error.status != 408 && !http2()) worker_.cells().add(manager_->stats, HttpStat::downstream_cx_protocol_error);  // slow is not wrong; over HTTP/2 this is about one stream
  if (!http2()) last_response_ = true;
  static_cast<Stream&>(receiver).on_protocol_error(error);
}

bool HttpConnection::response_closes() {
  if (last_response_) return true;
  const uint32_t max = manager_->config().max_requests_per_connection;
  if (max != 0 && requests_ >= max) {
    worker_.cells().add(manager_->stats, HttpStat::downstream_cx_max_requests_reached);
    last_response_ = true;
  } else if (draining_ || worker_.drain_close || (worker_.health_failed && !manager_->listener().drain_modify_only) || (owner_ != nullptr && owner_->drawn(*manager_))) {
    worker_.cells().add(manager_->stats, HttpStat::downstream_cx_drain_close);
    last_response_ = true;
  } else if (too_old_) {
    last_response_ = true;
  } else if (!manager_->listener().bypass_overload && OverloadState::drawn(worker_.overload().no_keepalive, worker_.random())) {
    worker_.cells().add(manager_->overload_disable_keepalive);
    last_response_ = true;
  }
  if (last_response_) session_->drain();
  return last_response_;
}

void HttpConnection::stream_ended() {
  count_bytes();
  head_complete();
  if (--active_ == 0 && !closed_) arm_idle();
}

void HttpConnection::arm_idle() {
  if (ending_) return idle_timer_.arm(manager_->config().drain_timeout);
  const milliseconds timeout = manager_->config().idle_timeout;
  if (timeout.count() != 0) idle_timer_.arm(scaled(config::ScaledTimer::ConnectionIdle, timeout));
}

milliseconds HttpConnection::scaled(config::ScaledTimer timer, milliseconds full) const {
  return manager_->listener().bypass_overload ? full : worker_.overload().scaled(timer, full);
}

// Timers keep the moment they were armed at, and get the timeouts of now.
void HttpConnection::rescale_timeouts(const OverloadState& before) {
  if (manager_->listener().bypass_overload) return;
  const auto rescale = [&](net::Timer& timer, config::ScaledTimer kind, milliseconds full) {
    if (timer.armed()) timer.arm_at(timer.deadline() - before.scaled(kind, full) + worker_.overload().scaled(kind, full));
  };
  if (!ending_) rescale(idle_timer_, config::ScaledTimer::ConnectionIdle, manager_->config().idle_timeout);
  if (duration_timer_) rescale(*duration_timer_, config::ScaledTimer::ConnectionMax, manager_->config().max_connection_duration);
}

void HttpConnection::on_idle_timeout() {
  if (ending_) return close_if_idle();
  worker_.cells().add(manager_->stats, HttpStat::downstream_cx_idle_timeout);
  end_gently();
}

void HttpConnection::on_max_duration() {
  worker_.cells().add(manager_->stats, HttpStat::downstream_cx_max_duration_reached);
  if (manager_->config().http1_safe_max_connection_duration && session_ != nullptr && !http2()) {
    too_old_ = true;  // the next response says so; an idle connection stays
    return;
  }
  end_gently();
}

// Over HTTP/1 nothing tells the client beforehand, and its next request may be under way: that one is still answered, with "connection: close".
void HttpConnection::end_gently() {
  draining_ = true;
  if (session_ == nullptr || http2()) return close_if_idle();
  ending_ = true;
  if (active_ == 0) arm_idle();
}

void HttpConnection::close_if_idle() {
  if (active_ != 0) return;
  if (session_ == nullptr) return waiting_->close(net::CloseType::NoFlush);
  session_->drain();
}

void HttpConnection::close(net::CloseType type) {
  if (session_ == nullptr) return waiting_->close(type);
  session_->close(type);
}

void HttpConnection::ended(net::CloseReason reason) {
  closed_ = true;
  idle_timer_.disarm();
  if (headers_timer_) headers_timer_->disarm();
  if (duration_timer_) duration_timer_->disarm();
  count_bytes();
  stats::Cells& cells = worker_.cells();
  const auto& stats = manager_->stats;
  const bool local = reason == net::CloseReason::Local || reason == net::CloseReason::DelayedCloseTimeout || reason == net::CloseReason::ConnectTimeout;
  cells.sub(stats, HttpStat::downstream_cx_active);
  if (tls_ != nullptr) cells.sub(stats, HttpStat::downstream_cx_ssl_active);
  if (session_ != nullptr) cells.sub(stats, http2() ? HttpStat::downstream_cx_http2_active : HttpStat::downstream_cx_http1_active);
  cells.add(stats, HttpStat::downstream_cx_destroy);
  cells.add(stats, local ? HttpStat::downstream_cx_destroy_local : HttpStat::downstream_cx_destroy_remote);
  if (active_ != 0) {
    cells.add(stats, HttpStat::downstream_cx_destroy_active_rq);
    cells.add(stats, local ? HttpStat::downstream_cx_destroy_local_active_rq : HttpStat::downstream_cx_destroy_remote_active_rq);
  }
  if (reason == net::CloseReason::DelayedCloseTimeout) cells.add(stats, HttpStat::downstream_cx_delayed_close_timeout);
  cells.record(stats, HttpStat::downstream_cx_length_ms, to_ms(worker_.loop().now() - created_).count());
  if (info_ != nullptr && info_->log != nullptr) log_end(reason);
  if (owner_ != nullptr) owner_->remove(*this);
  worker_.loop().delete_later(this);
}

// Envoy 1.40: the protocol is known once some bytes have been read and found to be of it.
void HttpConnection::log_end(net::CloseReason reason) const {
  const bool known = session_ != nullptr && connection_->bytes_received() != 0 && (requests_ > 1 || !info_->flags.has(format::ResponseFlag::DownstreamProtocolError));
  info_->log->ended(worker_, *info_, *connection_, reason, manager_->chain().name, known ? http::protocol_name(session_->protocol()) : std::string_view());
}

void HttpConnection::count_bytes() {
  const net::Connection& c = *connection_;
  worker_.cells().add(manager_->stats, HttpStat::downstream_cx_rx_bytes_total, c.bytes_received() - received_counted_);
  worker_.cells().add(manager_->stats, HttpStat::downstream_cx_tx_bytes_total, c.bytes_sent() - sent_counted_);
  received_counted_ = c.bytes_received();
  sent_counted_ = c.bytes_sent();
}

HttpConnections::HttpConnections(WorkerContext& worker, std::shared_ptr<const ConnectionManager> manager) : worker_(worker), manager_(std::move(manager)) {}

HttpConnections::~HttpConnections() {
  on_empty = nullptr;
  while (first_ != nullptr) {
    HttpConnection& connection = *first_;
    remove(connection);
    connection.owner_ = nullptr;
    connection.close(net::CloseType::NoFlush);
  }
}

void HttpConnections::accept(net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info) {
  add(*new HttpConnection(*this, manager_, std::move(connection), std::move(info)));
}

void HttpConnections::add(HttpConnection& connection) {
  connection.next_ = first_;
  if (first_ != nullptr) first_->prev_ = &connection;
  first_ = &connection;
  ++size_;
  if (draining_) connection.drain();
}

void HttpConnections::remove(HttpConnection& connection) {
  not_outdated(connection);
  (connection.prev_ != nullptr ? connection.prev_->next_ : first_) = connection.next_;
  if (connection.next_ != nullptr) connection.next_->prev_ = connection.prev_;
  connection.prev_ = connection.next_ = nullptr;
  --size_;
  if (on_gone) on_gone();
  if (size_ == 0 && on_empty) on_empty();
}

upstream::Ref<Epoch> HttpConnection::kept_epoch() const { return owner_ != nullptr ? owner_->kept_epoch_ : upstream::Ref<Epoch>(); }

void HttpConnections::not_outdated(HttpConnection& connection) {
  if (std::exchange(connection.outdated_, false) && --outdated_ == 0 && only_outdated_) kept_epoch_ = {};
}

void HttpConnections::drain() {
  draining_ = true;
  for (HttpConnection* c = first_; c != nullptr; c = c->next_) c->drain();
}

void HttpConnections::drain_gradually(milliseconds time) {
  if (time.count() == 0) return drain();
  only_outdated_ = false;
  gradual_since_ = worker_.loop().now();
  gradual_time_ = time;
}

void HttpConnections::take(std::shared_ptr<const ConnectionManager> manager, milliseconds time) {
  for (HttpConnection* c = first_; c != nullptr; c = c->next_) {
    if (c->active_ == 0 || std::exchange(c->outdated_, true)) continue;
    if (outdated_++ == 0) keep_epoch();
  }
  manager_ = std::move(manager);
  drain_gradually(std::max(time, milliseconds(1)));
  only_outdated_ = true;
}

// Whether the lot falls on this response to be its connection's last: as likely as the part of the time that has passed, as in Envoy 1.40.
bool HttpConnections::drawn(const ConnectionManager& manager) {
  if (gradual_time_.count() == 0 || (only_outdated_ && &manager == manager_.get())) return false;
  const auto passed = static_cast<uint64_t>(to_ms(worker_.loop().now() - gradual_since_).count());
  return passed > worker_.random().next() % static_cast<uint64_t>(gradual_time_.count());
}

void HttpConnections::rescale_timeouts(const OverloadState& before) {
  for (HttpConnection* c = first_; c != nullptr; c = c->next_) c->rescale_timeouts(before);
}

void HttpConnections::close_idle() {
  for (HttpConnection *c = first_, *next; c != nullptr; c = next) {
    next = c->next_;
    c->close_if_idle();
  }
}

void HttpConnections::close_all(net::CloseType type) {
  for (HttpConnection *c = first_, *next; c != nullptr; c = next) {
    next = c->next_;
    c->close(type);
  }
}

}  // namespace fairlead::stream
