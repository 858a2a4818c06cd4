// The server side of HTTP/1.1 (session.h): one request at a time; while it is answered the connection is not read.
// Invariant: receiver_ is set exactly while a stream is active; held_ exactly while this class itself has reading disabled.
#include <algorithm>

#include "dataplane/http/h1/body.h"
#include "dataplane/http/h1/encode.h"
#include "dataplane/http/h1/fields.h"
#include "dataplane/http/h1/head.h"
#include "dataplane/http/h1/session.h"
#include "dataplane/http/h1/trailer_section.h"
#include "dataplane/http/status.h"
#include "dataplane/net/read_pauses.h"

namespace fairlead::h1 {

namespace {

using http::HeaderMap;
using http::Token;
using net::Buffer;
using net::CloseReason;
using net::CloseType;

class Http1Server final : public http::ServerSession, private net::ConnectionEvents, private http::MessageSender {
 public:
  Http1Server(net::ConnectionPtr connection, const Settings& settings, http::ServerSessionEvents& events)
      : connection_(std::move(connection)), settings_(settings), events_(events) {
    connection_->set_events(this);
  }
  ~Http1Server() override { connection_->set_events(nullptr); }

  void drain() override;
  void close(CloseType type) override { connection_->close(type); }
  void refuse_slow_head() override;
  uint32_t active_streams() const override { return receiver_ != nullptr ? 1 : 0; }
  http::Protocol protocol() const override { return head_.protocol; }
  net::Connection& connection() override { return *connection_; }

 private:
  // Complete: request read, answer outstanding. Hold: so is the decision about an upgrade. Closing: nothing is read any more.
  enum class Phase : uint8_t { Head, Body, Trailers, Complete, Hold, Tunnel, Closing };

  // net::ConnectionEvents
  void on_data(Buffer& data, bool end_stream) override;
  void on_write_high() override;
  void on_write_low() override;
  void on_closed(CloseReason reason) override;

  // http::MessageSender
  void send_informational(const HeaderMap& headers) override;
  void send_headers(const HeaderMap& headers, bool end_stream) override;
  void send_data(Buffer& data, bool end_stream) override;
  void send_trailers(const HeaderMap& trailers) override;
  void reset(http::ResetReason reason) override;
  void pause_reading() override;
  void resume_reading() override;
  bool write_blocked() const override { return connection_->above_high_watermark(); }
  size_t held_bytes() const override { return connection_->output().size(); }
  uint64_t wire_bytes_sent() const override { return bytes_sent_; }
  uint64_t wire_bytes_received() const override { return bytes_received_; }
  uint64_t header_bytes_sent() const override { return header_bytes_sent_; }
  uint64_t header_bytes_received() const override { return header_bytes_received_; }

  bool read_head(Buffer& data);
  bool read_body(Buffer& data);
  bool read_trailers(Buffer& data);
  void read_tunnel(Buffer& data);
  void request_ended();
  bool begin_stream();
  void refuse(const Verdict& verdict, const HeaderMap* headers = nullptr);
  void abort_for_overload();
  HeadStyle choose_style(const HeaderMap& headers, unsigned status, bool end_stream);
  void end_response();
  void finish_stream();
  void hold() {
    if (!held_) connection_->read_disable();
    held_ = true;
  }
  void release() {
    if (held_) connection_->read_enable();
    held_ = false;
  }

