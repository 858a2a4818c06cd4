// Sending (core.h): the senders' calls, and what becomes of them when the work of a turn is done.
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "dataplane/http/h2/core.h"
#include "dataplane/http/h2/field_list.h"
#include "dataplane/http/status.h"

namespace fairlead::h2 {

namespace {

constexpr int kRounds = 4;          // of work() in one go: ready streams may be given more to send
constexpr uint32_t kMaxPooled = 1024;
constexpr size_t kFrameHeader = 9;
constexpr size_t kMaxFrame = 16384;   // RFC 9113 section 4.2: every peer takes that
constexpr size_t kMaxBlock = 1 << 20;

struct Pool {
  Stream* first = nullptr;
  uint32_t count = 0;
  bool closed = false;
};
constinit thread_local Pool pool;

}  // namespace

Stream* Stream::take(Session& session, http::MessageReceiver* receiver) {
  struct Guard {  // gives the memory back when the thread ends
    ~Guard() {
      pool.closed = true;
      while (pool.first != nullptr) delete std::exchange(pool.first, pool.first->next);
    }
  };
  static thread_local Guard guard;
  (void)guard;
  Stream* stream = pool.first;
  if (stream != nullptr) {
    pool.first = stream->next;
    --pool.count;
    stream->~Stream();
    new (stream) Stream();
  } else {
    stream = new Stream();
  }
  stream->session = &session;
  stream->receiver = receiver;
  return stream;
}

void Stream::give_back() {
  if (pool.closed || pool.count >= kMaxPooled) {
    delete this;
    return;
  }
  in = net::Buffer();
  out = net::Buffer();
  arena.reset();
  next = pool.first;
  pool.first = this;
  ++pool.count;
}

net::Connection& Stream::connection() { return session->link(); }

void Stream::send_informational(const http::HeaderMap& headers) {
  if (!session->server_ || over || headers_sent || !on_wire) return;
  const FieldList list = response_fields(headers, http::parse_status(headers.get(http::Token::PseudoStatus)), false);
  session->submit_headers(*this, false, list);
}

void Stream::send_headers(const http::HeaderMap& headers, bool end_stream) {
  Session& s = *session;
  if (over || headers_sent || s.closed_) return;
  if (s.server_) {
    if (!on_wire) return;
    unsigned status = http::parse_status(headers.get(http::Token::PseudoStatus));
    if (status == 0) status = 500;
    const FieldList list = response_fields(headers, status, extended);
    if (connect && (status < 300 && (status >= 200 || status == 101))) tunnel = true;
    bodiless = head_method || status == 204 || status == 304;
    headers_sent = true;
    s.submit_headers(*this, end_stream, list);
  } else {
    if (s.live_on_wire_ >= nghttp2_session_get_remote_settings(s.ng_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) || s.goaway_seen_) {
      return s.refuse_unsent(*this);  // the peer has changed its mind since this stream was promised
    }
    const std::string_view method = headers.get(http::Token::PseudoMethod);
    upgrade = arena.copy(upgrade_of(headers));
    extended = !upgrade.empty() || (method == "CONNECT" && headers.has(http::Token::PseudoProtocol));
    connect = extended || method == "CONNECT";
    head_method = method == "HEAD";
    const FieldList list = request_fields(headers, upgrade);
    headers_sent = true;
    s.submit_headers(*this, end_stream, list);
    if (!on_wire) return s.refuse_unsent(*this);
  }
  if (end_stream) {
    ended = true;
    s.message_sent(*this);
  }
}

void Stream::send_data(net::Buffer& data, bool end_stream) {
  Session& s = *session;
  if (over || !headers_sent || ended || s.closed_) return data.clear();
  if (s.server_ && bodiless && !tunnel) {
    data.clear();
  } else {
    out.append(data);
  }
  ended = end_stream;
  s.touch(*this);
  s.schedule();
  if (end_stream) return s.message_sent(*this);
  if (!blocked && (out.size() > s.settings_.stream_buffer_limit || s.connection_->above_high_watermark())) s.set_blocked(*this, true);
}

void Stream::send_trailers(const http::HeaderMap& trailers) {
  Session& s = *session;
  if (over || !headers_sent || ended || s.closed_) return;
  ended = true;
  if (out.empty() && !data_submitted && on_wire) {
    s.submit_headers(*this, true, trailer_fields(trailers));
  } else {
    // Behind the body, which leaves now if the peer takes it: then nothing has to be copied, and the caller's map does for as long.
    trailers_out = &trailers;
    s.submit_body(*this);
    s.pump();
    trailers_out = end_sent ? nullptr : arena.make<const http::HeaderMap>(trailers.copy_to(arena));
    s.touch(*this);
    s.schedule();
  }
  s.message_sent(*this);
}

void Stream::reset(http::ResetReason reason) {
  Session& s = *session;
  if (over) return;
  if (tunnel) {  // what was sent into it arrives, as over TCP
    s.submit_body(*this);
    s.pump();
  }
  uint32_t code = NGHTTP2_INTERNAL_ERROR;
  if (reason == http::ResetReason::ProtocolError) code = NGHTTP2_PROTOCOL_ERROR;
  if (reason == http::ResetReason::RemoteRefused) code = NGHTTP2_REFUSED_STREAM;
  if (!s.server_ && reason == http::ResetReason::LocalReset) code = NGHTTP2_CANCEL;
  // RFC 9113 section 8.5: what ends the connection behind a tunnel
  if (connect && s.server_ && reason == http::ResetReason::ConnectionTermination) code = NGHTTP2_CONNECT_ERROR;
  ended = true;
  s.end_for_user(*this);
  s.reset_on_wire(*this, code);
  s.went_idle();
}

void Stream::pause_reading() {
  if (receiver != nullptr) ++paused;
}

void Stream::resume_reading() {
  if (receiver == nullptr || paused == 0 || --paused != 0) return;
  if (in.empty() && !end_due && trailers_due == nullptr) return;
  session->push_event(*this, Session::EventKind::Resumed, false);
  session->schedule();
}

void Session::refuse_unsent(Stream& stream) {
  stream.close_known = true;
  stream.close_reason = http::ResetReason::RemoteRefused;
  stream.close_detail = "http2.remote_refuse";
  push_event(stream, EventKind::Closed, true);
  schedule();
}

// What has been given to streams so far, to the output.
void Session::flush_bodies() {
  for (Stream* s = touched_; s != nullptr; s = s->next_touched) submit_body(*s);
  pump();
}

// A head or trailers, encoded in pump(), before the caller's map can go away. nghttp2 keeps the stream's state and makes the frame.
bool Session::submit_headers(Stream& stream, bool end, const FieldList& list) {
  if (HpackEncoder::bound(list) > kMaxBlock) {
    if (stream.on_wire) reset_on_wire(stream, NGHTTP2_INTERNAL_ERROR);
    return false;
  }
  const uint8_t flags = end ? NGHTTP2_FLAG_END_STREAM : NGHTTP2_FLAG_NONE;
  const bool request = stream.id == 0;
  const int32_t result = nghttp2_submit_headers(ng_, flags, request ? -1 : stream.id, nullptr, nullptr, 0, request ? &stream : nullptr);
  if (result < 0) return false;
  if (request) {
    stream.id = result;
    ++live_on_wire_;
  }
  head_ = list;
  head_of_ = stream.id;
  pump();
  head_of_ = 0;
  return true;
}

void Session::submit_body(Stream& stream) {
  if (!stream.on_wire || !stream.headers_sent || stream.data_submitted || stream.end_sent || stream.reset_by_us) return;
  if (stream.out.empty() && !stream.ended) return;
  if (stream.out.empty() && stream.trailers_out != nullptr) return submit_trailers(stream);
  nghttp2_data_provider provider;
  provider.source.ptr = &stream;
  provider.read_callback = read_body_;
  stream.data_submitted = nghttp2_submit_data(ng_, NGHTTP2_FLAG_END_STREAM, stream.id, &provider) == 0;
}

void Session::submit_trailers(Stream& stream) {
  if (!std::exchange(stream.trailers_submitted, true)) nghttp2_submit_trailer(ng_, stream.id, nullptr, 0);
}

// nghttp2's frame of a head that it has no fields of: with them. What it holds is changes of the table's size.
void Session::send_block(const uint8_t* frame, size_t size) {
  const auto id = static_cast<int32_t>(static_cast<uint32_t>(frame[5]) << 24 | static_cast<uint32_t>(frame[6]) << 16 | static_cast<uint32_t>(frame[7]) << 8 | frame[8]);
  Stream* stream = std::exchange(block_of_, nullptr);  // with its last frame nghttp2 has forgotten it already; work() has not
  FieldList list{};
  if (stream != nullptr && id == head_of_) {
    list = head_;
  } else if (stream != nullptr && stream->trailers_out != nullptr) {
    list = trailer_fields(*stream->trailers_out);
  } else {  // a head is sent as it is submitted, so there is none
    failed_ = true;
    fail_detail_ = "http2.send_failed";
    return;
  }
  encoder_.apply_updates(frame + kFrameHeader, size - kFrameHeader);
  net::Buffer& out = connection_->output();
  const auto set_length = [](char* header, size_t length) {
    for (int i = 0; i < 3; ++i) header[i] = static_cast<char>(length >> (16 - 8 * i));
  };
  const size_t most = size + HpackEncoder::bound(list);
  if (most <= kFrameHeader + kMaxFrame) {
    char* at = out.reserve(most);
    std::memcpy(at, frame, size);
    const auto whole = static_cast<size_t>(encoder_.encode(list, at + size) - at);
    set_length(at, whole - kFrameHeader);
    out.commit(whole);
    stream->bytes_sent += whole - size;
    stream->header_sent += whole - size;
    return;
  }
  std::string block(most, '\0');
  std::memcpy(block.data(), frame, size);
  block.resize(static_cast<size_t>(encoder_.encode(list, block.data() + size) - block.data()));
  stream->bytes_sent += block.size() - size;
  stream->header_sent += block.size() - size;
  char header[kFrameHeader];
  std::memcpy(header, frame, sizeof header);
  std::string_view rest = std::string_view(block).substr(kFrameHeader);
  do {
    const std::string_view piece = rest.substr(0, kMaxFrame);
    rest.remove_prefix(piece.size());
    set_length(header, piece.size());
    header[4] = static_cast<char>(rest.empty() ? header[4] | NGHTTP2_FLAG_END_HEADERS : header[4] & ~NGHTTP2_FLAG_END_HEADERS);
    out.append(std::string_view(header, sizeof header));
    out.append(piece);
    header[3] = NGHTTP2_CONTINUATION;
    header[4] = 0;
  } while (!rest.empty());
}

// All that nghttp2 has to send, to the output.
void Session::pump() {
  if (receiving_ || pumping_ || closed_) return;
  pumping_ = true;
  net::Buffer& out = connection_->output();
  const size_t before = out.size();
  outbound_.settle(written_, before);
  for (;;) {
    const uint8_t* bytes = nullptr;
    const ssize_t n = nghttp2_session_mem_send(ng_, &bytes);
    if (n <= 0) {
      if (n < 0 && !failed_) {
        failed_ = true;
        fail_detail_ = "http2.send_failed";
      }
      break;
    }
    if (n >= static_cast<ssize_t>(kFrameHeader) && bytes[3] == NGHTTP2_HEADERS) {
      send_block(bytes, static_cast<size_t>(n));
    } else {
      out.append(std::string_view(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n)));
    }
  }
  pumping_ = false;
  if (out.size() == before) return;
  written_ += out.size() - before;
  outbound_.settle(written_, out.size());
  connection_->output_changed();
  if (high_pending_) {
    high_pending_ = false;
    on_write_high();
  }
  const bool control = outbound_.control() > settings_.max_outbound_control_frames;
  if ((control || outbound_.frames() > settings_.max_outbound_frames) && !failed_) {
    // Whoever reads nothing and makes us answer all the same would fill our memory.
    count(control ? Stat::outbound_control_flood : Stat::outbound_flood);
    failed_ = flooded_ = true;
    fail_detail_ = control ? "http2.outbound_control_flood" : "http2.outbound_flood";
    schedule();
  }
}

