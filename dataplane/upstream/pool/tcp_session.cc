// See tcp_session.h. Invariant: receiver_ is set exactly while the one stream is active, raw_ from open_raw() until the connection has closed.
#include "dataplane/upstream/pool/tcp_session.h"

#include <utility>

#include "dataplane/net/event_loop.h"
#include "dataplane/net/read_pauses.h"

namespace fairlead::upstream {
namespace {

using http::HeaderMap;
using http::ResetReason;
using net::Buffer;
using net::CloseReason;
using net::CloseType;

class TcpSession final : public http::ClientSession, private net::ConnectionEvents, private http::MessageSender {
 public:
  TcpSession(net::ConnectionPtr connection, http::ClientSessionEvents& events)
      : connection_(std::move(connection)), events_(events), connected_(connection_->open()), answer_task_(net::LoopTask::of<&TcpSession::answer>(this)) {
    connection_->set_events(this);
    connection_->set_half_close(true);
  }
  ~TcpSession() override { connection_->set_events(nullptr); }

  http::MessageSender& new_stream(http::MessageReceiver& receiver) override {
    receiver_ = &receiver;
    used_ = true;
    return *this;
  }
  void open_raw(net::ConnectionEvents& events) {
    raw_ = &events;
    used_ = true;
  }
  bool can_open_stream() const override { return !used_ && (connection_->open() || connection_->connecting()); }
  bool connected() const override { return connected_; }
  void close(CloseType type) override { connection_->close(type); }
  uint32_t active_streams() const override { return receiver_ != nullptr || raw_ != nullptr ? 1 : 0; }
  http::Protocol protocol() const override { return http::Protocol::Http11; }  // nobody is told
  net::Connection& connection() override { return *connection_; }

 private:
  // net::ConnectionEvents
  void on_connected() override {
    connected_ = true;
    events_.on_session_connected();
  }
  void on_data(Buffer& data, bool end_stream) override;
  void on_write_high() override {
    if (raw_ != nullptr) return raw_->on_write_high();
    if (receiver_ != nullptr) receiver_->on_write_blocked();
  }
  void on_write_low() override {
    if (raw_ != nullptr) return raw_->on_write_low();
    if (receiver_ != nullptr) receiver_->on_write_ready();
  }
  void on_closed(CloseReason reason) override;

  // http::MessageSender
  void send_informational(const HeaderMap&) override {}
  void send_headers(const HeaderMap&, bool) override { connection_->loop().run_soon(answer_task_); }  // Envoy 1.40: a head without a body sends no FIN
  void send_data(Buffer& data, bool end_stream) override;
  void send_trailers(const HeaderMap&) override { connection_->end_write(); }
  void reset(ResetReason reason) override;
  void pause_reading() override;
  void resume_reading() override;
  bool write_blocked() const override { return connection_->above_high_watermark(); }
  size_t held_bytes() const override { return connection_->output().size(); }
  uint64_t wire_bytes_sent() const override { return bytes_sent_; }
  uint64_t wire_bytes_received() const override { return bytes_received_; }
  uint64_t header_bytes_sent() const override { return 0; }
  uint64_t header_bytes_received() const override { return 0; }

  void answer();
  void let_go();

  net::ConnectionPtr connection_;
  http::ClientSessionEvents& events_;
  http::MessageReceiver* receiver_ = nullptr;
  net::ConnectionEvents* raw_ = nullptr;
  bool connected_;
  bool used_ = false;
  bool answered_ = false;
  net::ReadPauses pauses_;
  uint64_t bytes_sent_ = 0, bytes_received_ = 0;
  net::LoopTask answer_task_;
};

void TcpSession::answer() {
  if (receiver_ == nullptr || answered_) return;
  answered_ = true;
  http::Arena& arena = receiver_->arena();
  auto* headers = arena.make<HeaderMap>(arena);
  headers->add_ref(http::Token::PseudoStatus, "200");
  receiver_->on_headers(*headers, false);
}

void TcpSession::on_data(Buffer& data, bool end_stream) {
  if (raw_ != nullptr) return raw_->on_data(data, end_stream);
  if (receiver_ == nullptr) {  // nobody has asked for anything yet, or any more
    data.clear();
    return connection_->close(CloseType::NoFlush);
  }
  bytes_received_ += data.size();
  answer();
  if (receiver_ != nullptr && (!data.empty() || end_stream)) receiver_->on_data(data, end_stream);
  data.clear();
  if (!end_stream || receiver_ == nullptr) return;
  let_go();
  connection_->close(CloseType::Flush);
}

void TcpSession::on_closed(CloseReason reason) {
  http::MessageReceiver* receiver = std::exchange(receiver_, nullptr);
  answer_task_.cancel();
  if (raw_ != nullptr) std::exchange(raw_, nullptr)->on_closed(reason);
  if (receiver != nullptr) {
    const bool never = reason == CloseReason::ConnectFailed || reason == CloseReason::ConnectTimeout;
    receiver->on_reset(never ? ResetReason::ConnectionFailure : ResetReason::ConnectionTermination, net::close_reason_name(reason));
  }
  events_.on_session_closed(reason);
}

void TcpSession::send_data(Buffer& data, bool end_stream) {
  if (receiver_ == nullptr) return data.clear();
  bytes_sent_ += data.size();
  connection_->write(data);
  if (end_stream) connection_->end_write();
}

void TcpSession::reset(ResetReason) {
  if (receiver_ == nullptr) return;
  let_go();
  connection_->close(CloseType::Flush);
}

void TcpSession::let_go() {
  receiver_ = nullptr;
  answer_task_.cancel();
  pauses_.remove_all(*connection_);
}

void TcpSession::pause_reading() {
  if (receiver_ != nullptr) pauses_.add(*connection_);
}

void TcpSession::resume_reading() {
  if (receiver_ != nullptr) pauses_.remove(*connection_);
}

}  // namespace

void open_raw(http::ClientSession& tcp_session, net::ConnectionEvents& events) { static_cast<TcpSession&>(tcp_session).open_raw(events); }

net::DeferredPtr<http::ClientSession> make_tcp_session(net::ConnectionPtr connection, http::ClientSessionEvents& events) {
  return net::DeferredPtr<http::ClientSession>(new TcpSession(std::move(connection), events));
}

}  // namespace fairlead::upstream
