// See http2_client.h.
#include "tests/integration/support/http2_client.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <stdexcept>

#include "dataplane/http/h2/session.h"
#include "dataplane/http/status.h"
#include "dataplane/net/worker.h"

namespace fairlead::testing {

using http::Token;

std::string Http2Response::header(std::string_view name) const {
  for (const auto& [n, v] : headers) {
    if (n == name) return v;
  }
  return "";
}

namespace {

HeaderList list_of(const http::HeaderMap& map) {
  HeaderList list;
  for (const http::Header& h : map) {
    if (!h.is_pseudo()) list.emplace_back(h.name(), h.value());
  }
  return list;
}

}  // namespace

struct Http2Client::Shared : http::ClientSessionEvents {
  struct Exchange : http::MessageReceiver {
    explicit Exchange(Shared& s) : shared(s) {}
    http::Arena& arena() override { return memory; }
    void on_headers(http::HeaderMap& headers, bool end_stream) override {
      shared.change([&] {
        response.status = static_cast<int>(http::parse_status(headers.get(Token::PseudoStatus)));
        response.headers = list_of(headers);
        response.ended = end_stream;
      });
    }
    void on_data(net::Buffer& data, bool end_stream) override {
      shared.change([&] {
        response.body += data.to_string();
        response.ended = end_stream;
      });
    }
    void on_trailers(http::HeaderMap& trailers) override {
      shared.change([&] {
        response.trailers = list_of(trailers);
        response.ended = true;
      });
    }
    void on_reset(http::ResetReason reason, std::string_view) override {
      sender = nullptr;
      shared.change([&] {
        response.ended = response.reset = true;
        response.reset_reason = http::reset_reason_name(reason);
      });
    }
    Shared& shared;
    http::Arena memory;
    http::MessageSender* sender = nullptr;
    Http2Response response;
  };

  void on_going_away() override {
    change([&] { going_away = true; });
  }
  void on_session_closed(net::CloseReason) override {
    change([&] { closed = true; });
  }
  void change(const std::function<void()>& what) {
    {
      std::lock_guard lock(mutex);
      what();
    }
    changed.notify_all();
  }
  bool wait(const std::function<bool()>& done) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(10), done);
  }

  net::Worker worker{0, "client"};
  net::DeferredPtr<http::ClientSession> session;
  std::vector<std::unique_ptr<Exchange>> exchanges;  // appended by the test's thread while the worker waits
  std::mutex mutex;
  std::condition_variable changed;
  bool going_away = false, closed = false;
};

Http2Client::Http2Client(uint16_t port) : shared_(std::make_unique<Shared>()) {
  shared_->worker.start();
  shared_->worker.run_and_wait([&] {
    net::ConnectionPtr connection = net::Connection::connect(shared_->worker.loop(), net::Address::v4_loopback(port), {});
    h2::Settings settings;
    settings.allow_connect = true;
    shared_->session = h2::make_client_session(std::move(connection), settings, *shared_);
  });
}

Http2Client::~Http2Client() {
  shared_->worker.run_and_wait([&] {
    if (shared_->session && !shared_->closed) shared_->session->close(net::CloseType::NoFlush);
  });
  shared_->worker.run_and_wait([&] { shared_->session.reset(); });
  shared_->worker.run_and_wait([] {});
  shared_->worker.stop();
}

size_t Http2Client::start(const std::string& method, const std::string& path, HeaderList headers, const std::string& body, bool end) {
  const size_t number = shared_->exchanges.size();
  shared_->worker.run_and_wait([&] {
    auto exchange = std::make_unique<Shared::Exchange>(*shared_);
    if (shared_->closed || !shared_->session->can_open_stream()) {
      exchange->response.ended = exchange->response.reset = true;
      exchange->response.reset_reason = "no stream";
      shared_->exchanges.push_back(std::move(exchange));
      return;
    }
    http::HeaderMap map(exchange->memory);
    map.add(Token::PseudoMethod, method);
    map.add(Token::PseudoPath, path);
    map.add(Token::PseudoScheme, "http");
    bool authority = false;
    for (const auto& [name, value] : headers) authority = authority || name == ":authority";
    if (!authority) map.add(Token::PseudoAuthority, "test");
    for (const auto& [name, value] : headers) map.add(name, value);
    exchange->sender = &shared_->session->new_stream(*exchange);
    http::MessageSender& sender = *exchange->sender;
    shared_->exchanges.push_back(std::move(exchange));
    sender.send_headers(map, end && body.empty());
    if (!body.empty()) {
      net::Buffer data(body);
      sender.send_data(data, end);
    }
  });
  return number;
}

void Http2Client::send(size_t request, const std::string& data, bool end) {
  shared_->worker.run_and_wait([&] {
    net::Buffer buffer(data);
    if (http::MessageSender* sender = shared_->exchanges[request]->sender) sender->send_data(buffer, end);
  });
}

void Http2Client::send_trailers(size_t request, const HeaderList& trailers) {
  shared_->worker.run_and_wait([&] {
    Shared::Exchange& exchange = *shared_->exchanges[request];
    http::HeaderMap map(exchange.memory);
    for (const auto& [name, value] : trailers) map.add(name, value);
    if (exchange.sender != nullptr) exchange.sender->send_trailers(map);
  });
}

void Http2Client::reset(size_t request) {
  shared_->worker.run_and_wait([&] {
    if (http::MessageSender* sender = std::exchange(shared_->exchanges[request]->sender, nullptr)) sender->reset(http::ResetReason::LocalReset);
  });
}

Http2Response Http2Client::await(size_t request) {
  Http2Response& response = shared_->exchanges[request]->response;
  if (!shared_->wait([&] { return response.ended; })) throw std::runtime_error("no whole response in 10 s");
  return response;
}

Http2Response Http2Client::await_body(size_t request, size_t bytes) {
  Http2Response& response = shared_->exchanges[request]->response;
  if (!shared_->wait([&] { return response.ended || (response.status != 0 && response.body.size() >= bytes); })) throw std::runtime_error("no such body in 10 s");
  std::lock_guard lock(shared_->mutex);
  return response;
}

bool Http2Client::wait_going_away() {
  return shared_->wait([&] { return shared_->going_away || shared_->closed; });
}
bool Http2Client::wait_closed() {
  return shared_->wait([&] { return shared_->closed; });
}

}  // namespace fairlead::testing
