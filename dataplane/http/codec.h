// What stands between a codec and its users: the same for HTTP/1.1 and HTTP/2, for servers and clients.
//   ServerSession: a connection that receives requests. For each it asks its events for a MessageReceiver (the request goes
//     there) and hands out a MessageSender (the response leaves through it).
//   ClientSession: a connection that sends requests. new_stream(receiver) gives the MessageSender for the request; the response
//     goes to the receiver.
// Headers are parsed into the *receiver's* arena: an upstream response can thus land in the downstream stream's own arena.
// One worker. From inside a send_* call only on_write_blocked, on_idle and on_stream_slot may be called.
// A stream is over, its sender gone and its receiver called no more, when
//   server: the response's end was sent (a request still arriving is then discarded; on h1 its connection closes);
//   client: the response's end was received (a request still being sent is then given up; on h1 its connection closes);
//   both: on_reset() was delivered, or reset() was called.
// A tunnel (101, CONNECT) is no exception: who has sent the end of its response, or received one, is through with it. On h1 a peer that ends
// its connection resets the stream; only a client that has ended its own half before may still read to the end.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/header_map.h"
#include "dataplane/net/buffer.h"
#include "dataplane/net/connection.h"

namespace fairlead::http {

enum class Protocol : uint8_t { Http10, Http11, Http2 };
std::string_view protocol_name(Protocol protocol);  // "HTTP/1.1": Envoy's %PROTOCOL%

enum class ResetReason : uint8_t {
  LocalReset,             // reset() by our side, or our side closed the connection
  RemoteReset,            // the peer reset this stream (h2 RST_STREAM)
  RemoteRefused,          // refused before processing: safe to retry (h2 REFUSED_STREAM)
  ConnectionFailure,      // never connected
  ConnectionTermination,  // connection closed or reset under the stream
  ProtocolError,          // the peer's bytes break the protocol; `detail` says how
  Overflow,               // a limit of ours
};
std::string_view reset_reason_name(ResetReason reason);

// A request that must be refused. `details` is Envoy's response code details; the body of the reply is the reason phrase.
struct ProtocolError {
  uint16_t status = 400;
  std::string_view details;  // static string: "http1.codec_error", "low_version", "missing_host_header", …
  bool downstream_protocol_error = true;  // response flag DPE; false for refusals that Envoy makes above its codec
  const HeaderMap* headers = nullptr;     // the head, when it could be read (for the access log); lives in the receiver's arena
  std::string_view body = {};             // static string; empty: the status' reason phrase if a protocol error, else none
  bool overload = false;         // nothing is wrong with the request
};

class MessageReceiver {
 public:
  virtual ~MessageReceiver() = default;
  // Where heads and trailers of this message are put. Must outlive the message.
  virtual Arena& arena() = 0;
  // `headers` lives in arena() as long as it does; the receiver may change it. end_stream: no body, no trailers.
  virtual void on_headers(HeaderMap& headers, bool end_stream) = 0;
  // 1xx responses other than 101. Clients only.
  virtual void on_informational(HeaderMap& headers) { (void)headers; }
  // Take what is wanted out of `data`; what stays in it is dropped. May be called with no bytes and end_stream.
  virtual void on_data(net::Buffer& data, bool end_stream) = 0;
  virtual void on_trailers(HeaderMap& trailers) = 0;
  // The stream is over before its end; no other call follows, the sender is gone.
  virtual void on_reset(ResetReason reason, std::string_view detail) = 0;
  // What was sent through the sender has grown above its limit / sunk to half of it: stop and go on feeding it.
  virtual void on_write_blocked() {}
  virtual void on_write_ready() {}
};

class MessageSender {
 public:
  virtual ~MessageSender() = default;
  // Heads carry pseudo-headers as entries (":status" | ":method", ":path", ":authority", …); values must be valid.
  virtual void send_informational(const HeaderMap& headers) = 0;  // 100, 102, 103; servers only
  virtual void send_headers(const HeaderMap& headers, bool end_stream) = 0;
  virtual void send_data(net::Buffer& data, bool end_stream) = 0;  // takes all bytes; `data` is empty afterwards
  virtual void send_trailers(const HeaderMap& trailers) = 0;       // ends the message
  // Give the stream up: RST_STREAM on h2, closes the connection on h1. The receiver hears nothing more.
  virtual void reset(ResetReason reason) = 0;
  // Counted: the peer is held back while the count is above 0. Data already read may still arrive.
  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;
  virtual bool write_blocked() const = 0;
  virtual size_t held_bytes() const { return 0; }  // of this stream: received and not taken yet, or sent and not with the kernel yet
  virtual Protocol protocol() const = 0;  // of the request received (server) or of the session (client)
  virtual net::Connection& connection() = 0;
  // Bytes of this stream on the wire so far, heads and framing included; header bytes alone.
  virtual uint64_t wire_bytes_sent() const = 0;
  virtual uint64_t wire_bytes_received() const = 0;
  virtual uint64_t header_bytes_sent() const = 0;
  virtual uint64_t header_bytes_received() const = 0;
};

class ServerSessionEvents {
 public:
  virtual ~ServerSessionEvents() = default;
  // Bytes have come and are about to be read. True, of HTTP/1: overload turns them away; the session answers 500 where it still can, and ends.
  virtual bool sheds_input() { return false; }
  // Part of a request head has arrived, not all of it: a timer for slow heads belongs here, until the receiver's on_headers().
  virtual void on_request_begins() {}
  // A request begins: on_headers or on_protocol_error follows once its head is here. Null: the connection is closed at once.
  virtual MessageReceiver* on_stream(MessageSender& sender) = 0;
  // The request on `sender` breaks the rules. If its response has not begun, answer with error.status; otherwise reset() it.
  // `receiver` got no or only part of the request and gets nothing more of it. The connection closes after the answer.
  virtual void on_protocol_error(MessageSender& sender, MessageReceiver& receiver, const ProtocolError& error) = 0;
  // The last active stream has ended; the connection waits for a request.
  virtual void on_idle() {}
  // The connection is gone; active streams have had on_reset(). The session may be deleted (it is Deferred).
  virtual void on_session_closed(net::CloseReason reason) = 0;
};

class ServerSession : public net::Deferred {
 public:
  // No further request after the running one: "connection: close" on h1 (an idle connection closes at once), GOAWAY on h2.
  virtual void drain() = 0;
  virtual void close(net::CloseType type) = 0;
  // The head that on_request_begins() announced takes too long: on_protocol_error(408) follows in this call.
  virtual void refuse_slow_head() = 0;
  virtual uint32_t active_streams() const = 0;
  virtual Protocol protocol() const = 0;
  virtual net::Connection& connection() = 0;
};

class ClientSessionEvents {
 public:
  virtual ~ClientSessionEvents() = default;
  virtual void on_session_connected() {}
  // A stream has ended and the session can take more (can_open_stream()). Not called for a session that is closing.
  virtual void on_stream_slot() {}
  // No new stream will be accepted any more, running ones go on ("connection: close", GOAWAY).
  virtual void on_going_away() {}
  virtual void on_session_closed(net::CloseReason reason) = 0;
};

class ClientSession : public net::Deferred {
 public:
  // Precondition: can_open_stream(). The receiver must live until the stream is over or reset.
  virtual MessageSender& new_stream(MessageReceiver& receiver) = 0;
  virtual bool can_open_stream() const = 0;
  // How many streams it takes at a time: 1 on h1; on h2 what both sides allow, which the peer may change at any time.
  virtual uint32_t max_streams() const { return 1; }
  virtual bool connected() const = 0;
  virtual void close(net::CloseType type) = 0;
  virtual uint32_t active_streams() const = 0;
  virtual Protocol protocol() const = 0;
  virtual net::Connection& connection() = 0;
};

}  // namespace fairlead::http
