// The test server, on the data plane's own loop and codec; see fake_upstream.h.
#include "tests/integration/support/fake_upstream.h"

#include <condition_variable>
#include <list>
#include <stdexcept>

#include "dataplane/http/h1/session.h"
#include "dataplane/http/status.h"
#include "dataplane/net/listener.h"
#include "dataplane/net/worker.h"

namespace fairlead::testing {

using http::Token;

std::string UpstreamRequest::header(std::string_view name) const {
  for (const auto& [n, v] : headers) {
    if (n == name) return v;
  }
  return "";
}

bool UpstreamRequest::has(std::string_view name) const {
  for (const auto& [n, v] : headers) {
    if (n == name) return true;
  }
  return false;
}

struct FakeUpstream::Shared : net::AcceptEvents {
  explicit Shared(Handler h) : handler(std::move(h)), worker(0, "upstream") {}
  void on_accept(int fd, const net::Address& remote) override;

  Handler handler;
  net::Worker worker;
  std::unique_ptr<net::ListenSocket> socket;
  std::unique_ptr<net::Listener> listener;
  std::list<Session*> sessions;  // worker only
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::vector<UpstreamRequest> requests;
  uint64_t accepted = 0;
  size_t open = 0;
};

// One connection; serves one exchange at a time.
class FakeUpstream::Session final : public http::ServerSessionEvents, public http::MessageReceiver, public net::Deferred {
 public:
  Session(Shared& shared, int fd, const net::Address& remote, uint64_t number)
      : shared_(shared), number_(number), delay_(shared.worker.loop().timers(), [this] { answer(); }) {
    h1::Settings settings;
    settings.enable_trailers = true;
    session_ = h1::make_server_session(net::Connection::adopt(shared.worker.loop(), fd, remote, {}), settings, *this);
    shared_.sessions.push_back(this);
  }

  void close() { session_->close(net::CloseType::NoFlush); }

  http::MessageReceiver* on_stream(http::MessageSender& sender) override {
    sender_ = &sender;
    arena_.reset();
    request_ = {};
    request_.connection = number_;
    return this;
  }
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver&, const http::ProtocolError& error) override {
    http::HeaderMap headers(arena_);
    headers.add_ref(Token::PseudoStatus, http::status_text(error.status));
    sender.send_headers(headers, true);
    sender_ = nullptr;
  }
  void on_session_closed(net::CloseReason) override {
    delay_.disarm();
    shared_.sessions.remove(this);
    {
      std::lock_guard lock(shared_.mutex);
      --shared_.open;
    }
    shared_.changed.notify_all();
    shared_.worker.loop().delete_later(this);
  }

  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap& headers, bool end_stream) override {
    for (const http::Header& h : headers) {
      if (h.token() == Token::PseudoMethod) request_.method = h.value();
      else if (h.token() == Token::PseudoPath) request_.path = h.value();
      else if (h.token() == Token::PseudoAuthority) request_.host = h.value();
      else if (!h.is_pseudo()) request_.headers.emplace_back(h.name(), h.value());
    }
    if (end_stream || headers.has(Token::Upgrade)) complete();  // an upgrade has no end of its own; this server refuses it
  }
  void on_data(net::Buffer& data, bool end_stream) override {
    request_.body += data.to_string();
    if (end_stream) complete();
  }
  void on_trailers(http::HeaderMap& trailers) override {
    for (const http::Header& h : trailers) request_.trailers.emplace_back(h.name(), h.value());
    complete();
  }
  void on_reset(http::ResetReason, std::string_view) override {
    sender_ = nullptr;
    delay_.disarm();
  }

 private:
  void complete() {
    reply_ = shared_.handler(request_);
    {
      std::lock_guard lock(shared_.mutex);
      shared_.requests.push_back(request_);
    }
    shared_.changed.notify_all();
    if (reply_.never) return;
    if (reply_.delay.count() != 0) {
      delay_.arm(reply_.delay);
    } else {
      answer();
    }
  }

  void answer() {
    if (sender_ == nullptr) return;
    if (reply_.close_first) return close();
    http::MessageSender& sender = *sender_;
    http::HeaderMap headers(arena_);
    headers.add_ref(Token::PseudoStatus, http::status_text(reply_.status));
    const bool body = !reply_.body.empty() && request_.method != "HEAD";
    if (!reply_.chunked && reply_.trailers.empty()) headers.add(Token::ContentLength, std::to_string(reply_.body.size()));
    for (const auto& [name, value] : reply_.headers) headers.add(name, value);
    if (reply_.goodbye) session_->drain();
    const bool cut = reply_.close_after >= 0;
    sender.send_headers(headers, !body && reply_.trailers.empty() && !cut);
    if (cut) reply_.body.resize(reply_.close_after);
    if (body && !reply_.body.empty()) {
      net::Buffer data(reply_.body);
      sender.send_data(data, reply_.trailers.empty() && !cut);
    }
    if (cut) {
      session_->close(net::CloseType::Flush);
    } else if (!reply_.trailers.empty()) {
      http::HeaderMap trailers(arena_);
      for (const auto& [name, value] : reply_.trailers) trailers.add(name, value);
      sender.send_trailers(trailers);
    }
    sender_ = nullptr;
  }

  Shared& shared_;
  uint64_t number_;
  net::DeferredPtr<http::ServerSession> session_;
  http::MessageSender* sender_ = nullptr;
  http::Arena arena_;
  UpstreamRequest request_;
  UpstreamReply reply_;
  net::Timer delay_;
};

