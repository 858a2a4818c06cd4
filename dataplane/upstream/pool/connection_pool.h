// The connections of one worker to one host with one protocol at one routing priority. A connection takes as many requests at a time as
// its protocol allows (HTTP/1.1: one); the one used last is used first. A request that finds no room waits in a bounded queue while a
// connection is made. Breakers are the cluster's, shared by all workers.
// Owned by the Host; a request in flight keeps the Host (and so the pool) alive. One worker, no locks.
// Invariant: every PoolRequest is in exactly one state: detached, waiting in one pool's queue, or attached to one PooledStream.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "dataplane/net/connection.h"
#include "dataplane/upstream/pool/reset_reason.h"
#include "dataplane/upstream/pool/shared_cluster.h"

namespace fairlead::upstream {

class Host;
class ConnectionPool;
class PooledSession;
class PooledStream;
struct MadeFor;

// kTcp: the bytes of one request each; tcp_session.h. kAuto: HTTP/1 or HTTP/2, as each connection's handshake chooses.
enum class PoolProtocol : uint8_t { kHttp1, kHttp2, kTcp, kAuto };
inline constexpr size_t kPoolProtocols = 4;

// A request that wants a connection. Derive and implement; destroying or cancel() takes it out of the queue.
class PoolRequest {
 public:
  virtual ~PoolRequest() { cancel(); }
  // The stream is yours until release(); called from acquire() or later, exactly once unless on_pool_failure() is.
  virtual void on_pool_ready(PooledStream& stream) = 0;
  // `detail`: why the transport failed, empty for an overflow. Called from acquire() (overflow only) or later.
  virtual void on_pool_failure(ResetReason reason, std::string_view detail) = 0;
  void cancel();
  bool waiting() const { return pool_ != nullptr; }

 private:
  friend class ConnectionPool;
  ConnectionPool* pool_ = nullptr;
  PoolRequest* prev_ = nullptr;
  PoolRequest* next_ = nullptr;
};

class ConnectionPool {
 public:
  // `high`: which breakers.
  // `whom`: for whom its connections are made; null: for anybody.
  ConnectionPool(Host& host, PoolProtocol protocol, bool high, std::unique_ptr<const MadeFor> whom = nullptr);
  ~ConnectionPool();

  // Attaches at once (on_pool_ready inside the call), queues, or fails at once when a breaker is open.
  void acquire(PoolRequest& request);
  // Idle connections close now, busy ones after their requests; waiting requests are still served.
  void drain();
  // The same for the connections there are; later requests get new ones.
  void retire_connections();
  // Everything closes now; waiting requests fail.
  void close_all();
  size_t connections() const { return connections_; }
  size_t waiting() const { return waiting_; }
  PoolProtocol protocol() const { return protocol_; }
  // Nothing refers to the pool any more.
  bool unused() const { return sessions_ == 0 && waiting_ == 0; }
  Breakers& breakers() { return breakers_; }

 private:
  friend class PoolRequest;
  friend class PooledSession;
  friend class PooledStream;
  struct SessionList {
    PooledSession* head = nullptr;
    void push(PooledSession& session);
    void remove(PooledSession& session);
  };
  void attach(PoolRequest& request, PooledSession& session);
  void connect();
  void connect_for_waiting();
  void close_excess();
  void enqueue(PoolRequest& request);
  void dequeue(PoolRequest& request);
  void session_has_room(PooledSession& session);
  void session_gone(PooledSession& session, net::CloseReason reason);
  void set_ready(PooledSession& session, bool ready);
  void fail_waiting(ResetReason reason, std::string_view detail);
  void overflow(PoolRequest& request, stats::ClusterStat limit);  // counted as `limit`
  bool may_attach() const;
  uint32_t max_streams() const;  // of one connection, as configured; of kAuto as the latest connection has shown
  void expect(uint32_t streams);
  SharedCluster& cluster() const;
  stats::Cells& cells() const;

  Host& host_;
  Breakers& breakers_;
  const PoolProtocol protocol_;
  bool draining_ = false;
  const std::unique_ptr<const MadeFor> whom_;
  uint32_t auto_streams_ = 0;  // kAuto: what the latest connection takes; 0: there was none
  size_t connections_ = 0;  // in any state
  size_t sessions_ = 0;     // those and the ones whose end has been reported in this turn
  size_t connecting_ = 0;
  size_t waiting_ = 0;
  PoolRequest* first_waiting_ = nullptr;
  PoolRequest* last_waiting_ = nullptr;
  SessionList ready_;   // connected, with room for a request
  SessionList others_;  // connecting, full or closing
};

}  // namespace fairlead::upstream
