// Streams, reading and the end of sessions (core.h).
#include "dataplane/http/h2/core.h"

#include <utility>

#include "dataplane/http/h2/keepalive.h"

namespace fairlead::h2 {

namespace {

// Fields are gone between reads: the sessions of a thread share the room for them, so that an idle connection holds none.
thread_local std::vector<Field> spare_fields;

}  // namespace

Session::Session(net::ConnectionPtr connection, const Settings& settings, bool server)
    : connection_(std::move(connection)),
      settings_(settings),
      server_(server),
      task_(net::LoopTask::of<&Session::run_task>(this)),
      inbound_(settings_),
      premature_(server ? settings.premature_reset_streams : 0),
      history_(server) {
  set_up();
  connection_->set_events(this);
  if (settings_.keepalive_interval.count() != 0 || settings_.keepalive_idle_interval.count() != 0) {
    keepalive_ = std::make_unique<Keepalive>(*this, settings_, connection_->loop());
  }
  pump();  // the preface
}

Session::~Session() {
  connection_->set_events(nullptr);
  for (Stream* s = streams_; s != nullptr;) {
    Stream* next = s->next;
    if (s->receiver != nullptr) count(Stat::streams_active, -1);
    if (s->pending_counted != 0) count(Stat::pending_send_bytes, -static_cast<int64_t>(s->pending_counted));
    if (s->flushing) count(Stat::deferred_stream_close, -1);
    s->give_back();
    s = next;
  }
  if (frames_counted_ != 0) count(Stat::outbound_frames_active, -frames_counted_);
  if (control_counted_ != 0) count(Stat::outbound_control_frames_active, -control_counted_);
  release_fields();
  nghttp2_session_del(ng_);
}

Stream& Session::add_stream(http::MessageReceiver* receiver) {
  Stream* stream = Stream::take(*this, receiver);
  stream->began = connection_->loop().now();
  stream->next = streams_;
  if (streams_ != nullptr) streams_->previous = stream;
  streams_ = stream;
  ++live_;
  if (keepalive_ != nullptr) keepalive_->on_stream_begins();
  return *stream;
}

void Session::unlink(Stream& stream) {
  (stream.previous != nullptr ? stream.previous->next : streams_) = stream.next;
  if (stream.next != nullptr) stream.next->previous = stream.previous;
  stream.previous = stream.next = nullptr;
  --live_;
}

void Session::end_for_user(Stream& stream) {
  stream.over = true;
  if (!stream.in.empty()) {  // held back, and wanted no more
    if (!closed_) nghttp2_session_consume_connection(ng_, stream.in.size());
    stream.in.clear();
  }
  touch(stream);
  schedule();
  if (stream.receiver == nullptr) return;
  stream.receiver = nullptr;
  stream.began = connection_->loop().now();
  --active_;
  count(Stat::streams_active, -1);
}

void Session::recycle_if_done(Stream& stream) {
  if (!stream.over || stream.on_wire || stream.touched || stream.events != 0) return;
  if (stream.held) {
    for (Stream** at = &held_; *at != nullptr; at = &(*at)->next_held) {
      if (*at != &stream) continue;
      *at = stream.next_held;
      break;
    }
  }
  if (stream.pending_counted != 0) count(Stat::pending_send_bytes, -static_cast<int64_t>(stream.pending_counted));
  if (stream.flushing) count(Stat::deferred_stream_close, -1);
  unlink(stream);
  stream.give_back();
  if (!closed_) stream_gone();
}

void Session::reset_on_wire(Stream& stream, uint32_t error_code) {
  if (!stream.on_wire || stream.reset_by_us || closed_) return;
  stream.reset_by_us = true;
  nghttp2_submit_rst_stream(ng_, NGHTTP2_FLAG_NONE, stream.id, error_code);
  schedule();
}

void Session::fail(uint32_t error_code, std::string_view detail) {
  if (failed_) return;
  failed_ = true;
  peer_at_fault_ = error_code != NGHTTP2_ENHANCE_YOUR_CALM;  // Envoy 1.40: floods have counters of their own
  fail_detail_ = detail;
  nghttp2_session_terminate_session(ng_, error_code);  // ignores what follows, too
}

// With stream_error_on_invalid_http_message the stream alone pays for it: what came before is still told, then its reset.
void Session::reject(Stream& stream, std::string_view problem) {
  if (stream.close_known) return;
  count(Stat::rx_messaging_error);
  if (!settings_.stream_error_on_invalid_http_message) {
    stream.close_known = true;
    stream.close_reason = http::ResetReason::ProtocolError;
    stream.close_detail = problem;
    return fail(NGHTTP2_PROTOCOL_ERROR, problem);
  }
  reject_alone(stream, problem);
}

// Envoy 1.40 resets the stream whatever the option says, and does not count it.
void Session::reject_body(Stream& stream) {
  if (!stream.close_known) reject_alone(stream, "http2.violation.of.messaging.rule");
}

void Session::reject_alone(Stream& stream, std::string_view problem) {
  stream.close_known = true;
  stream.close_reason = http::ResetReason::ProtocolError;
  stream.close_detail = problem;
  stream.peer_ended = false;
  reset_on_wire(stream, NGHTTP2_PROTOCOL_ERROR);
}

// nghttp2 parses each slice where it lies. on_data_chunk() may take slices out of `data` meanwhile; input_at_ tells where it begins.
void Session::on_data(net::Buffer& data, bool) {
  if (closed_) return data.clear();
  if (fields_.capacity() == 0) fields_.swap(spare_fields);
  busy_ = receiving_ = true;
  input_ = &data;
  if (keepalive_ != nullptr) keepalive_->on_traffic();
  while (!data.empty()) {
    const std::string_view front = data.front();
    const char* end = front.data() + front.size();
    input_at_ = front.data();
    const auto breach = history_.read(front);
    const ssize_t taken = nghttp2_session_mem_recv(ng_, reinterpret_cast<const uint8_t*>(front.data()), breach ? breach->at : front.size());
    if (input_at_ != end) data.drain(static_cast<size_t>(end - input_at_));
    if (taken >= 0 && !breach) continue;
    data.clear();
    if (taken >= 0) {
      fail(breach->code, "http2.protocol_error");
      break;
    }
    if (taken == NGHTTP2_ERR_FLOODED) count(Stat::outbound_control_flood);
    fail(taken == NGHTTP2_ERR_FLOODED ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR,
         taken == NGHTTP2_ERR_FLOODED ? "http2.outbound_control_flood" : "http2.protocol_error");
  }
  input_ = nullptr;
  pieces_.reset();
  receiving_ = false;
  pump();  // acknowledgements; a GOAWAY of nghttp2's own says here that the peer broke the protocol
  if (settings_seen_) {
    settings_seen_ = false;
    settings_received();
  }
  if (!failed_ || !server_) deliver();
  if (in_block_ && !failed_) head_incomplete();
  if (goaway_seen_ && !going_away_) {
    going_away_ = true;
    goaway_received();
  }
  busy_ = false;
  if (!closed_) work();
  if (fields_.empty() && spare_fields.capacity() == 0) fields_.swap(spare_fields);
}

// The peer's fault: what it can be told is encoded; streams end, then the connection.
void Session::give_up() {
  if (closed_) return;
  pump();
  if (closed_) return;
  if (peer_at_fault_ && settings_.stats != nullptr) settings_.stats->protocol_error();
  for (Stream* s = streams_; server_ && s != nullptr; s = s->next) {
    if (s->close_known && s->close_reason == http::ResetReason::ProtocolError && s->receiver == nullptr && !s->over) begin_refused(*s);
  }
  closed_ = closing_ = true;
  drop_streams(server_ ? http::ResetReason::ConnectionTermination : http::ResetReason::ProtocolError, fail_detail_);
  connection_->close(server_ ? net::CloseType::FlushAndWait : net::CloseType::Flush);
}

void Session::close_link(net::CloseType type) {
  if (closed_) return connection_->close(type);
  closing_ = true;
  if (type == net::CloseType::Flush || type == net::CloseType::FlushAndWait) {
    flush_bodies();
    if (closed_) return;
    nghttp2_session_terminate_session(ng_, NGHTTP2_NO_ERROR);
    pump();
  }
  closed_ = true;
  connection_->close(type);
}

// After a GOAWAY, in either direction: the last stream has gone.
void Session::close_when_done() {
  if (closed_ || live_ != 0) return;
  closed_ = closing_ = true;
  connection_->close(server_ ? net::CloseType::FlushAndWait : net::CloseType::Flush);
}

void Session::drop_streams(http::ResetReason reason, std::string_view detail) {
  // Receivers may reset other streams meanwhile; none is given back before work(), which waits.
  const bool was_busy = std::exchange(busy_, true);
  for (Stream* s = streams_; s != nullptr; s = s->next) {
    http::MessageReceiver* receiver = s->receiver;
    if (receiver == nullptr) continue;
    end_for_user(*s);
    const bool own = s->close_known && s->close_reason == http::ResetReason::ProtocolError;
    receiver->on_reset(own ? s->close_reason : reason, own ? s->close_detail : detail);
  }
  busy_ = was_busy;
}

void Session::on_closed(net::CloseReason reason) {
  closed_ = closing_ = true;
  if (keepalive_ != nullptr) keepalive_->stop();
  if (flush_timer_ != nullptr) flush_timer_->disarm();
  const bool never = reason == net::CloseReason::ConnectFailed || reason == net::CloseReason::ConnectTimeout;
  drop_streams(never ? http::ResetReason::ConnectionFailure : http::ResetReason::ConnectionTermination, net::close_reason_name(reason));
  session_ended(reason);
}

void Session::send_ping() {
  if (closed_) return;
  nghttp2_submit_ping(ng_, NGHTTP2_FLAG_NONE, nullptr);
  schedule();
}

void Session::keepalive_failed() {
  if (closed_) return;
  count(Stat::keepalive_timeout);
  closed_ = closing_ = true;
  drop_streams(http::ResetReason::ConnectionTermination, "http2.ping_timeout");
  connection_->close(net::CloseType::NoFlush);
}

void Session::release_fields() {
  for (const Field& f : fields_) release(f);
  fields_.clear();
}

}  // namespace fairlead::h2
