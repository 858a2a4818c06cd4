// One call of a client: its request messages go to a CallEvents, what the service sends leaves through the Call. Bytes that many calls share are
// not copied per call (net::Buffer::share). Owned by the connection it came on; the loop's thread.
// A Call is gone, and must not be touched, after finish() and after on_closed().
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include "controlplane/rpc/message_reader.h"
#include "controlplane/rpc/peer.h"
#include "dataplane/http/codec.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::rpc {

class Call;
class Connection;

// The service's side. Not owned by the call.
class CallEvents {
 public:
  virtual ~CallEvents() = default;
  // One message, whole and decompressed; the view is valid within the call.
  virtual void on_message(std::string_view message) = 0;
  // The client sends no more messages.
  virtual void on_client_done() = 0;
  // Less waits for the client than before send() returned false: there is room again.
  virtual void on_writable() {}
  // The call has ended without finish(): the client is gone or has cancelled, its deadline has passed, it broke the protocol. The last event.
  virtual void on_closed() = 0;
  // The connection is to go, and its calls with it: finish() soon, at a moment that suits.
  virtual void on_drain() {}
};

class Call final : private http::MessageReceiver, public net::Deferred {
 public:
  std::string_view method() const { return method_; }  // "/package.Service/Method"
  const PeerPtr& peer() const;                         // of its connection, or who Server::Identify says
  // The message's bytes; taken. False: more than the limit waits for the client (the message too is sent, sooner or later).
  bool send(net::Buffer message);
  bool blocked() const { return sender_.write_blocked(); }
  // Ends the call: what was sent before, then the status. `details`: a serialised google.rpc.Status, for clients that want more than a text.
  void finish(const absl::Status& status, std::string_view details = {});
  // Counted. While paused the client is held back by flow control, once its window is full.
  void pause_reading() { sender_.pause_reading(); }
  void resume_reading() { sender_.resume_reading(); }

 private:
  friend class Connection;
  Call(Connection& connection, http::MessageSender& sender);
  ~Call() override;

  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap& headers, bool end_stream) override;
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_trailers(http::HeaderMap&) override { client_done(); }
  void on_reset(http::ResetReason reason, std::string_view detail) override;
  void on_write_ready() override;

  void refuse(int http_status);
  void client_done();
  void abort(const absl::Status& status);
  void send_head();
  void arm_deadline(std::string_view timeout);
  void leave();

  Connection* connection_;
  http::MessageSender& sender_;
  CallEvents* events_ = nullptr;
  http::Arena arena_;
  std::string_view method_;  // of the server's list; empty: there is none such
  PeerPtr peer_;             // null: the connection's
  MessageReader reader_;
  std::unique_ptr<net::Timer> deadline_;
  bool head_sent_ = false;
  bool over_ = false;
  Call* previous_ = nullptr;
  Call* next_ = nullptr;
};

// "250m" of a grpc-timeout header; nullopt when it is not one.
std::optional<std::chrono::nanoseconds> parse_timeout(std::string_view text);
// grpc-message: what is not printable ASCII, and '%', as %XX.
std::string encode_message(std::string_view text);

}  // namespace fairlead::rpc
