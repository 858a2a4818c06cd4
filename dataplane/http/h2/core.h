// What server and client sessions share: nghttp2, the connection, the streams. Room-private; one worker.
// Reading: nghttp2 parses the read blocks in place and its callbacks only note events; after the whole read the events are delivered,
//   in order. So no user code runs inside nghttp2, what came together is told together, and a request that its peer gave up in the
//   same read is never begun.
// Writing: heads are encoded at once (they refer to their map's bytes), bodies when the turn's work is done; payloads move by block.
//   All of it gathers in the connection's output, which leaves at the end of the turn. While the output is above its high watermark
//   bodies stay in their streams.
// Flow control: windows grow by what has been delivered; a paused stream keeps its data and its peer's window closes.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/http/h2/header_block.h"
#include "dataplane/http/h2/hpack_encoder.h"
#include "dataplane/http/h2/limits.h"
#include "dataplane/http/h2/memory.h"
#include "dataplane/http/h2/session.h"
#include "dataplane/http/h2/stream.h"

namespace fairlead::h2 {

class Keepalive;

class Session : protected net::ConnectionEvents {
 public:
  Session(net::ConnectionPtr connection, const Settings& settings, bool server);
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  net::Connection& link() { return *connection_; }
  // The connection is to end: what can still be sent goes out, behind it a GOAWAY, then it closes.
  void close_link(net::CloseType type);
  void send_ping();
  void keepalive_failed();

 protected:
  friend class Stream;
  enum class EventKind : uint8_t { Head, Informational, Body, Trailers, Closed, Resumed };
  struct Event {
    Stream* stream;
    uint32_t fields_at;
    uint32_t fields_count;
    EventKind kind;
    bool end;
    bool too_large;
  };

  // net::ConnectionEvents
  void on_connected() override {}
  void on_data(net::Buffer& data, bool end_stream) override;
  void on_write_high() override;
  void on_write_low() override;
  void on_closed(net::CloseReason reason) override;

  // The side's own part.
  virtual void deliver_head(Stream& stream, const Event& event) = 0;
  virtual void message_received(Stream& stream) = 0;  // its end has been told; the receiver is still set
  virtual void message_sent(Stream& stream) = 0;      // its end has been given by the user
  virtual void stream_gone() {}                       // given back
  virtual void went_idle() {}                         // a stream was reset: perhaps the last
  virtual void head_incomplete() {}
  virtual void begin_refused(Stream&) {}              // a malformed request, so that its end can be told and logged
  virtual void settings_received() {}
  virtual void goaway_received() {}
  virtual void session_ended(net::CloseReason reason) = 0;

  // core.cc
  Stream& add_stream(http::MessageReceiver* receiver);
  void end_for_user(Stream& stream);  // its user hears no more of it
  void recycle_if_done(Stream& stream);
  void unlink(Stream& stream);
  void fail(uint32_t error_code, std::string_view detail);
  void reject(Stream& stream, std::string_view problem);  // a malformed head or trailers
  void reject_alone(Stream& stream, std::string_view problem);
  void reject_body(Stream& stream);                       // more or less than its content-length
  void reset_on_wire(Stream& stream, uint32_t error_code);
  void drop_streams(http::ResetReason reason, std::string_view detail);
  void give_up();
  void close_when_done();
  void count(Stat stat, int64_t delta = 1) {
    if (settings_.stats != nullptr) settings_.stats->add(stat, delta);
  }
  Stream* stream_of(int32_t id) {
    if (id == cached_id_) return cached_;
    cached_ = static_cast<Stream*>(nghttp2_session_get_stream_user_data(ng_, id));
    cached_id_ = id;
    return cached_;
  }

  // deliver.cc
  void push_event(Stream& stream, EventKind kind, bool end);
  void deliver();
  void deliver(const Event& event);
  void deliver_body(Stream& stream);
  void deliver_closed(Stream& stream);
  void deliver_trailers(Stream& stream, const Event& event);
  void consume(Stream& stream, size_t bytes);
  void release_fields();

  // send.cc
  void pump();
  void run_task();
  void schedule() {  // work() in this turn, unless it comes anyway
    if (!busy_ && !task_.queued()) connection_->loop().run_soon(task_);
  }
  void work();
  void touch(Stream& stream);
  void settle(Stream& stream);
  bool submit_headers(Stream& stream, bool end, const FieldList& list);
  void submit_trailers(Stream& stream);
  void send_block(const uint8_t* frame, size_t size);
  void submit_body(Stream& stream);
  void refuse_unsent(Stream& stream);
  void flush_bodies();
  void set_blocked(Stream& stream, bool blocked);
  void count_output();
  void on_flush_timeout();

  // callbacks.cc
  struct Callbacks;
  void set_up();

  net::ConnectionPtr connection_;
  const Settings settings_;
  const bool server_;
  SessionMemory memory_;  // of ng_
  nghttp2_session* ng_ = nullptr;
  net::LoopTask task_;
  Stream* streams_ = nullptr;   // every stream that is not given back
  Stream* held_ = nullptr;      // asked by nghttp2 for data while the output was full
  Stream* touched_ = nullptr;   // with something to send or to settle
  uint32_t live_ = 0;           // in streams_
  uint32_t active_ = 0;         // with a receiver
  uint32_t live_on_wire_ = 0;   // client: known to nghttp2
  bool busy_ = false;           // work() will follow before the stack unwinds
  bool receiving_ = false;      // inside nghttp2_session_mem_recv
  bool pumping_ = false;
  bool failed_ = false;         // the peer broke the protocol or a limit
  bool peer_at_fault_ = false;  // the protocol
  bool closing_ = false;        // no further request or stream
  bool closed_ = false;         // the connection is gone or going: nothing more is read or sent
  bool goaway_final_ = false;   // ours has left
  bool flooded_ = false;        // it does not read: nothing more is worth sending
  bool high_pending_ = false;   // the output went above its limit inside pump()
  bool settings_seen_ = false, goaway_seen_ = false;  // in this read, not told of yet
  bool going_away_ = false;     // the peer's GOAWAY has been told of
  std::string_view fail_detail_;
  ssize_t (*read_body_)(nghttp2_session*, int32_t, uint8_t*, size_t, uint32_t*, nghttp2_data_source*, void*) = nullptr;

  std::vector<Event> events_;
  std::vector<Field> fields_;
  uint32_t block_at_ = 0;       // first field of the block being received
  bool in_block_ = false;
  Stream* block_stream_ = nullptr;
  BlockCheck block_;
  KnownFields known_;
  net::Buffer* input_ = nullptr;
  const char* input_at_ = nullptr;  // where `input_` begins
  net::PieceBlock pieces_;          // of bodies, in this read
  int32_t cached_id_ = -1;
  Stream* cached_ = nullptr;

  InboundLimits inbound_;
  OutboundFrames outbound_;
  HpackEncoder encoder_;
  FieldList head_{};            // being sent
  int32_t head_of_ = 0;         // its stream; 0: none is
  Stream* block_of_ = nullptr;  // whose HEADERS nghttp2 has just made
  PrematureResets premature_;
  StreamHistory history_;
  uint64_t written_ = 0;        // bytes ever appended to the output
  int64_t frames_counted_ = 0, control_counted_ = 0;
  std::unique_ptr<net::Timer> flush_timer_;
  std::unique_ptr<Keepalive> keepalive_;
};

}  // namespace fairlead::h2
