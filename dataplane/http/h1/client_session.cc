// The client side of HTTP/1.1 (session.h): one exchange at a time. After it the connection is idle and may be used again, unless either
// side said close, bytes are left over, or the request was not finished when the response was.
// Invariant: receiver_ is set exactly while a stream is active.
#include <algorithm>

#include "dataplane/http/h1/body.h"
#include "dataplane/http/h1/encode.h"
#include "dataplane/http/h1/fields.h"
#include "dataplane/http/h1/head.h"
#include "dataplane/http/h1/session.h"
#include "dataplane/http/h1/trailer_section.h"
#include "dataplane/net/read_pauses.h"

namespace fairlead::h1 {

namespace {

using http::HeaderMap;
using http::ResetReason;
using http::Token;
using net::Buffer;
using net::CloseReason;
using net::CloseType;

// Methods that are sent without a length when they have no body (Envoy 1.40).
bool bodiless_method(std::string_view m) { return m == "GET" || m == "HEAD" || m == "DELETE" || m == "TRACE" || m == "CONNECT"; }

class Http1Client final : public http::ClientSession, private net::ConnectionEvents, private http::MessageSender {
 public:
  Http1Client(net::ConnectionPtr connection, const Settings& settings, http::ClientSessionEvents& events)
      : connection_(std::move(connection)), settings_(settings), events_(events), connected_(connection_->open()) {
    connection_->set_events(this);
    connection_->set_early_close(false);  // an answer that is whole is no less so for the close behind it, however slowly it is taken
  }
  ~Http1Client() override { connection_->set_events(nullptr); }

  http::MessageSender& new_stream(http::MessageReceiver& receiver) override;
  bool can_open_stream() const override { return receiver_ == nullptr && !closing_ && (connection_->open() || connection_->connecting()); }
  bool connected() const override { return connected_; }
  void close(CloseType type) override {
    closing_ = true;
    connection_->close(type);
  }
  uint32_t active_streams() const override { return receiver_ != nullptr ? 1 : 0; }
  // Envoy 1.40: of the last response, HTTP/1.1 before any.
  http::Protocol protocol() const override { return protocol_; }
  net::Connection& connection() override { return *connection_; }

 private:
  enum class Phase : uint8_t { Head, Body, Trailers, Tunnel };

  // net::ConnectionEvents
  void on_connected() override;
  void on_data(Buffer& data, bool end_stream) override;
  void on_write_high() override;
  void on_write_low() override;
  void on_closed(CloseReason reason) override;

  // http::MessageSender
  void send_informational(const HeaderMap&) override {}  // requests have none
  void send_headers(const HeaderMap& headers, bool end_stream) override;
  void send_data(Buffer& data, bool end_stream) override;
  void send_trailers(const HeaderMap& trailers) override;
  void reset(ResetReason reason) override;
  void pause_reading() override;
  void resume_reading() override;
  bool write_blocked() const override { return connection_->above_high_watermark(); }
  size_t held_bytes() const override { return connection_->output().size(); }
  uint64_t wire_bytes_sent() const override { return bytes_sent_; }
  uint64_t wire_bytes_received() const override { return bytes_received_; }
  uint64_t header_bytes_sent() const override { return header_bytes_sent_; }
  uint64_t header_bytes_received() const override { return header_bytes_received_; }

  bool read_head(Buffer& data);
  bool take_head(Buffer& data, size_t size);
  bool read_body(Buffer& data);
  bool read_trailers(Buffer& data);
  void read_tunnel(Buffer& data);
  void fail(ResetReason reason, std::string_view detail);
  void finish(const Buffer& rest);
  void count_unasked(const Buffer& data);
  // Before the end of a response is told: whoever is told may give the stream up.
  void count_announced() {
    if (head_.says_close && settings_.peer_counts != nullptr) ++settings_.peer_counts->close_announced;
  }

