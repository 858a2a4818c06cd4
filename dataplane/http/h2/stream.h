// One stream of a session: what its user holds to send with, and what the session remembers of it. Room-private; one worker.
// Two lives: its user's (receiver set) and nghttp2's (on_wire). It goes back to the thread's pool when both are over and no event that
// waits for delivery names it.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/http/codec.h"
#include "dataplane/net/buffer.h"
#include "dataplane/net/timer.h"

namespace fairlead::h2 {

class Session;

class Stream final : public http::MessageSender {
 public:
  static Stream* take(Session& session, http::MessageReceiver* receiver);
  void give_back();

  void send_informational(const http::HeaderMap& headers) override;
  void send_headers(const http::HeaderMap& headers, bool end_stream) override;
  void send_data(net::Buffer& data, bool end_stream) override;
  void send_trailers(const http::HeaderMap& trailers) override;
  void reset(http::ResetReason reason) override;
  void pause_reading() override;
  void resume_reading() override;
  bool write_blocked() const override { return blocked; }
  size_t held_bytes() const override { return in.size() + out.size(); }
  http::Protocol protocol() const override { return http::Protocol::Http2; }
  net::Connection& connection() override;
  uint64_t wire_bytes_sent() const override { return bytes_sent; }
  uint64_t wire_bytes_received() const override { return bytes_received; }
  uint64_t header_bytes_sent() const override { return header_sent; }
  uint64_t header_bytes_received() const override { return header_received; }

  Session* session = nullptr;
  http::MessageReceiver* receiver = nullptr;
  Stream* previous = nullptr;  // in the session's list
  Stream* next = nullptr;      // there, or in the pool
  Stream* next_held = nullptr;
  Stream* next_touched = nullptr;
  int32_t id = 0;              // 0: a request not sent yet
  int32_t last_event = -1;     // its newest event in the session's queue
  uint32_t events = 0;         // events in the queue that name it
  uint32_t paused = 0;

  bool over = false;           // for its user, or never to have one
  bool on_wire = false;        // nghttp2 knows it
  bool touched = false;        // in the session's list of streams with something to send or to settle
  bool flushing = false;       // over, and counted as not yet on the wire
  bool reset_by_peer = false;
  bool reset_by_us = false;
  bool tunnel = false;         // granted: bytes in both directions, whatever lengths were announced
  bool connect = false;        // the request is a CONNECT, plain or extended
  bool extended = false;
  bool bodiless = false;       // no body may follow: request was HEAD, or 204, 304
  bool head_method = false;    // HEAD
  // what the peer sends
  bool head_seen = false;      // the final head
  bool peer_ended = false;     // END_STREAM was received
  bool end_due = false;        // its end is to be told, behind `in`
  bool end_told = false;
  bool deaf = false;           // refused: what still comes of it is dropped
  // what we send
  bool headers_sent = false;
  bool ended = false;          // by the user
  bool end_sent = false;       // END_STREAM has been encoded
  bool data_submitted = false; // nghttp2 will ask for `out`
  bool held = false;           // the output is full: asked again when it has drained
  bool blocked = false;        // the user was told to stop

  uint64_t length_left = UINT64_MAX;  // of the announced content-length; UINT64_MAX: none
  http::HeaderMap* trailers_due = nullptr;  // behind `in`; in the receiver's arena
  const http::HeaderMap* trailers_out = nullptr;  // behind `out`; in `arena`, or its caller's within send_trailers()
  bool trailers_submitted = false;          // nghttp2 will ask for them
  std::string_view upgrade;                 // client: the protocol asked for; in `arena`
  bool close_known = false;                 // the next two say why it ended
  http::ResetReason close_reason = http::ResetReason::RemoteReset;
  std::string_view close_detail;
  size_t pending_counted = 0;               // of `out`, in the statistics
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t header_sent = 0;
  uint64_t header_received = 0;
  net::TimePoint began;  // when it became active; once over for its user, when that was
  net::Buffer in;
  net::Buffer out;
  http::Arena arena;

 private:
  Stream() = default;
  ~Stream() override = default;
};

}  // namespace fairlead::h2