void FakeUpstream::Shared::on_accept(int fd, const net::Address& remote) {
  uint64_t number;
  {
    std::lock_guard lock(mutex);
    number = ++accepted;
    ++open;
  }
  new Session(*this, fd, remote, number);
}

FakeUpstream::FakeUpstream(Handler handler) : shared_(std::make_shared<Shared>(std::move(handler))) {
  auto socket = net::ListenSocket::bind(net::Address::v4_loopback(0), {});
  if (!socket.ok() || !socket->listen(1).ok()) throw std::runtime_error("the fake upstream cannot listen");
  shared_->socket = std::make_unique<net::ListenSocket>(*std::move(socket));
  port_ = shared_->socket->local_address().port();
  shared_->worker.start();
  shared_->worker.run_and_wait([this] { shared_->listener = std::make_unique<net::Listener>(shared_->worker.loop(), shared_->socket->fd(0), *shared_); });
}

FakeUpstream::Handler FakeUpstream::named(std::string name) {
  return [name = std::move(name)](const UpstreamRequest&) { return UpstreamReply{.body = name}; };
}

FakeUpstream::~FakeUpstream() {
  shared_->worker.run_and_wait([this] {
    shared_->listener.reset();
    for (Session* session : std::list(shared_->sessions)) session->close();
  });
  shared_->worker.run_and_wait([] {});
  shared_->worker.stop();
}

std::vector<UpstreamRequest> FakeUpstream::requests() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->requests;
}

UpstreamRequest FakeUpstream::last() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->requests.empty() ? UpstreamRequest{} : shared_->requests.back();
}

size_t FakeUpstream::count() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->requests.size();
}

uint64_t FakeUpstream::connections() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->accepted;
}

size_t FakeUpstream::open_connections() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->open;
}

bool FakeUpstream::wait_for(size_t requests) const {
  std::unique_lock lock(shared_->mutex);
  return shared_->changed.wait_for(lock, std::chrono::seconds(10), [&] { return shared_->requests.size() >= requests; });
}

void FakeUpstream::close_connections() {
  shared_->worker.run_and_wait([this] {
    for (Session* session : std::list(shared_->sessions)) session->close();
  });
}

}  // namespace fairlead::testing
