// The test server, on the data plane's own loop and codec; see fake_upstream.h.
#include "tests/integration/support/fake_upstream.h"

#include <condition_variable>
#include <list>
#include <stdexcept>
#include <utility>

#include "dataplane/http/h1/session.h"
#include "dataplane/http/h2/session.h"
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
  Shared(Handler h, bool two) : handler(std::move(h)), http2(two), worker(0, "upstream") {}
  void on_accept(int fd, const net::Address& remote) override;

  Handler handler;
  bool http2;
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

// One request and its answer. Deletes itself (deferred) when both are over.
class FakeUpstream::Exchange final : public http::MessageReceiver, public net::Deferred {
 public:
  Exchange(Shared& shared, Session& session, http::MessageSender& sender, uint64_t connection);

  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap& headers, bool end_stream) override {
    for (const http::Header& h : headers) {
      if (h.token() == Token::PseudoMethod) request_.method = h.value();
      else if (h.token() == Token::PseudoPath) request_.path = h.value();
      else if (h.token() == Token::PseudoAuthority) request_.host = h.value();
      else if (!h.is_pseudo()) request_.headers.emplace_back(h.name(), h.value());
    }
    if (end_stream || headers.has(Token::Upgrade) || request_.method == "CONNECT") complete();  // a tunnel has no end of its own
  }
  void on_data(net::Buffer& data, bool end_stream) override {
    if (tunnel_) {  // echoes
      if (sender_ != nullptr) sender_->send_data(data, end_stream);
      if (end_stream) done();
      return;
    }
    request_.body += data.to_string();
    if (end_stream) complete();
  }
  void on_trailers(http::HeaderMap& trailers) override {
    for (const http::Header& h : trailers) request_.trailers.emplace_back(h.name(), h.value());
    complete();
  }
  void on_reset(http::ResetReason, std::string_view) override { done(); }
  // The session answers in its place.
  void refuse(const http::ProtocolError& error) {
    http::HeaderMap headers(arena_);
    headers.add_ref(Token::PseudoStatus, http::status_text(error.status));
    std::exchange(sender_, nullptr)->send_headers(headers, true);
    done();
  }

 private:
  void complete();
  void answer();
  void done();

  Shared& shared_;
  Session& session_;
  http::MessageSender* sender_;
  http::Arena arena_;
  UpstreamRequest request_;
  UpstreamReply reply_;
  net::Timer delay_;
  bool tunnel_ = false;
  bool done_ = false;
};

// One connection.
class FakeUpstream::Session final : public http::ServerSessionEvents, public net::Deferred {
 public:
  Session(Shared& shared, int fd, const net::Address& remote, uint64_t number) : shared_(shared), number_(number) {
    net::ConnectionPtr connection = net::Connection::adopt(shared.worker.loop(), fd, remote, {});
    if (shared.http2) {
      h2::Settings settings;
      settings.allow_connect = true;
      session_ = h2::make_server_session(std::move(connection), settings, *this);
    } else {
      h1::Settings settings;
      settings.enable_trailers = true;
      session_ = h1::make_server_session(std::move(connection), settings, *this);
    }
    shared_.sessions.push_back(this);
  }

  void close(net::CloseType type = net::CloseType::NoFlush) { session_->close(type); }
  void drain() { session_->drain(); }

  http::MessageReceiver* on_stream(http::MessageSender& sender) override { return new Exchange(shared_, *this, sender, number_); }
  void on_protocol_error(http::MessageSender&, http::MessageReceiver& receiver, const http::ProtocolError& error) override {
    static_cast<Exchange&>(receiver).refuse(error);
  }
  void on_session_closed(net::CloseReason) override {
    shared_.sessions.remove(this);
    {
      std::lock_guard lock(shared_.mutex);
      --shared_.open;
    }
    shared_.changed.notify_all();
    shared_.worker.loop().delete_later(this);
  }

 private:
  Shared& shared_;
  uint64_t number_;
  net::DeferredPtr<http::ServerSession> session_;
};

FakeUpstream::Exchange::Exchange(Shared& shared, Session& session, http::MessageSender& sender, uint64_t connection)
    : shared_(shared), session_(session), sender_(&sender), delay_(shared.worker.loop().timers(), [this] { answer(); }) {
  request_.connection = connection;
}

void FakeUpstream::Exchange::complete() {
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

void FakeUpstream::Exchange::answer() {
  if (sender_ == nullptr) return;
  if (reply_.close_first) return session_.close();
  if (reply_.reset) {
    std::exchange(sender_, nullptr)->reset(http::ResetReason::LocalReset);
    return done();
  }
  http::HeaderMap headers(arena_);
  headers.add_ref(Token::PseudoStatus, http::status_text(reply_.status));
  tunnel_ = reply_.status == 101 || (request_.method == "CONNECT" && reply_.status / 100 == 2);
  const bool body = !reply_.body.empty() && request_.method != "HEAD" && !tunnel_;
  if (!reply_.chunked && reply_.trailers.empty() && !tunnel_) headers.add(Token::ContentLength, std::to_string(reply_.body.size()));
  for (const auto& [name, value] : reply_.headers) headers.add(name, value);
  if (reply_.goodbye) session_.drain();
  const bool cut = reply_.close_after >= 0;
  const bool bare = !body && reply_.trailers.empty() && !cut && !tunnel_;
  sender_->send_headers(headers, bare);
  if (tunnel_) return;
  if (cut) reply_.body.resize(reply_.close_after);
  if (body && !reply_.body.empty()) {
    net::Buffer data(reply_.body);
    sender_->send_data(data, reply_.trailers.empty() && !cut);
  }
  if (cut) return session_.close(net::CloseType::Flush);
  if (!reply_.trailers.empty()) {
    http::HeaderMap trailers(arena_);
    for (const auto& [name, value] : reply_.trailers) trailers.add(name, value);
    sender_->send_trailers(trailers);
  }
  done();
}

void FakeUpstream::Exchange::done() {
  sender_ = nullptr;
  delay_.disarm();
  if (std::exchange(done_, true)) return;
  shared_.worker.loop().delete_later(this);
}

void FakeUpstream::Shared::on_accept(int fd, const net::Address& remote) {
  uint64_t number;
  {
    std::lock_guard lock(mutex);
    number = ++accepted;
    ++open;
  }
  new Session(*this, fd, remote, number);
}

FakeUpstream::FakeUpstream(Handler handler, bool http2) : shared_(std::make_shared<Shared>(std::move(handler), http2)) {
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
