// The HTTP/1.1 connections of one worker to one host at one routing priority. Idle connections are reused last in, first out; a request
// that finds none waits in a bounded queue while a connection is made. Breakers are the cluster's, shared by all workers.
// Owned by the Host; a request in flight keeps the Host (and so the pool) alive. One worker, no locks.
// Invariant: every PoolRequest is in exactly one state: detached, waiting in one pool's queue, or attached to one PooledSession.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/codec.h"
#include "dataplane/net/timer.h"
#include "dataplane/upstream/pool/ref.h"
#include "dataplane/upstream/pool/reset_reason.h"
#include "dataplane/upstream/pool/shared_cluster.h"

namespace fairlead::upstream {

class Host;
class Http1Pool;
class PooledSession;

// A request that wants a connection. Derive and implement; destroying or cancel() takes it out of the queue.
class PoolRequest {
 public:
  virtual ~PoolRequest() { cancel(); }
  // A session is yours until release(); called from acquire() or later, exactly once unless on_pool_failure() is.
  virtual void on_pool_ready(PooledSession& session) = 0;
  // `detail`: why the transport failed, empty for an overflow. Called from acquire() (overflow only) or later.
  virtual void on_pool_failure(ResetReason reason, std::string_view detail) = 0;
  void cancel();
  bool waiting() const { return pool_ != nullptr; }

 private:
  friend class Http1Pool;
  Http1Pool* pool_ = nullptr;
  PoolRequest* prev_ = nullptr;
  PoolRequest* next_ = nullptr;
};

// One upstream connection while it serves requests one after the other.
class PooledSession final : private http::ClientSessionEvents, public net::Deferred {
 public:
  // Sends go to the sender, the response to `receiver`. Once per attachment.
  http::MessageSender& open(http::MessageReceiver& receiver);
  // The request is over for its owner, complete in both directions or given up: accounting ends; the connection serves others if it still can.
  void release(bool complete);
  ~PooledSession() override;

  net::Connection& connection() const;
  uint64_t requests() const { return requests_; }       // attached so far, the present one included
  bool reused() const { return requests_ > 1; }
  bool response_begun() const;                          // at least one byte of the present response has come
  bool request_begun() const;                           // at least one byte of the present request has left the process
  std::chrono::nanoseconds connect_time() const { return connect_time_; }

 private:
  friend class Http1Pool;
  explicit PooledSession(Http1Pool& pool);
  void on_session_connected() override;
  void on_stream_slot() override;
  void on_going_away() override;
  void on_session_closed(net::CloseReason reason) override;
  void count_bytes();
  void on_idle_timeout();
  void settle();
  net::Duration age() const;

  enum class State : uint8_t { kConnecting, kIdle, kBusy, kClosing, kGone };
  Http1Pool& pool_;
  Ref<Host> host_;  // a host outlives its connections
  net::DeferredPtr<http::ClientSession> session_;
  State state_ = State::kConnecting;
  bool attached_ = false;    // a request's accounting is open
  bool exchange_open_ = false;  // the codec has a stream
  bool cut_ = false;         // the last request ended before its time
  bool going_away_ = false;
  uint64_t requests_ = 0;
  uint64_t sent_before_ = 0, received_before_ = 0;       // at attachment
  uint64_t sent_counted_ = 0, received_counted_ = 0;     // already in the statistics
  std::chrono::nanoseconds connect_time_{0};
  net::Timer idle_timer_;
  PooledSession* prev_ = nullptr;
  PooledSession* next_ = nullptr;
};

class Http1Pool {
 public:
  // `high`: which breakers.
  Http1Pool(Host& host, bool high);
  ~Http1Pool();

  // Attaches at once (on_pool_ready inside the call), queues, or fails at once when a breaker is open.
  void acquire(PoolRequest& request);
  // Idle connections close now, busy ones after their request; waiting requests are still served.
  void drain();
  // The same for the connections there are; later requests get new ones.
  void retire_connections();
  // Everything closes now; waiting requests fail.
  void close_all();
  size_t connections() const { return connections_; }
  size_t waiting() const { return waiting_; }

 private:
  friend class PoolRequest;
  friend class PooledSession;
  struct SessionList {
    PooledSession* head = nullptr;
    void push(PooledSession& session);
    void remove(PooledSession& session);
  };
  void attach(PoolRequest& request, PooledSession& session);
  void connect();
  void connect_for_waiting();
  void enqueue(PoolRequest& request);
  void dequeue(PoolRequest& request);
  void session_ready(PooledSession& session);
  void session_gone(PooledSession& session, net::CloseReason reason);
  void fail_waiting(ResetReason reason, std::string_view detail);
  void overflow(PoolRequest& request);
  SharedCluster& cluster() const;
  stats::Cells& cells() const;

  Host& host_;
  Breakers& breakers_;
  bool draining_ = false;
  size_t connections_ = 0;  // in any state
  size_t connecting_ = 0;
  size_t waiting_ = 0;
  PoolRequest* first_waiting_ = nullptr;
  PoolRequest* last_waiting_ = nullptr;
  SessionList idle_;
  SessionList others_;  // connecting, busy or closing
};

}  // namespace fairlead::upstream