void Session::run_task() {
  busy_ = true;
  deliver();
  busy_ = false;
  work();
}

void Session::touch(Stream& stream) {
  if (stream.touched) return;
  stream.touched = true;
  stream.next_touched = touched_;
  touched_ = &stream;
}

// Bodies go to the output, their users hear that there is room, finished streams go. The end of every turn with something to do.
void Session::work() {
  if (busy_) return;
  busy_ = true;
  for (int round = 0; round < kRounds && !closed_; ++round) {
    if (failed_) break;
    Stream* batch = nullptr;
    while (touched_ != nullptr) {  // turned round: first come, first served
      Stream* stream = touched_;
      touched_ = stream->next_touched;
      stream->next_touched = batch;
      batch = stream;
    }
    for (Stream* s = batch; s != nullptr; s = s->next_touched) submit_body(*s);
    pump();
    if (batch == nullptr && touched_ == nullptr) break;
    while (batch != nullptr) {
      Stream* stream = batch;
      batch = stream->next_touched;
      stream->touched = false;
      settle(*stream);
    }
    if (touched_ == nullptr && events_.empty()) break;
  }
  count_output();
  busy_ = false;
  if (failed_) {
    if (flooded_ && !closed_) {
      closed_ = closing_ = true;
      drop_streams(http::ResetReason::ConnectionTermination, fail_detail_);
      connection_->close(net::CloseType::NoFlush);
      return;
    }
    return give_up();
  }
  if (closed_) return;
  if ((goaway_final_ || going_away_) && live_ == 0) return close_when_done();  // a client's GOAWAY, too: nghttp2 would answer nothing more
  if (touched_ != nullptr || !events_.empty()) schedule();
}

