// The server side of HTTP/2 (session.h).
#include <utility>

#include "dataplane/http/h2/core.h"

namespace fairlead::h2 {

namespace {

class Http2Server final : public http::ServerSession, private Session {
 public:
  Http2Server(net::ConnectionPtr connection, const Settings& settings, http::ServerSessionEvents& events)
      : Session(std::move(connection), settings, true), owner_(events) {}

  void drain() override;
  void close(net::CloseType type) override { close_link(type); }
  void refuse_slow_head() override;
  uint32_t active_streams() const override { return active_; }
  http::Protocol protocol() const override { return http::Protocol::Http2; }
  net::Connection& connection() override { return link(); }

 private:
  void on_data(net::Buffer& data, bool end_stream) override;
  void deliver_head(Stream& stream, const Event& event) override;
  void message_received(Stream& stream) override;
  void message_sent(Stream& stream) override;
  void went_idle() override;
  void head_incomplete() override;
  void session_ended(net::CloseReason reason) override;
  void begin_refused(Stream& stream) override { open(stream); }
  bool open(Stream& stream);
  void end_drain();

  http::ServerSessionEvents& owner_;
  std::unique_ptr<net::Timer> drain_timer_;
  bool notice_sent_ = false;
  const Stream* begun_ = nullptr;  // whose head was reported as begun
};

bool Http2Server::open(Stream& stream) {
  stream.receiver = owner_.on_stream(stream);
  if (stream.receiver == nullptr) {
    end_for_user(stream);
    close_link(net::CloseType::NoFlush);
    return false;
  }
  ++active_;
  count(Stat::streams_active);
  return true;
}

void Http2Server::deliver_head(Stream& stream, const Event& event) {
  begun_ = nullptr;
  if (!stream.on_wire) {  // given up in the same read: as if it had never been
    return stream.close_known && stream.close_reason == http::ResetReason::ProtocolError ? deliver_closed(stream) : end_for_user(stream);
  }
  if (!open(stream)) return;
  http::Arena& arena = stream.receiver->arena();
  auto* headers = arena.make<http::HeaderMap>(arena);
  build_request(fields_.data() + event.fields_at, event.fields_count, stream.extended, *headers);
  if (event.too_large) {
    stream.deaf = true;
    owner_.on_protocol_error(stream, *stream.receiver, {431, "http2.too_many_headers", true, headers});
    return;
  }
  stream.end_told = event.end;
  stream.receiver->on_headers(*headers, event.end);
}

void Http2Server::message_received(Stream&) {}  // its answer ends it

void Http2Server::message_sent(Stream& stream) {
  end_for_user(stream);
  went_idle();
}

void Http2Server::went_idle() {
  if (active_ == 0 && !closed_) owner_.on_idle();
}

void Http2Server::head_incomplete() {
  if (block_stream_ == nullptr || block_stream_->head_seen || begun_ == block_stream_) return;
  begun_ = block_stream_;
  owner_.on_request_begins();
}

// Nothing else can come on this connection before the rest of the block: it ends with the answer.
void Http2Server::refuse_slow_head() {
  if (!in_block_ || block_stream_ == nullptr || block_stream_->head_seen || closed_) return;
  Stream& stream = *std::exchange(block_stream_, nullptr);
  begun_ = nullptr;
  stream.head_seen = stream.deaf = true;
  if (!open(stream)) return;
  owner_.on_protocol_error(stream, *stream.receiver, {408, "request_header_timeout", false, nullptr, "request header timeout"});
  notice_sent_ = true;
  end_drain();
}

void Http2Server::on_data(net::Buffer& data, bool end_stream) {
  if (!closed_) owner_.sheds_input();  // it may drain
  Session::on_data(data, end_stream);
}

// A notice first, so that requests under way are not lost; what the peer has sent by the second GOAWAY is still served.
void Http2Server::drain() {
  if (closed_ || goaway_final_) return;
  if (notice_sent_) return end_drain();
  notice_sent_ = true;
  if (settings_.drain_timeout.count() == 0) return end_drain();
  nghttp2_submit_shutdown_notice(ng_);
  drain_timer_ = std::make_unique<net::Timer>(connection_->loop().timers(), [this] { end_drain(); });
  drain_timer_->arm(settings_.drain_timeout);
  schedule();
}

void Http2Server::end_drain() {
  if (closed_ || closing_) return;
  closing_ = true;
  if (drain_timer_ != nullptr) drain_timer_->disarm();
  nghttp2_submit_goaway(ng_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(ng_), NGHTTP2_NO_ERROR, nullptr, 0);
  schedule();
}

void Http2Server::session_ended(net::CloseReason reason) {
  if (drain_timer_ != nullptr) drain_timer_->disarm();
  owner_.on_session_closed(reason);
}

}  // namespace

net::DeferredPtr<http::ServerSession> make_server_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ServerSessionEvents& events) {
  return net::DeferredPtr<http::ServerSession>(new Http2Server(std::move(connection), settings, events));
}

}  // namespace fairlead::h2
