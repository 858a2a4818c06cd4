// A server that answers every request with a few bytes: the HTTP/2 codec, a connection and an event loop, and nothing else.
// Usage: bench_h2_serve PORT [BODY_BYTES]; ends with SIGTERM. Load it with h2load and compare CPU with nghttpd's (bench/h2_serve.sh).
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <unordered_map>

#include "dataplane/http/h2/session.h"
#include "dataplane/http/status.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"

using namespace fairlead;

namespace {

std::shared_ptr<const std::string> body;
std::string length;

// A request and its answer; reused by its client.
class Answer final : public http::MessageReceiver {
 public:
  void begin(http::MessageSender& sender) {
    sender_ = &sender;
    arena_.reset();
  }
  http::Arena& arena() override { return arena_; }
  void on_headers(http::HeaderMap&, bool end) override {
    if (end) respond();
  }
  void on_data(net::Buffer& data, bool end) override {
    data.clear();
    if (end) respond();
  }
  void on_trailers(http::HeaderMap&) override { respond(); }
  void on_reset(http::ResetReason, std::string_view) override { release(); }
  void release();

  Answer* next = nullptr;

 private:
  void respond() {
    http::HeaderMap headers(arena_);
    headers.add_ref(http::Token::PseudoStatus, "200");
    headers.add_ref(http::Token::Server, "bench");
    headers.add(http::Token::Date, http::http_date(std::chrono::system_clock::now()));
    headers.add_ref(http::Token::ContentType, "text/plain");
    headers.add_ref(http::Token::ContentLength, length);
    sender_->send_headers(headers, body->empty());
    if (!body->empty()) {
      net::Buffer data;
      data.append_external(body);
      sender_->send_data(data, true);
    }
    release();
  }
  http::MessageSender* sender_ = nullptr;
  http::Arena arena_;
};

Answer* free_answers = nullptr;

void Answer::release() {
  next = free_answers;
  free_answers = this;
}

class Server;

class Client final : public http::ServerSessionEvents, public net::Deferred {
 public:
  Client(Server& server, net::ConnectionPtr connection) : server_(server) { session_ = h2::make_server_session(std::move(connection), {}, *this); }
  http::MessageReceiver* on_stream(http::MessageSender& sender) override {
    Answer* answer = free_answers;
    if (answer != nullptr) {
      free_answers = answer->next;
    } else {
      answer = new Answer();
    }
    answer->begin(sender);
    return answer;
  }
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver&, const http::ProtocolError&) override { sender.reset(http::ResetReason::ProtocolError); }
  void on_session_closed(net::CloseReason) override;

 private:
  Server& server_;
  net::DeferredPtr<http::ServerSession> session_;
};

class Server final : public net::AcceptEvents {
 public:
  Server(net::EventLoop& loop, net::ListenSocket& socket) : loop_(loop), listener_(loop, socket.fd(0), *this) {}
  void on_accept(int fd, const net::Address& remote) override {
    net::DeferredPtr<Client> client(new Client(*this, net::Connection::adopt(loop_, fd, remote, {})));
    Client* key = client.get();
    clients_.emplace(key, std::move(client));
  }
  void gone(Client* client) { clients_.erase(client); }

 private:
  net::EventLoop& loop_;
  net::Listener listener_;
  std::unordered_map<Client*, net::DeferredPtr<Client>> clients_;
};

void Client::on_session_closed(net::CloseReason) { server_.gone(this); }

net::EventLoop* running = nullptr;

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  body = std::make_shared<const std::string>(static_cast<size_t>(argc > 2 ? std::atoi(argv[2]) : 12), 'x');
  length = std::to_string(body->size());
  auto socket = net::ListenSocket::bind(net::Address::v4_loopback(static_cast<uint16_t>(std::atoi(argv[1]))), {});
  if (!socket.ok() || !socket->listen(1).ok()) {
    std::fprintf(stderr, "cannot listen on port %s\n", argv[1]);
    return 1;
  }
  net::EventLoop loop;
  running = &loop;
  std::signal(SIGTERM, [](int) { running->stop(); });
  Server server(loop, *socket);
  loop.run();
  return 0;
}