// The stream's part of the output is where it can be for now.
void Session::settle(Stream& stream) {
  if (stream.out.size() != stream.pending_counted) {
    count(Stat::pending_send_bytes, static_cast<int64_t>(stream.out.size()) - static_cast<int64_t>(stream.pending_counted));
    stream.pending_counted = stream.out.size();
  }
  const bool flushing = stream.over && stream.on_wire && !stream.end_sent && !stream.reset_by_us;
  if (flushing != stream.flushing) {
    stream.flushing = flushing;
    count(Stat::deferred_stream_close, flushing ? 1 : -1);
    if (flushing && settings_.flush_timeout.count() != 0) {
      if (flush_timer_ == nullptr) flush_timer_ = std::make_unique<net::Timer>(connection_->loop().timers(), [this] { on_flush_timeout(); });
      if (!flush_timer_->armed()) flush_timer_->arm(settings_.flush_timeout);
    }
  }
  if (stream.over) return recycle_if_done(stream);
  if (!stream.out.empty() && !stream.data_submitted && stream.on_wire) touch(stream);
  if (stream.blocked && !connection_->above_high_watermark() && stream.out.size() <= settings_.stream_buffer_limit / 2) set_blocked(stream, false);
}

// Finished answers that the peer takes no more of.
void Session::on_flush_timeout() {
  if (closed_) return;
  const net::TimePoint now = connection_->loop().now();
  net::TimePoint oldest = net::TimePoint::max();
  for (Stream* s = streams_; s != nullptr; s = s->next) {
    if (!s->flushing) continue;
    if (now - s->began < settings_.flush_timeout) {
      oldest = std::min(oldest, s->began);
      continue;
    }
    count(Stat::tx_flush_timeout);
    reset_on_wire(*s, NGHTTP2_CANCEL);
    touch(*s);
  }
  if (oldest != net::TimePoint::max()) flush_timer_->arm_at(oldest + settings_.flush_timeout);
  schedule();
}

