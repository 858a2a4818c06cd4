// PooledSession: one upstream connection of a ConnectionPool. PooledStream: one request's hold on it, for as long as the request runs.
// Deleted (deferred) when the connection has closed. One worker.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/http/codec.h"
#include "dataplane/http/h1/session.h"
#include "dataplane/net/timer.h"
#include "dataplane/upstream/pool/connection_pool.h"
#include "dataplane/upstream/pool/ref.h"

namespace fairlead::upstream {

class PooledStream {
 public:
  // Sends go to the sender, the response to `receiver`. Once per attachment.
  http::MessageSender& open(http::MessageReceiver& receiver);
  // Of a TCP pool, instead: the connection's events go to `events` until it has closed, also after release(). Half-close is enabled.
  void open_raw(net::ConnectionEvents& events);
  // Brings the cluster's byte counters up to date, for a request that goes on for long.
  void count_bytes();
  // The request is over for its owner, complete in both directions or given up: accounting ends; the connection serves others if it still can.
  void release(bool complete);

  net::Connection& connection() const;
  std::chrono::nanoseconds connect_time() const;
  uint64_t requests() const { return number_; }  // attached to the connection up to this one
  bool reused() const { return number_ > 1; }
  // Whether bytes of the response have come, of the request have left: certain when false; when true on a connection that other
  // requests share, they may have been theirs.
  bool response_begun() const;
  bool request_begun() const;

 private:
  friend class PooledSession;
  PooledSession* session_ = nullptr;
  uint64_t number_ = 0;
  uint64_t sent_before_ = 0, received_before_ = 0;  // of the connection, at attachment
};

class PooledSession final : private http::ClientSessionEvents, public net::Deferred {
 public:
  explicit PooledSession(ConnectionPool& pool);
  ~PooledSession() override;

 private:
  friend class ConnectionPool;
  friend class PooledStream;
  enum class State : uint8_t { kConnecting, kReady, kFull, kClosing, kGone };

  bool has_room() const { return streams_ < max_streams_ && !going_away_ && session_->can_open_stream(); }
  PooledStream& attach();
  void released(PooledStream& stream, bool complete);
  void settle();
  void retire();  // no further request: closes now, or with the last one it has
  void close(net::CloseType type);
  net::Duration age() const;
  net::Duration time_left(std::chrono::milliseconds max_age) const;  // of one that may become that old, and its jitter more

  void on_session_connected() override;
  void on_stream_slot() override;
  void on_going_away() override;
  void on_session_closed(net::CloseReason reason) override;
  void on_idle_timeout();
  void count_bytes();
  void count_race();
  void make_session(net::ConnectionPtr connection, bool http2);
  void negotiated();

  ConnectionPool& pool_;
  Ref<Host> host_;  // a host outlives its connections
  h1::PeerCounts peer_counts_;  // not in the statistics yet
  net::DeferredPtr<http::ClientSession> session_;
  State state_ = State::kConnecting;
  bool going_away_ = false;
  bool cut_ = false;            // the last request to end did so before its time, and the codec has not ended it yet
  uint32_t streams_ = 0;        // attached now
  uint32_t max_streams_ = 1;
  uint64_t requests_ = 0;       // attached so far
  uint64_t sent_counted_ = 0, received_counted_ = 0;  // already in the statistics
  std::chrono::nanoseconds connect_time_{0}, age_jitter_{0};
  net::Timer idle_timer_;
  PooledStream first_;          // the only one on HTTP/1.1
  bool first_free_ = true;
  std::vector<std::unique_ptr<PooledStream>> spare_;
  PooledSession* prev_ = nullptr;
  PooledSession* next_ = nullptr;
};

}  // namespace fairlead::upstream
