// The client side of HTTP/2 (session.h).
#include <algorithm>
#include <utility>

#include "dataplane/http/h2/core.h"

namespace fairlead::h2 {

namespace {

class Http2Client final : public http::ClientSession, private Session {
 public:
  Http2Client(net::ConnectionPtr connection, const Settings& settings, http::ClientSessionEvents& events)
      : Session(std::move(connection), settings, false), owner_(events), connected_(link().open()), told_limit_(max_streams()) {}

  http::MessageSender& new_stream(http::MessageReceiver& receiver) override;
  bool can_open_stream() const override {
    return !closing_ && !closed_ && !failed_ && !goaway_seen_ && live_ < max_streams() && (connection_->open() || connection_->connecting());
  }
  bool connected() const override { return connected_; }
  void close(net::CloseType type) override { close_link(type); }
  uint32_t active_streams() const override { return active_; }
  uint32_t max_streams() const override {
    return std::min(settings_.max_concurrent_streams, nghttp2_session_get_remote_settings(ng_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
  }
  http::Protocol protocol() const override { return http::Protocol::Http2; }
  net::Connection& connection() override { return link(); }

 private:
  void on_connected() override;
  void deliver_head(Stream& stream, const Event& event) override;
  void message_received(Stream& stream) override;
  void message_sent(Stream& stream) override;
  void stream_gone() override;
  void settings_received() override;
  void goaway_received() override;
  void session_ended(net::CloseReason reason) override { owner_.on_session_closed(reason); }

  http::ClientSessionEvents& owner_;
  bool connected_;
  uint32_t told_limit_;
};

http::MessageSender& Http2Client::new_stream(http::MessageReceiver& receiver) {
  Stream& stream = add_stream(&receiver);
  ++active_;
  count(Stat::streams_active);
  return stream;
}

void Http2Client::on_connected() {
  connected_ = true;
  owner_.on_session_connected();
}

void Http2Client::deliver_head(Stream& stream, const Event& event) {
  http::Arena& arena = stream.receiver->arena();
  auto* headers = arena.make<http::HeaderMap>(arena);
  build_response(fields_.data() + event.fields_at, event.fields_count, stream.upgrade, *headers);
  stream.end_told = event.end;
  stream.receiver->on_headers(*headers, event.end);
  if (event.end && !stream.over) message_received(stream);
}

void Http2Client::message_received(Stream& stream) {
  end_for_user(stream);
  if (!stream.end_sent) reset_on_wire(stream, NGHTTP2_CANCEL);  // the rest of the request is of no use any more
}

void Http2Client::message_sent(Stream&) {}  // the answer ends it

void Http2Client::stream_gone() {
  if (can_open_stream()) owner_.on_stream_slot();
}

void Http2Client::settings_received() {
  const uint32_t before = std::exchange(told_limit_, max_streams());
  if (live_ >= before && can_open_stream()) owner_.on_stream_slot();
}

void Http2Client::goaway_received() {
  if (closing_) return;
  closing_ = true;
  owner_.on_going_away();
}

}  // namespace

net::DeferredPtr<http::ClientSession> make_client_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ClientSessionEvents& events) {
  return net::DeferredPtr<http::ClientSession>(new Http2Client(std::move(connection), settings, events));
}

}  // namespace fairlead::h2