void Session::set_blocked(Stream& stream, bool blocked) {
  if (stream.blocked == blocked || stream.receiver == nullptr || stream.ended) return;
  stream.blocked = blocked;
  if (blocked) {
    stream.receiver->on_write_blocked();
  } else {
    stream.receiver->on_write_ready();
  }
}

void Session::on_write_high() {
  if (pumping_) {
    high_pending_ = true;
    return;
  }
  for (Stream* s = streams_; s != nullptr; s = s->next) set_blocked(*s, true);
}

void Session::on_write_low() {
  if (closed_) return;
  for (Stream* s = std::exchange(held_, nullptr); s != nullptr;) {
    Stream* next = std::exchange(s->next_held, nullptr);
    s->held = false;
    if (s->on_wire) nghttp2_session_resume_data(ng_, s->id);
    s = next;
  }
  for (Stream* s = streams_; s != nullptr; s = s->next) {
    if (s->blocked) touch(*s);
  }
  work();
}

void Session::count_output() {
  if (settings_.stats == nullptr) return;
  const int64_t frames = outbound_.frames(), control = outbound_.control();
  if (frames != frames_counted_) count(Stat::outbound_frames_active, frames - std::exchange(frames_counted_, frames));
  if (control != control_counted_) count(Stat::outbound_control_frames_active, control - std::exchange(control_counted_, control));
}

}  // namespace fairlead::h2
