// Who gets which connection; see connection_pool.h.
#include "dataplane/upstream/pool/connection_pool.h"

#include <absl/strings/str_cat.h>

#include <cstring>

#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/pool/host.h"
#include "dataplane/upstream/pool/pooled_session.h"
#include "dataplane/upstream/pool/proxy_header.h"

namespace fairlead::upstream {

using stats::ClusterStat;

namespace {

std::string failure_text(const net::Connection& connection) {
  if (const std::string_view reason = connection.transport_failure_reason(); !reason.empty()) return std::string(reason);
  return connection.last_error() != 0 ? absl::StrCat("delayed connect error: ", std::strerror(connection.last_error())) : std::string();
}

}  // namespace

void PoolRequest::cancel() {
  if (pool_ == nullptr) return;
  ConnectionPool& pool = *pool_;
  pool.dequeue(*this);
  pool.cells().add(pool.cluster().stats, ClusterStat::upstream_rq_cancelled);
  pool.close_excess();
}

void ConnectionPool::SessionList::push(PooledSession& session) {
  session.prev_ = nullptr;
  session.next_ = head;
  if (head != nullptr) head->prev_ = &session;
  head = &session;
}

void ConnectionPool::SessionList::remove(PooledSession& session) {
  (session.prev_ != nullptr ? session.prev_->next_ : head) = session.next_;
  if (session.next_ != nullptr) session.next_->prev_ = session.prev_;
  session.prev_ = session.next_ = nullptr;
}

ConnectionPool::ConnectionPool(Host& host, PoolProtocol protocol, bool high, std::unique_ptr<const MadeFor> whom)
    : host_(host), breakers_(host.cluster().breakers[high ? 1 : 0]), protocol_(protocol), whom_(std::move(whom)) {}

ConnectionPool::~ConnectionPool() {
  while (first_waiting_ != nullptr) dequeue(*first_waiting_);
}

// Envoy 1.40: max_requests does not limit connections without HTTP, though they count.
bool ConnectionPool::may_attach() const { return protocol_ == PoolProtocol::kTcp || breakers_.requests.can_take(); }
uint32_t ConnectionPool::max_streams() const {
  if (protocol_ == PoolProtocol::kAuto && auto_streams_ != 0) return auto_streams_;
  return protocol_ == PoolProtocol::kHttp2 || protocol_ == PoolProtocol::kAuto ? cluster().config->http.http2.max_concurrent_streams : 1;
}

void ConnectionPool::expect(uint32_t streams) { auto_streams_ = streams; }
SharedCluster& ConnectionPool::cluster() const { return host_.cluster(); }
stats::Cells& ConnectionPool::cells() const { return host_.env().cells; }

void ConnectionPool::acquire(PoolRequest& request) {
  while (ready_.head != nullptr && !ready_.head->has_room()) set_ready(*ready_.head, false);  // closing, and its end is not reported yet
  if (ready_.head != nullptr) {
    if (!may_attach()) {
      return overflow(request, ClusterStat::upstream_rq_active_overflow);
    }
    return attach(request, *ready_.head);
  }
  if (!breakers_.pending.can_take()) return overflow(request, ClusterStat::upstream_rq_pending_overflow);
  enqueue(request);
  connect_for_waiting();
}

void ConnectionPool::overflow(PoolRequest& request, ClusterStat limit) {
  cells().add(cluster().stats, limit);
  request.on_pool_failure(ResetReason::kOverflow, {});
}

void ConnectionPool::attach(PoolRequest& request, PooledSession& session) {
  PooledStream& stream = session.attach();
  breakers_.requests.take();
  ++host_.active_requests;
  ++host_.counters.rq_total;
  SharedCluster& c = cluster();
  cells().add(c.stats, ClusterStat::upstream_rq_total);
  cells().add(c.stats, ClusterStat::upstream_rq_active);
  const uint32_t max = c.config->http.max_requests_per_connection;
  if (max != 0 && session.requests_ >= max) {
    session.going_away_ = true;
    cells().add(c.stats, ClusterStat::upstream_cx_max_requests);
  }
  if (session.state_ == PooledSession::State::kReady && (session.going_away_ || session.streams_ >= session.max_streams_)) set_ready(session, false);
  request.on_pool_ready(stream);
}

void ConnectionPool::set_ready(PooledSession& session, bool ready) {
  (ready ? others_ : ready_).remove(session);
  (ready ? ready_ : others_).push(session);
  session.state_ = ready ? PooledSession::State::kReady : PooledSession::State::kFull;
}

void ConnectionPool::enqueue(PoolRequest& request) {
  request.pool_ = this;
  request.prev_ = last_waiting_;
  request.next_ = nullptr;
  (last_waiting_ != nullptr ? last_waiting_->next_ : first_waiting_) = &request;
  last_waiting_ = &request;
  ++waiting_;
  ++host_.counters.rq_pending;
  breakers_.pending.take();
  cells().add(cluster().stats, ClusterStat::upstream_rq_pending_total);
  cells().add(cluster().stats, ClusterStat::upstream_rq_pending_active);
}

void ConnectionPool::dequeue(PoolRequest& request) {
  (request.prev_ != nullptr ? request.prev_->next_ : first_waiting_) = request.next_;
  (request.next_ != nullptr ? request.next_->prev_ : last_waiting_) = request.prev_;
  request.pool_ = nullptr;
  request.prev_ = request.next_ = nullptr;
  --waiting_;
  --host_.counters.rq_pending;
  breakers_.pending.give_back();
  cells().sub(cluster().stats, ClusterStat::upstream_rq_pending_active);
}

void ConnectionPool::connect_for_waiting() {
  while (waiting_ > connecting_ * size_t{max_streams()}) {
    if (!breakers_.connections.can_take()) {
      cells().add(cluster().stats, ClusterStat::upstream_cx_overflow);
      if (connections_ != 0) return;  // a pool without any connection always gets one, or its queue would never move
    }
    connect();
  }
}

// Envoy 1.40: a connection without HTTP was made for one request, and goes with it.
void ConnectionPool::close_excess() {
  if (protocol_ != PoolProtocol::kTcp || connecting_ <= waiting_) return;
  for (PooledSession* session = others_.head; session != nullptr; session = session->next_) {
    if (session->state_ != PooledSession::State::kConnecting || !session->session_->connection().connecting()) continue;
    return session->close(net::CloseType::NoFlush);
  }
}

void ConnectionPool::connect() {
  ++connections_;
  ++connecting_;
  breakers_.connections.take();
  ++host_.counters.cx_total;
  ++host_.counters.cx_active;
  SharedCluster& c = cluster();
  cells().add(c.stats, ClusterStat::upstream_cx_total);
  cells().add(c.stats, ClusterStat::upstream_cx_active);
  if (protocol_ == PoolProtocol::kHttp1 || protocol_ == PoolProtocol::kHttp2) cells().add(c.stats, protocol_ == PoolProtocol::kHttp2 ? ClusterStat::upstream_cx_http2_total : ClusterStat::upstream_cx_http1_total);
  others_.push(*new PooledSession(*this));
}

// The session has just connected, or a request on it has ended.
void ConnectionPool::session_has_room(PooledSession& session) {
  const auto& max_age = cluster().config->http.max_connection_duration;
  if (max_age && session.time_left(*max_age).count() <= 0 && !session.going_away_) {
    session.going_away_ = true;
    cells().add(cluster().stats, ClusterStat::upstream_cx_max_duration_reached);
  }
  const bool fresh = session.requests_ == 0;  // a new connection still serves what it was made for
  while (first_waiting_ != nullptr && session.streams_ < session.max_streams_ && session.session_->can_open_stream() && (fresh || !session.going_away_)) {
    PoolRequest& request = *first_waiting_;
    dequeue(request);
    if (may_attach()) {
      attach(request, session);  // may end the session
      if (session.state_ != PooledSession::State::kReady && session.state_ != PooledSession::State::kFull) return;
    } else {
      overflow(request, ClusterStat::upstream_rq_active_overflow);
    }
  }
  if (session.streams_ == 0 && (draining_ || session.going_away_)) return session.close(net::CloseType::Flush);
  if (!session.has_room()) return;
  if (session.state_ == PooledSession::State::kFull) set_ready(session, true);
  if (session.streams_ != 0) return;
  const auto& idle_timeout = cluster().config->http.idle_timeout;
  if (idle_timeout) session.idle_timer_.arm(max_age ? std::min<net::Duration>(*idle_timeout, session.time_left(*max_age)) : *idle_timeout);
  if (!idle_timeout && max_age) session.idle_timer_.arm(session.time_left(*max_age));
}

void ConnectionPool::session_gone(PooledSession& session, net::CloseReason reason) {
  using State = PooledSession::State;
  const bool was_connecting = session.state_ == State::kConnecting;
  (session.state_ == State::kReady ? ready_ : others_).remove(session);
  session.state_ = State::kGone;
  --connections_;
  breakers_.connections.give_back();
  --host_.counters.cx_active;
  SharedCluster& c = cluster();
  stats::Cells& counts = cells();
  counts.sub(c.stats, ClusterStat::upstream_cx_active);
  const bool local = reason == net::CloseReason::Local || reason == net::CloseReason::DelayedCloseTimeout || reason == net::CloseReason::ConnectTimeout;
  counts.add(c.stats, ClusterStat::upstream_cx_destroy);
  counts.add(c.stats, local ? ClusterStat::upstream_cx_destroy_local : ClusterStat::upstream_cx_destroy_remote);
  if (session.streams_ != 0 || session.cut_) {
    counts.add(c.stats, ClusterStat::upstream_cx_destroy_with_active_rq);
    counts.add(c.stats, local ? ClusterStat::upstream_cx_destroy_local_with_active_rq : ClusterStat::upstream_cx_destroy_remote_with_active_rq);
  }
  if (was_connecting) {
    --connecting_;
    const bool given_up = reason == net::CloseReason::Local && !draining_;  // by close_excess()
    if (!given_up) {
      ++host_.counters.cx_connect_fail;
      counts.add(c.stats, ClusterStat::upstream_cx_connect_fail);
    }
    const bool timeout = reason == net::CloseReason::ConnectTimeout;
    if (timeout) counts.add(c.stats, ClusterStat::upstream_cx_connect_timeout);
    // A failed connect fails everything that waits, so that each request can decide for itself whether to try elsewhere.
    if (!given_up) {
      const net::Connection& connection = session.session_->connection();
      fail_waiting(timeout ? ResetReason::kConnectTimeout : own_want(connection.last_error()) ? ResetReason::kLocalConnectFailure : ResetReason::kConnectFailure, failure_text(connection));
    }
  }
  connect_for_waiting();
}

void ConnectionPool::fail_waiting(ResetReason reason, std::string_view detail) {
  // Those that wait now, not those that a retry adds meanwhile. Any of them may cancel another, so the end is found by count.
  for (size_t left = waiting_; left != 0 && first_waiting_ != nullptr; --left) {
    PoolRequest& request = *first_waiting_;
    dequeue(request);
    cells().add(cluster().stats, ClusterStat::upstream_rq_pending_failure_eject);
    request.on_pool_failure(reason, detail);
  }
}

void ConnectionPool::drain() {
  draining_ = true;
  retire_connections();
}

void ConnectionPool::retire_connections() {
  for (PooledSession *session = others_.head, *next; session != nullptr; session = next) {
    next = session->next_;
    session->retire();
  }
  while (ready_.head != nullptr) ready_.head->retire();
}

void ConnectionPool::close_all() {
  drain();
  for (PooledSession *session = others_.head, *next; session != nullptr; session = next) {
    next = session->next_;
    session->close(net::CloseType::NoFlush);
  }
}

}  // namespace fairlead::upstream
