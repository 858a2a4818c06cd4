// Who gets which connection; see http1_pool.h.
#include "dataplane/upstream/pool/http1_pool.h"

#include <absl/strings/str_cat.h>

#include <cstring>

#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/pool/host.h"

namespace fairlead::upstream {

using stats::ClusterStat;

void PoolRequest::cancel() {
  if (pool_ == nullptr) return;
  Http1Pool& pool = *pool_;
  pool.dequeue(*this);
  pool.cells().add(pool.cluster().stats, ClusterStat::upstream_rq_cancelled);
}

void Http1Pool::SessionList::push(PooledSession& session) {
  session.prev_ = nullptr;
  session.next_ = head;
  if (head != nullptr) head->prev_ = &session;
  head = &session;
}

void Http1Pool::SessionList::remove(PooledSession& session) {
  (session.prev_ != nullptr ? session.prev_->next_ : head) = session.next_;
  if (session.next_ != nullptr) session.next_->prev_ = session.prev_;
  session.prev_ = session.next_ = nullptr;
}

Http1Pool::Http1Pool(Host& host, bool high) : host_(host), breakers_(host.cluster().breakers[high ? 1 : 0]) {}

Http1Pool::~Http1Pool() {
  while (first_waiting_ != nullptr) dequeue(*first_waiting_);
}

SharedCluster& Http1Pool::cluster() const { return host_.cluster(); }
stats::Cells& Http1Pool::cells() const { return host_.env().cells; }

void Http1Pool::acquire(PoolRequest& request) {
  while (idle_.head != nullptr && !idle_.head->session_->can_open_stream()) {  // closing, and its end is not reported yet
    PooledSession& session = *idle_.head;
    idle_.remove(session);
    others_.push(session);
    session.state_ = PooledSession::State::kClosing;
  }
  if (idle_.head != nullptr) {
    if (!breakers_.requests.can_take()) {
      cells().add(cluster().stats, ClusterStat::upstream_rq_active_overflow);
      return overflow(request);
    }
    return attach(request, *idle_.head);
  }
  if (!breakers_.pending.can_take()) return overflow(request);
  enqueue(request);
  connect_for_waiting();
}

void Http1Pool::overflow(PoolRequest& request) {
  cells().add(cluster().stats, ClusterStat::upstream_rq_pending_overflow);
  request.on_pool_failure(ResetReason::kOverflow, {});
}

void Http1Pool::attach(PoolRequest& request, PooledSession& session) {
  if (session.state_ == PooledSession::State::kIdle) {
    idle_.remove(session);
    others_.push(session);
  }
  session.state_ = PooledSession::State::kBusy;
  session.attached_ = true;
  ++session.requests_;
  const net::Connection& connection = session.session_->connection();
  session.sent_before_ = connection.bytes_sent();
  session.received_before_ = connection.bytes_received();
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
  request.on_pool_ready(session);
}

void Http1Pool::enqueue(PoolRequest& request) {
  request.pool_ = this;
  request.prev_ = last_waiting_;
  request.next_ = nullptr;
  (last_waiting_ != nullptr ? last_waiting_->next_ : first_waiting_) = &request;
  last_waiting_ = &request;
  ++waiting_;
  breakers_.pending.take();
  cells().add(cluster().stats, ClusterStat::upstream_rq_pending_total);
  cells().add(cluster().stats, ClusterStat::upstream_rq_pending_active);
}

void Http1Pool::dequeue(PoolRequest& request) {
  (request.prev_ != nullptr ? request.prev_->next_ : first_waiting_) = request.next_;
  (request.next_ != nullptr ? request.next_->prev_ : last_waiting_) = request.prev_;
  request.pool_ = nullptr;
  request.prev_ = request.next_ = nullptr;
  --waiting_;
  breakers_.pending.give_back();
  cells().sub(cluster().stats, ClusterStat::upstream_rq_pending_active);
}

void Http1Pool::connect_for_waiting() {
  while (waiting_ > connecting_) {
    if (!breakers_.connections.can_take()) {
      cells().add(cluster().stats, ClusterStat::upstream_cx_overflow);
      if (connections_ != 0) return;  // a pool without any connection always gets one, or its queue would never move
    }
    connect();
  }
}

void Http1Pool::connect() {
  ++connections_;
  ++connecting_;
  breakers_.connections.take();
  ++host_.counters.cx_total;
  ++host_.counters.cx_active;
  SharedCluster& c = cluster();
  cells().add(c.stats, ClusterStat::upstream_cx_total);
  cells().add(c.stats, ClusterStat::upstream_cx_active);
  cells().add(c.stats, ClusterStat::upstream_cx_http1_total);
  others_.push(*new PooledSession(*this));
}

void Http1Pool::session_ready(PooledSession& session) {
  using State = PooledSession::State;
  const auto& max_age = cluster().config->http.max_connection_duration;
  if (max_age && session.age() >= *max_age) {
    session.going_away_ = true;
    cells().add(cluster().stats, ClusterStat::upstream_cx_max_duration_reached);
  }
  if (session.going_away_ && session.requests_ != 0) {  // a new connection still serves what it was made for
    session.state_ = State::kClosing;
    session.session_->close(net::CloseType::Flush);
    return;
  }
  while (first_waiting_ != nullptr) {
    PoolRequest& request = *first_waiting_;
    dequeue(request);
    if (breakers_.requests.can_take()) return attach(request, session);
    cells().add(cluster().stats, ClusterStat::upstream_rq_active_overflow);
    overflow(request);
  }
  if (draining_) {
    session.state_ = State::kClosing;
    session.session_->close(net::CloseType::Flush);
    return;
  }
  if (session.state_ != State::kIdle) {
    others_.remove(session);
    idle_.push(session);
    session.state_ = State::kIdle;
  }
  const auto& idle_timeout = cluster().config->http.idle_timeout;
  if (idle_timeout) session.idle_timer_.arm(max_age ? std::min<net::Duration>(*idle_timeout, *max_age - session.age()) : *idle_timeout);
  if (!idle_timeout && max_age) session.idle_timer_.arm(*max_age - session.age());
}

void Http1Pool::session_gone(PooledSession& session, net::CloseReason reason) {
  using State = PooledSession::State;
  const bool was_connecting = session.state_ == State::kConnecting;
  (session.state_ == State::kIdle ? idle_ : others_).remove(session);
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
  if (session.attached_ || (session.exchange_open_ && session.cut_)) {
    counts.add(c.stats, ClusterStat::upstream_cx_destroy_with_active_rq);
    counts.add(c.stats, local ? ClusterStat::upstream_cx_destroy_local_with_active_rq : ClusterStat::upstream_cx_destroy_remote_with_active_rq);
  }
  if (was_connecting) {
    --connecting_;
    ++host_.counters.cx_connect_fail;
    counts.add(c.stats, ClusterStat::upstream_cx_connect_fail);
    const bool timeout = reason == net::CloseReason::ConnectTimeout;
    if (timeout) counts.add(c.stats, ClusterStat::upstream_cx_connect_timeout);
    // A failed connect fails everything that waits, so that each request can decide for itself whether to try elsewhere.
    const int error = session.session_->connection().last_error();
    fail_waiting(timeout ? ResetReason::kConnectTimeout : ResetReason::kConnectFailure,
                 error != 0 ? absl::StrCat("delayed connect error: ", std::strerror(error)) : std::string());
  }
  connect_for_waiting();
}

void Http1Pool::fail_waiting(ResetReason reason, std::string_view detail) {
  // Those that wait now, not those that a retry adds meanwhile. Any of them may cancel another, so the end is found by count.
  for (size_t left = waiting_; left != 0 && first_waiting_ != nullptr; --left) {
    PoolRequest& request = *first_waiting_;
    dequeue(request);
    cells().add(cluster().stats, ClusterStat::upstream_rq_pending_failure_eject);
    request.on_pool_failure(reason, detail);
  }
}

void Http1Pool::drain() {
  draining_ = true;
  retire_connections();
}

void Http1Pool::retire_connections() {
  for (PooledSession* session = others_.head; session != nullptr; session = session->next_) session->going_away_ = true;
  while (idle_.head != nullptr) {
    PooledSession& session = *idle_.head;
    idle_.remove(session);
    others_.push(session);
    session.state_ = PooledSession::State::kClosing;
    session.session_->close(net::CloseType::NoFlush);
  }
}

void Http1Pool::close_all() {
  drain();
  for (PooledSession* session = others_.head; session != nullptr; session = session->next_) session->session_->close(net::CloseType::NoFlush);
}

}  // namespace fairlead::upstream
