// HttpConnection: one downstream connection under a connection manager; HttpConnections: all those of one filter chain on one worker.
// The connection makes a Stream per request and enforces the timeouts that span requests. Drains at the end of a response.
// Lives on one worker; owned by its HttpConnections and gone (deferred) once the session has closed.
#pragma once

#include <functional>
#include <memory>

#include "dataplane/http/codec.h"
#include "dataplane/net/timer.h"
#include "dataplane/stream/chain_connections.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/worker_context.h"
#include "dataplane/tls/session.h"

namespace fairlead::stream {

class HttpConnections;

class HttpConnection final : private http::ServerSessionEvents, private net::ConnectionEvents, public net::Deferred {
 public:
  HttpConnection(HttpConnections& owner, std::shared_ptr<const ConnectionManager> manager, net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info);
  ~HttpConnection() override;

  const ConnectionManager& manager() const { return *manager_; }
  WorkerContext& worker() const { return worker_; }
  net::Connection& connection() const { return *connection_; }
  const ConnectionInfo* info() const { return info_.get(); }  // null: nothing is known beyond the connection's addresses
  const tls::Session* tls() const { return tls_; }  // null: plain
  const tls::ConnectionFacts* tls_facts() const { return tls_ != nullptr ? tls_->facts().get() : nullptr; }
  bool http2() const { return session_ != nullptr && session_->protocol() == http::Protocol::Http2; }
  // Texts for logs and headers; made on first use.
  const std::string& remote_text();
  const std::string& local_text();
  const std::string& remote_ip();

  // True: the response that is about to begin must be the last ("connection: close").
  bool response_closes();
  void drain() { draining_ = true; }
  // HTTP/1 only: over HTTP/2 an exchange that went wrong ends alone.
  void close_after_response() {
    if (http2()) return;
    last_response_ = true;
    session_->drain();
  }
  void close_if_idle();
  void close(net::CloseType type);
  void head_complete() {
    if (headers_timer_) headers_timer_->disarm();
  }
  void request_begins_again() { ++requests_; }  // Envoy 1.40: an internal redirect counts towards max_requests_per_connection
  void stream_ended();
  uint64_t requests() const { return requests_; }
  upstream::Ref<Epoch> kept_epoch() const;  // HttpConnections::keep_epoch(); null: none

 private:
  friend class HttpConnections;
  bool sheds_input() override;
  void on_request_begins() override;
  http::MessageReceiver* on_stream(http::MessageSender& sender) override;
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver& receiver, const http::ProtocolError& error) override;
  void on_session_closed(net::CloseReason reason) override { ended(reason); }
  // net::ConnectionEvents: while a handshake or the first bytes have yet to tell the protocol
  void on_connected() override;
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_closed(net::CloseReason reason) override { ended(reason); }
  void start(bool http2);
  void ended(net::CloseReason reason);
  void log_end(net::CloseReason reason) const;
  void arm_idle();
  void on_idle_timeout();
  void on_headers_timeout();
  void on_max_duration();
  void end_gently();
  void count_bytes();
  void take_newest_manager();
  void rescale_timeouts(const OverloadState& before);
  std::chrono::milliseconds scaled(config::ScaledTimer timer, std::chrono::milliseconds full) const;

  HttpConnections* owner_;
  WorkerContext& worker_;
  std::shared_ptr<const ConnectionManager> manager_;
  net::ConnectionPtr waiting_;  // until the protocol is known, then the session's
  net::Connection* connection_;
  std::unique_ptr<ConnectionInfo> info_;
  const tls::Session* tls_;
  net::DeferredPtr<http::ServerSession> session_;
  net::Timer idle_timer_;
  std::unique_ptr<net::Timer> duration_timer_, headers_timer_;  // max_connection_duration, request_headers_timeout
  uint64_t requests_ = 0;
  uint32_t active_ = 0;  // streams
  bool draining_ = false;
  bool closed_ = false;
  bool last_response_ = false;
  bool too_old_ = false;  // http1_safe_max_connection_duration: only a response may end it
  bool outdated_ = false;  // had requests when its manager was replaced, and has since
  bool ending_ = false;  // HTTP/1 at its idle or greatest age: open for `drain_timeout` more
  uint64_t received_counted_ = 0, sent_counted_ = 0;
  net::TimePoint created_;
  std::string remote_text_, local_text_, remote_ip_;
  HttpConnection* prev_ = nullptr;
  HttpConnection* next_ = nullptr;
};

class HttpConnections final : public ChainConnections {
 public:
  HttpConnections(WorkerContext& worker, std::shared_ptr<const ConnectionManager> manager);
  ~HttpConnections() override;

  void accept(net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info) override;
  size_t size() const override { return size_; }
  // From now on every response ends its connection; idle connections stay until close_idle() or their next request.
  void drain() override;
  void drain_gradually(std::chrono::milliseconds time) override;
  void take(std::shared_ptr<const ConnectionManager> manager, std::chrono::milliseconds time) override;
  // What these connections still ask is answered by the newest table of that name, else by the one kept here.
  void keep_epoch() override { kept_epoch_ = worker_.epoch(); }
  void close_idle() override;
  void close_all(net::CloseType type) override;
  void rescale_timeouts(const OverloadState& before) override;

  WorkerContext& worker() const { return worker_; }
  const ConnectionManager& manager() const { return *manager_; }

 private:
  friend class HttpConnection;
  void add(HttpConnection& connection);
  void remove(HttpConnection& connection);
  WorkerContext& worker_;
  std::shared_ptr<const ConnectionManager> manager_;
  HttpConnection* first_ = nullptr;
  size_t size_ = 0;
  bool drawn(const ConnectionManager& manager);
  bool draining_ = false;
  net::TimePoint gradual_since_{};
  std::chrono::milliseconds gradual_time_{0};  // 0: not draining gradually
  void not_outdated(HttpConnection& connection);
  size_t outdated_ = 0;                        // connections; the kept epoch is theirs
  bool only_outdated_ = false;                 // of the gradual drain: connections with the present manager stay
  upstream::Ref<Epoch> kept_epoch_;
};

}  // namespace fairlead::stream