  net::ConnectionPtr connection_;
  Settings settings_;
  http::ClientSessionEvents& events_;
  http::MessageReceiver* receiver_ = nullptr;
  ResponseHead head_;
  BodyReader body_;
  Buffer pending_;
  Phase phase_ = Phase::Head;
  http::Protocol protocol_ = http::Protocol::Http11;
  bool connected_;
  bool closing_ = false;
  bool head_request_ = false;
  bool connect_request_ = false;
  bool upgrade_request_ = false;
  bool request_started_ = false;
  bool request_done_ = false;
  bool chunked_ = false;
  bool counted_ = false;
  bool close_asked_ = false;   // we sent "connection: close"
  bool write_ended_ = false;   // tunnel
  net::ReadPauses pauses_;
  size_t scanned_ = 0;
  uint64_t request_left_ = 0;
  uint64_t bytes_sent_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t header_bytes_sent_ = 0;
  uint64_t header_bytes_received_ = 0;
};

http::MessageSender& Http1Client::new_stream(http::MessageReceiver& receiver) {
  receiver_ = &receiver;
  head_ = ResponseHead{};
  phase_ = Phase::Head;
  scanned_ = 0;
  head_request_ = connect_request_ = upgrade_request_ = request_started_ = request_done_ = chunked_ = counted_ = close_asked_ = false;
  request_left_ = bytes_sent_ = bytes_received_ = header_bytes_sent_ = header_bytes_received_ = 0;
  return *this;
}

void Http1Client::on_connected() {
  connected_ = true;
  events_.on_session_connected();
}

void Http1Client::on_data(Buffer& data, bool) {
  if (receiver_ == nullptr) {  // bytes nobody asked for: whoever sends them cannot be trusted with another request
    count_unasked(data);
    closing_ = true;
    data.clear();
    return connection_->close(CloseType::NoFlush);
  }
  while (!data.empty() && receiver_ != nullptr && connection_->open() && connection_->reading()) {
    bool more = false;
    switch (phase_) {
      case Phase::Head: more = read_head(data); break;
      case Phase::Body: more = read_body(data); break;
      case Phase::Trailers: more = read_trailers(data); break;
      case Phase::Tunnel: return read_tunnel(data);
    }
    if (!more) break;
  }
  if (receiver_ == nullptr) data.clear();
}

bool Http1Client::read_head(Buffer& data) {
  size_t size = 0;
  switch (find_head(data, settings_.max_head_bytes, false, scanned_, size)) {
    case HeadSearch::Incomplete: {
      Verdict v = check_response_start(data.front());
      if (!v.ok()) fail(ResetReason::ProtocolError, v.details);
      return false;
    }
    case HeadSearch::TooLarge:
    case HeadSearch::Broken: {
      Verdict v = check_response_start(data.front());
      fail(ResetReason::ProtocolError, v.ok() ? std::string_view("http1.headers_too_large") : v.details);
      return false;
    }
    case HeadSearch::Complete:
      return take_head(data, size);
  }
  return false;
}

bool Http1Client::take_head(Buffer& data, size_t size) {
  scanned_ = 0;
  http::Arena& arena = receiver_->arena();
  char* text = arena.bytes(size);
  data.copy_out(0, text, size);
  data.drain(size);
  header_bytes_received_ += size;
  bytes_received_ += size;
  auto* headers = arena.make<HeaderMap>(arena);
  head_ = ResponseHead{};
  Verdict v = parse_response_head(text, size, settings_, head_request_, connect_request_, *headers, head_);
  if (v.ok() && (!request_started_ || (head_.status == 101 && !upgrade_request_))) v = {502, "http1.codec_error"};
  if (!v.ok()) {
    fail(ResetReason::ProtocolError, v.details);
    return false;
  }
  protocol_ = text[7] == '0' ? http::Protocol::Http10 : http::Protocol::Http11;
  if (head_.status < 200 && head_.status != 101) {
    receiver_->on_informational(*headers);
    return true;
  }
  if (head_.body == Body::Tunnel) {
    phase_ = Phase::Tunnel;
    receiver_->on_headers(*headers, false);
    return true;
  }
  if (head_.body == Body::None) {
    count_announced();
    receiver_->on_headers(*headers, true);
    finish(data);
    return true;
  }
  body_.start(head_.body, head_.length);
  phase_ = Phase::Body;
  receiver_->on_headers(*headers, false);
  return true;
}

bool Http1Client::read_body(Buffer& data) {
  size_t before = data.size();
  BodyReader::Step step;
  do step = body_.read(data, pending_);
  while (step == BodyReader::Step::Data);
  bytes_received_ += before - data.size();
  switch (step) {
    case BodyReader::Step::Broken:
      pending_.clear();
      fail(ResetReason::ProtocolError, "http1.codec_error");
      return false;
    case BodyReader::Step::Trailers:
      phase_ = Phase::Trailers;
      return read_trailers(data);
    case BodyReader::Step::Done:
      count_announced();
      receiver_->on_data(pending_, true);
      pending_.clear();
      finish(data);
      return true;
    case BodyReader::Step::NeedMore:
    case BodyReader::Step::Data:
      break;
  }
  if (!pending_.empty()) receiver_->on_data(pending_, false);
  pending_.clear();
  return true;
}

bool Http1Client::read_trailers(Buffer& data) {
  TrailerSection section = take_trailers(data, settings_, scanned_, receiver_->arena());
  bytes_received_ += section.bytes;
  if (!section.verdict.ok()) {
    pending_.clear();
    fail(ResetReason::ProtocolError, section.verdict.details);
    return false;
  }
  bool with_trailers = section.trailers != nullptr && settings_.enable_trailers;
  if (!section.complete || with_trailers) {
    if (!pending_.empty()) receiver_->on_data(pending_, false);
    pending_.clear();
    if (!section.complete || receiver_ == nullptr) return false;
    count_announced();
    receiver_->on_trailers(*section.trailers);
  } else {
    count_announced();
    receiver_->on_data(pending_, true);
    pending_.clear();
  }
  finish(data);
  return true;
}

void Http1Client::read_tunnel(Buffer& data) {
  bytes_received_ += data.size();
  receiver_->on_data(data, false);
  data.clear();
}

// The response has been delivered to its end. Bytes behind it must never be read as the answer to a request sent later.
void Http1Client::finish(const Buffer& rest) {
  if (receiver_ == nullptr) return;  // reset from inside the last callback
  receiver_ = nullptr;
  pauses_.remove_all(*connection_);
  if (!rest.empty()) count_unasked(rest);
  if (rest.empty() && head_.keep_alive && request_done_ && !close_asked_ && !closing_ && connection_->open()) {
    events_.on_stream_slot();
    return;
  }
  closing_ = true;
  connection_->close(CloseType::NoFlush);
}

// Envoy 1.40: but for the 408 with which servers end an idle connection.
void Http1Client::count_unasked(const Buffer& data) {
  if (settings_.peer_counts == nullptr || closing_ || data.empty()) return;
  char start[12] = {};
  const std::string_view text(start, data.copy_out(0, start, std::min(data.size(), sizeof start)));
  const bool idle_timeout = text.starts_with("HTTP/1.") && text.ends_with(" 408");
  if (!idle_timeout) ++settings_.peer_counts->unasked_bytes;
}

void Http1Client::fail(ResetReason reason, std::string_view detail) {
  http::MessageReceiver* receiver = receiver_;
  receiver_ = nullptr;
  closing_ = true;
  pauses_.remove_all(*connection_);
  connection_->close(CloseType::NoFlush);
  if (receiver != nullptr) receiver->on_reset(reason, detail);
}

void Http1Client::on_write_high() {
  if (receiver_ != nullptr) receiver_->on_write_blocked();
}

void Http1Client::on_write_low() {
  if (receiver_ != nullptr) receiver_->on_write_ready();
}

void Http1Client::on_closed(CloseReason reason) {
  closing_ = true;
  http::MessageReceiver* receiver = receiver_;
  receiver_ = nullptr;
  if (receiver != nullptr) {
    const bool clean = reason == CloseReason::Remote;
    const bool by_peer = clean || reason == CloseReason::RemoteReset;
    // The end of a tunnel is one when ours came before it; else the peer has broken off (Envoy 1.40).
    if (clean && ((phase_ == Phase::Body && head_.body == Body::UntilClose) || (phase_ == Phase::Tunnel && write_ended_))) {
      Buffer nothing;
      count_announced();
      receiver->on_data(nothing, true);
    } else if (reason == CloseReason::ConnectFailed || reason == CloseReason::ConnectTimeout) {
      receiver->on_reset(ResetReason::ConnectionFailure, net::close_reason_name(reason));
    } else if (by_peer && phase_ != Phase::Tunnel && (phase_ != Phase::Head || scanned_ != 0)) {
      receiver->on_reset(ResetReason::ProtocolError, "http1.incomplete_response");
    } else {
      receiver->on_reset(ResetReason::ConnectionTermination, net::close_reason_name(reason));
    }
  }
  events_.on_session_closed(reason);
}

void Http1Client::send_headers(const HeaderMap& headers, bool end_stream) {
  if (receiver_ == nullptr || request_started_) return;
  request_started_ = true;
  std::string_view method = headers.get(Token::PseudoMethod);
  head_request_ = method == "HEAD";
  connect_request_ = method == "CONNECT";
  upgrade_request_ = headers.has(Token::Upgrade) && headers.has(Token::Connection);
  HeadStyle style;
  style.proper_case = settings_.proper_case;
  const http::Header* length = headers.find(Token::ContentLength);
  if (length != nullptr) {
    style.framing = Framing::Length;
    counted_ = parse_length(length->value(), request_left_);
  } else if (end_stream) {
    if (!bodiless_method(method)) style.framing = Framing::ZeroLength;
  } else if (!connect_request_ && !upgrade_request_) {
    style.framing = Framing::Chunked;
    chunked_ = true;
  }
  if (const http::Header* connection = headers.find(Token::Connection); connection != nullptr) {
    for_each_element(connection->value(), [this](std::string_view element) {
      if (is_word(element, "close")) close_asked_ = true;
      return true;
    });
  }
  size_t n = write_request_head(connection_->output(), headers, style);
  header_bytes_sent_ += n;
  bytes_sent_ += n;
  connection_->output_changed();
  if (end_stream) request_done_ = true;
}

void Http1Client::send_data(Buffer& data, bool end_stream) {
  if (receiver_ == nullptr || !request_started_ || request_done_) {
    data.clear();
    return;
  }
  Buffer& out = connection_->output();
  size_t before = out.size();
  if (chunked_) {
    if (!data.empty()) {
      write_chunk_start(out, data.size());
      out.append(data);
      out.append(end_stream ? std::string_view("\r\n0\r\n\r\n") : std::string_view("\r\n"));
    } else if (end_stream) {
      write_trailers(out, nullptr, false);
    }
  } else if (counted_ && phase_ != Phase::Tunnel) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(data.size(), request_left_));
    if (n < data.size()) close_asked_ = true;  // the surplus would be read as another request: dropped, and never reused
    data.move_to(out, n);
    data.clear();
    request_left_ -= n;
  } else {
    out.append(data);
  }
  bytes_sent_ += out.size() - before;
  connection_->output_changed();
  if (!end_stream) return;
  request_done_ = true;
  if (counted_ && request_left_ != 0) close_asked_ = true;
  if (phase_ == Phase::Tunnel) {
    write_ended_ = true;
    connection_->end_write();
  }
}

void Http1Client::send_trailers(const HeaderMap& trailers) {
  if (receiver_ == nullptr || !request_started_ || request_done_) return;
  request_done_ = true;
  if (!chunked_) return;
  bytes_sent_ += write_trailers(connection_->output(), settings_.enable_trailers ? &trailers : nullptr, settings_.proper_case);
  connection_->output_changed();
}

void Http1Client::reset(ResetReason) {
  if (receiver_ == nullptr) return;
  receiver_ = nullptr;
  closing_ = true;
  pauses_.remove_all(*connection_);
  connection_->close(phase_ == Phase::Tunnel ? CloseType::Flush : CloseType::NoFlush);  // who has sent something into a tunnel may go at once
}

void Http1Client::pause_reading() {
  if (receiver_ != nullptr) pauses_.add(*connection_);
}

void Http1Client::resume_reading() {
  if (receiver_ != nullptr) pauses_.remove(*connection_);
}

}  // namespace

net::DeferredPtr<http::ClientSession> make_client_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ClientSessionEvents& events) {
  return net::DeferredPtr<http::ClientSession>(new Http1Client(std::move(connection), settings, events));
}

}  // namespace fairlead::h1
