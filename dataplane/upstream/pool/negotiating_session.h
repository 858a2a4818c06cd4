// What an upstream connection is until its handshake has chosen the protocol by ALPN: a session that takes no stream. Once connected, its
// owner takes the connection out and makes the session of that protocol. One worker.
#pragma once

#include <memory>
#include <utility>

#include "dataplane/http/codec.h"

namespace fairlead::upstream {

class NegotiatingSession final : public http::ClientSession, private net::ConnectionEvents {
 public:
  NegotiatingSession(net::ConnectionPtr connection, http::ClientSessionEvents& events) : connection_(std::move(connection)), events_(events) { connection_->set_events(this); }
  ~NegotiatingSession() override {
    if (connection_) connection_->set_events(nullptr);
  }
  net::ConnectionPtr release() { return std::move(connection_); }

  http::MessageSender& new_stream(http::MessageReceiver&) override { std::abort(); }  // can_open_stream() says no
  bool can_open_stream() const override { return false; }
  bool connected() const override { return false; }
  void close(net::CloseType type) override { connection_->close(type); }
  uint32_t active_streams() const override { return 0; }
  http::Protocol protocol() const override { return http::Protocol::Http11; }
  net::Connection& connection() override { return *connection_; }

 private:
  void on_connected() override { events_.on_session_connected(); }
  void on_data(net::Buffer&, bool) override {}
  void on_closed(net::CloseReason reason) override { events_.on_session_closed(reason); }

  net::ConnectionPtr connection_;
  http::ClientSessionEvents& events_;
};

}  // namespace fairlead::upstream
