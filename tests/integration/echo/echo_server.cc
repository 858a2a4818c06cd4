// An HTTP/1.1 echo server on nothing but the net and http rooms: it answers every request with the request's own body.
// The smallest complete use of the codec: one Listener, one ServerSession per connection, one Echo per request.
#include "tests/integration/echo/echo_server.h"

#include "dataplane/http/h1/session.h"
#include "dataplane/http/status.h"

namespace fairlead::echo {

namespace {

// A request and its answer.
class Echo final : public http::MessageReceiver {
 public:
  explicit Echo(http::MessageSender& sender) : sender_(sender) {}
  http::Arena& arena() override { return arena_; }

  void on_headers(http::HeaderMap& request, bool end_stream) override {
    http::HeaderMap response(arena_);
    response.add_ref(http::Token::PseudoStatus, "200");
    response.add(http::Token::Date, http::http_date(std::chrono::system_clock::now()));
    for (http::Token token : {http::Token::ContentType, http::Token::ContentLength}) {
      if (request.has(token)) response.add_ref(token, request.get(token));
    }
    response.add_ref("x-echo-path", request.get(http::Token::PseudoPath));
    sender_.send_headers(response, end_stream);
  }
  void on_data(net::Buffer& data, bool end_stream) override { sender_.send_data(data, end_stream); }
  void on_trailers(http::HeaderMap& trailers) override { sender_.send_trailers(trailers); }
  void on_reset(http::ResetReason, std::string_view) override {}
  void on_write_blocked() override { sender_.pause_reading(); }  // a client that does not read its echo is not read either
  void on_write_ready() override { sender_.resume_reading(); }

 private:
  http::MessageSender& sender_;
  http::Arena arena_;
};

}  // namespace

// One client connection; deletes itself from the server when it is gone.
class EchoServer::Client final : public http::ServerSessionEvents, public net::Deferred {
 public:
  Client(EchoServer& server, net::ConnectionPtr connection) : server_(server) {
    h1::Settings settings;
    settings.enable_trailers = true;
    session_ = h1::make_server_session(std::move(connection), settings, *this);
  }
  http::MessageReceiver* on_stream(http::MessageSender& sender) override {
    echo_ = std::make_unique<Echo>(sender);
    return echo_.get();
  }
  void on_protocol_error(http::MessageSender& sender, http::MessageReceiver& receiver, const http::ProtocolError& error) override {
    http::HeaderMap response(receiver.arena());
    response.add_ref(http::Token::PseudoStatus, http::status_text(error.status));
    sender.send_headers(response, true);
  }
  void on_session_closed(net::CloseReason) override { server_.clients_.erase(this); }

 private:
  EchoServer& server_;
  std::unique_ptr<Echo> echo_;
  net::DeferredPtr<http::ServerSession> session_;
};

EchoServer::EchoServer(net::EventLoop& loop, net::ListenSocket socket) : loop_(loop), socket_(std::move(socket)) {
  listener_ = std::make_unique<net::Listener>(loop_, socket_.fd(0), *this);
}

EchoServer::~EchoServer() = default;

void EchoServer::on_accept(int fd, const net::Address& remote) {
  net::DeferredPtr<Client> client(new Client(*this, net::Connection::adopt(loop_, fd, remote, {})));
  Client* key = client.get();
  clients_.emplace(key, std::move(client));
}

}  // namespace fairlead::echo