  net::ConnectionPtr connection_;
  Settings settings_;
  http::ServerSessionEvents& events_;
  http::MessageReceiver* receiver_ = nullptr;
  RequestHead head_;
  BodyReader body_;
  Buffer pending_;  // body bytes of this turn
  Phase phase_ = Phase::Head;
  bool held_ = false;
  bool unread_ = false;        // held_ because the client does not read the answers it has
  bool line_checked_ = false;
  bool close_after_ = false;
  bool request_done_ = false;
  bool response_started_ = false;
  bool bodiless_ = false;      // the response has no body whatever is sent
  bool chunked_ = false;
  bool until_close_ = false;
  bool counted_ = false;       // content-length was promised
  net::ReadPauses pauses_;
  size_t scanned_ = 0;
  uint64_t response_left_ = 0;
  uint64_t bytes_sent_ = 0;
  uint64_t bytes_received_ = 0;
  uint64_t header_bytes_sent_ = 0;
  uint64_t header_bytes_received_ = 0;
};

void Http1Server::on_data(Buffer& data, bool) {
  if (phase_ < Phase::Tunnel && events_.sheds_input()) return abort_for_overload();
  while (!data.empty() && connection_->open() && connection_->reading()) {
    bool more = false;
    switch (phase_) {
      case Phase::Head: more = read_head(data); break;
      case Phase::Body: more = read_body(data); break;
      case Phase::Trailers: more = read_trailers(data); break;
      case Phase::Tunnel: return read_tunnel(data);
      case Phase::Complete:
      case Phase::Hold:
      case Phase::Closing: break;
    }
    if (!more) return;
  }
}

bool Http1Server::begin_stream() {
  request_done_ = response_started_ = bodiless_ = chunked_ = until_close_ = counted_ = false;
  response_left_ = bytes_sent_ = bytes_received_ = header_bytes_sent_ = header_bytes_received_ = 0;
  head_ = RequestHead{};
  receiver_ = events_.on_stream(*this);
  if (receiver_ != nullptr) return true;
  phase_ = Phase::Closing;
  connection_->close(CloseType::NoFlush);
  return false;
}

// True when a whole head was taken and reading may go on.
bool Http1Server::read_head(Buffer& data) {
  size_t size = 0;
  switch (find_head(data, settings_.max_head_bytes, true, scanned_, size)) {
    case HeadSearch::Incomplete: {
      if (data.empty() || (receiver_ == nullptr && data.size() == 1 && data.front()[0] == '\r')) return false;  // half an empty line is no head yet
      if (!line_checked_) {
        Verdict v = check_request_start(data.front(), settings_);
        if (!v.ok()) {
          refuse(v);
          return false;
        }
        line_checked_ = scanned_ != 0 && data.front().find('\n') != std::string_view::npos;
      }
      if (receiver_ == nullptr) {  // Envoy 1.40: its timeouts count from the first byte, and a client that goes away is logged
        if (!begin_stream()) return false;
        events_.on_request_begins();
      }
      bytes_received_ = data.size();
      return false;
    }
    case HeadSearch::TooLarge: {
      Verdict v = check_request_start(data.front(), settings_);
      refuse(v.ok() ? Verdict{431, "http1.headers_too_large"} : v);
      return false;
    }
    case HeadSearch::Broken:
      refuse({400, "http1.codec_error"});
      return false;
    case HeadSearch::Complete:
      break;
  }
  scanned_ = 0;
  if (receiver_ == nullptr && !begin_stream()) return false;
  http::Arena& arena = receiver_->arena();
  char* text = arena.bytes(size);
  data.copy_out(0, text, size);
  data.drain(size);
  header_bytes_received_ = bytes_received_ = size;
  auto* headers = arena.make<HeaderMap>(arena);
  Verdict v = parse_request_head(text, size, settings_, *headers, head_);
  if (!v.ok()) {
    refuse(v, headers->empty() ? nullptr : headers);
    return false;
  }
  bool end = head_.body == Body::None && !head_.upgrade && !head_.connect;
  if (head_.body == Body::None) {
    request_ended();
  } else {
    body_.start(head_.body, head_.length);
    phase_ = Phase::Body;
  }
  receiver_->on_headers(*headers, end);
  return true;
}

void Http1Server::request_ended() {
  request_done_ = true;
  phase_ = head_.upgrade || head_.connect ? Phase::Hold : Phase::Complete;
  scanned_ = 0;
  hold();
}

bool Http1Server::read_body(Buffer& data) {
  size_t before = data.size();
  BodyReader::Step step;
  do step = body_.read(data, pending_);
  while (step == BodyReader::Step::Data);
  bytes_received_ += before - data.size();
  switch (step) {
    case BodyReader::Step::Broken:
      pending_.clear();
      refuse({400, "http1.codec_error"});
      return false;
    case BodyReader::Step::Trailers:
      phase_ = Phase::Trailers;
      return read_trailers(data);
    case BodyReader::Step::Done:
      request_ended();
      receiver_->on_data(pending_, phase_ == Phase::Complete);
      pending_.clear();
      return true;
    case BodyReader::Step::NeedMore:
    case BodyReader::Step::Data:
      break;
  }
  if (!pending_.empty()) receiver_->on_data(pending_, false);
  pending_.clear();
  return true;
}

bool Http1Server::read_trailers(Buffer& data) {
  TrailerSection section = take_trailers(data, settings_, scanned_, receiver_->arena());
  bytes_received_ += section.bytes;
  if (!section.verdict.ok()) {
    pending_.clear();
    refuse(section.verdict);
    return false;
  }
  if (!section.complete) {
    if (!pending_.empty()) receiver_->on_data(pending_, false);
    pending_.clear();
    return false;
  }
  request_ended();
  bool end = phase_ == Phase::Complete;
  if (section.trailers != nullptr && settings_.enable_trailers && end) {
    if (!pending_.empty()) receiver_->on_data(pending_, false);
    pending_.clear();
    if (receiver_ != nullptr) receiver_->on_trailers(*section.trailers);
    return true;
  }
  receiver_->on_data(pending_, end);
  pending_.clear();
  return true;
}

void Http1Server::read_tunnel(Buffer& data) {
  bytes_received_ += data.size();
  if (receiver_ != nullptr) receiver_->on_data(data, false);
  data.clear();
}

void Http1Server::refuse(const Verdict& verdict, const HeaderMap* headers) {
  if (receiver_ == nullptr && !begin_stream()) return;
  phase_ = Phase::Closing;
  close_after_ = true;
  hold();
  events_.on_protocol_error(*this, *receiver_, {verdict.status, verdict.details, verdict.protocol_error, headers});
}

void Http1Server::abort_for_overload() {
  if (receiver_ == nullptr && !begin_stream()) return;
  phase_ = Phase::Closing;
  close_after_ = true;
  hold();
  events_.on_protocol_error(*this, *receiver_, {.status = 500, .details = "overload", .downstream_protocol_error = false, .body = "Internal Server Error", .overload = true});
}

void Http1Server::refuse_slow_head() {
  if (receiver_ == nullptr || phase_ != Phase::Head) return;
  phase_ = Phase::Closing;
  close_after_ = true;
  hold();
  events_.on_protocol_error(*this, *receiver_, {408, "request_header_timeout", false, nullptr, "request header timeout"});
}

void Http1Server::on_write_high() {
  if (receiver_ != nullptr) receiver_->on_write_blocked();
}

void Http1Server::on_write_low() {
  if (unread_) {
    unread_ = false;
    release();
  }
  if (receiver_ != nullptr) receiver_->on_write_ready();
}

void Http1Server::on_closed(CloseReason reason) {
  http::MessageReceiver* receiver = receiver_;
  receiver_ = nullptr;
  phase_ = Phase::Closing;
  if (receiver != nullptr) receiver->on_reset(http::ResetReason::ConnectionTermination, net::close_reason_name(reason));
  events_.on_session_closed(reason);
}

void Http1Server::drain() {
  close_after_ = true;
  if (receiver_ == nullptr) connection_->close(CloseType::FlushAndWait);
}

void Http1Server::send_informational(const HeaderMap& headers) {
  if (receiver_ == nullptr || response_started_ || head_.protocol == http::Protocol::Http10) return;
  HeadStyle style;
  style.drop_length = true;
  style.proper_case = settings_.proper_case;
  size_t n = write_response_head(connection_->output(), false, http::parse_status(headers.get(Token::PseudoStatus)), headers, style);
  header_bytes_sent_ += n;
  bytes_sent_ += n;
  connection_->output_changed();
}

// Envoy 1.40's choice between lengths: what the map says, else zero, else chunked; HTTP/1.0 gets neither and is closed.
HeadStyle Http1Server::choose_style(const HeaderMap& headers, unsigned status, bool end_stream) {
  HeadStyle style;
  style.proper_case = settings_.proper_case;
  bool http10 = head_.protocol == http::Protocol::Http10;
  bool no_body = status < 200 || status == 204 || status == 304;
  bodiless_ = no_body || head_.head_method;
  style.drop_length = status < 200 || status == 204;
  const http::Header* length = headers.find(Token::ContentLength);
  if (length != nullptr && !style.drop_length) {
    style.framing = Framing::Length;
    counted_ = !bodiless_ && parse_length(length->value(), response_left_);
  } else if (!no_body && end_stream && !head_.head_method) {
    style.framing = Framing::ZeroLength;
  } else if (!no_body && http10) {
    until_close_ = close_after_ = true;
  } else if (!no_body) {
    style.framing = Framing::Chunked;
    chunked_ = !bodiless_;
  }
  if (!head_.keep_alive) close_after_ = true;
  if (const http::Header* connection = headers.find(Token::Connection); connection != nullptr) {
    for_each_element(connection->value(), [this](std::string_view element) {
      if (is_word(element, "close")) close_after_ = true;
      return true;
    });
  } else if (close_after_) {
    style.connection = "close";
  } else if (http10) {
    style.connection = "keep-alive";
  }
  return style;
}

void Http1Server::send_headers(const HeaderMap& headers, bool end_stream) {
  if (receiver_ == nullptr || response_started_) return;
  unsigned status = http::parse_status(headers.get(Token::PseudoStatus));
  if (status == 0) status = 500;
  response_started_ = true;
  bool tunnel = phase_ == Phase::Hold && (status == 101 || (head_.connect && status >= 200 && status < 300));
  HeadStyle style;
  style.proper_case = settings_.proper_case;
  if (!tunnel) style = choose_style(headers, status, end_stream);
  style.drop_length |= tunnel;
  size_t n = write_response_head(connection_->output(), head_.protocol == http::Protocol::Http10, status, headers, style);
  header_bytes_sent_ += n;
  bytes_sent_ += n;
  connection_->output_changed();
  if (tunnel) {
    phase_ = Phase::Tunnel;
    close_after_ = true;  // Envoy 1.40: with the end of either direction
    release();
  } else if (phase_ == Phase::Hold) {
    phase_ = Phase::Complete;
  }
  if (end_stream) end_response();
}

void Http1Server::send_data(Buffer& data, bool end_stream) {
  if (receiver_ == nullptr || !response_started_) {
    data.clear();
    return;
  }
  size_t before = connection_->output().size();
  if (phase_ == Phase::Tunnel) {
    connection_->output().append(data);
  } else if (bodiless_) {
    data.clear();
  } else if (chunked_) {
    Buffer& out = connection_->output();
    if (!data.empty()) {
      write_chunk_start(out, data.size());
      out.append(data);
      out.append(end_stream ? std::string_view("\r\n0\r\n\r\n") : std::string_view("\r\n"));
    } else if (end_stream) {
      write_trailers(out, nullptr, false);
    }
  } else if (counted_ && data.size() > response_left_) {  // more than was promised would be read as the next response
    data.move_to(connection_->output(), static_cast<size_t>(response_left_));
    data.clear();
    response_left_ = 0;
    close_after_ = true;
  } else {
    response_left_ -= counted_ ? data.size() : 0;
    connection_->output().append(data);
  }
  bytes_sent_ += connection_->output().size() - before;
  connection_->output_changed();
  if (end_stream) end_response();
}

void Http1Server::send_trailers(const HeaderMap& trailers) {
  if (receiver_ == nullptr || !response_started_) return;
  if (chunked_) {
    bytes_sent_ += write_trailers(connection_->output(), settings_.enable_trailers ? &trailers : nullptr, settings_.proper_case);
    connection_->output_changed();
  }
  end_response();
}

void Http1Server::end_response() {
  if (counted_ && response_left_ != 0) {  // fewer bytes than promised: only the close can tell
    close_after_ = true;
  }
  finish_stream();
}

void Http1Server::finish_stream() {
  receiver_ = nullptr;
  scanned_ = 0;
  line_checked_ = false;
  pauses_.remove_all(*connection_);
  if (close_after_ || !request_done_) {
    phase_ = Phase::Closing;
    connection_->close(CloseType::FlushAndWait);
    return;
  }
  phase_ = Phase::Head;
  if (connection_->above_high_watermark()) {  // pipelined requests wait, or their answers would pile up
    hold();
    unread_ = true;
  } else {
    release();
  }
  events_.on_idle();
}

void Http1Server::reset(http::ResetReason) {
  if (receiver_ == nullptr) return;
  receiver_ = nullptr;
  phase_ = Phase::Closing;
  // A body that runs until the close must not look complete.
  connection_->close(response_started_ && until_close_ ? CloseType::Reset : CloseType::Flush);
}

void Http1Server::pause_reading() {
  if (receiver_ != nullptr) pauses_.add(*connection_);
}

void Http1Server::resume_reading() {
  if (receiver_ != nullptr) pauses_.remove(*connection_);
}

}  // namespace

net::DeferredPtr<http::ServerSession> make_server_session(net::ConnectionPtr connection, const Settings& settings,
                                                          http::ServerSessionEvents& events) {
  return net::DeferredPtr<http::ServerSession>(new Http1Server(std::move(connection), settings, events));
}

}  // namespace fairlead::h1
