// ApiClient against servers on this machine: whom it trusts and as whom it comes, what it tells of failures, streams and their end.
#include <catch2/catch.hpp>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include <httplib.h>

#include "adapters/kubernetes/api_client.h"
#include "base/file.h"
#include "tests/unit/dataplane/tls/make_certificates.h"

namespace fairlead::adapters::kubernetes::api_client_test {
namespace {

using namespace std::chrono_literals;
using test::Authority;
using test::MadeCertificate;

// A server on a port of the kernel's choice, from start() to its destructor.
class Serving {
 public:
  explicit Serving(std::unique_ptr<httplib::Server> server) : server_(std::move(server)) {
    server_->new_task_queue = [] { return new httplib::ThreadPool(8); };
  }
  ~Serving() {
    server_->stop();
    if (thread_.joinable()) thread_.join();
  }
  httplib::Server& operator*() { return *server_; }
  httplib::Server* operator->() { return server_.get(); }
  int start() {
    const int port = server_->bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_->listen_after_bind(); });
    while (!server_->is_running()) std::this_thread::yield();
    return port;
  }

 private:
  std::unique_ptr<httplib::Server> server_;
  std::thread thread_;
};

std::unique_ptr<httplib::Server> plain() { return std::make_unique<httplib::Server>(); }
std::unique_ptr<httplib::Server> over_tls(const MadeCertificate& own, X509_STORE* clients = nullptr) {
  return std::make_unique<httplib::SSLServer>(own.x509.get(), own.pkey.get(), clients);
}

ApiClient::Options at(int port, bool tls) {
  ApiClient::Options o;
  o.credentials.tls = tls;
  o.credentials.host = "127.0.0.1";
  o.credentials.port = port;
  o.credentials.server = (tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port);
  return o;
}

std::string error_of(const absl::StatusOr<Response>& answer) { return answer.ok() ? "answered " + std::to_string(answer->status) : std::string(answer.status().message()); }

TEST_CASE("a server whose certificate is of the given authority gets the request with token, paths and bodies as they are") {
  Authority ca;
  Serving server(over_tls(ca.issue("api", "IP:127.0.0.1")));
  server->Patch("/base/apis/x", [](const httplib::Request& r, httplib::Response& out) {
    out.status = 409;
    out.set_content(r.target + " " + r.get_header_value("Authorization") + " " + r.get_header_value("Content-Type") + " " + r.body, "text/plain");
  });
  ApiClient::Options o = at(server.start(), true);
  o.credentials.authorities.text = ca.pem();
  o.credentials.token.text = "abc";
  o.credentials.base_path = "/base";
  const auto answer = ApiClient(o).request("PATCH", "/apis/x?fieldManager=a%2Fb", "{}", "application/apply-patch+yaml");
  REQUIRE(error_of(answer) == "answered 409");
  CHECK(answer->body == "/base/apis/x?fieldManager=a%2Fb Bearer abc application/apply-patch+yaml {}");
  CHECK(answer->headers.at("content-type") == "text/plain");
}

TEST_CASE("a server of another authority, or with another name, is not talked to") {
  Authority ca, other("Other CA");
  Serving server(over_tls(ca.issue("api", "DNS:api.test")));
  std::atomic<int> asked = 0;
  server->Get(".*", [&](const httplib::Request&, httplib::Response&) { ++asked; });
  ApiClient::Options o = at(server.start(), true);
  o.credentials.authorities.text = other.pem();
  o.credentials.tls_server_name = "api.test";
  auto answer = ApiClient(o).request("GET", "/");
  CHECK(absl::IsUnavailable(answer.status()));
  CHECK(error_of(answer).find("the server's certificate: unable to get local issuer certificate") != std::string::npos);
  o.credentials.authorities.text = "";  // the system's
  CHECK(absl::IsUnavailable(ApiClient(o).request("GET", "/").status()));
  o.credentials.authorities.text = ca.pem();
  o.credentials.tls_server_name = "";  // the address is not in the certificate
  CHECK(error_of(ApiClient(o).request("GET", "/")).find("the server's certificate: IP address mismatch") != std::string::npos);
  o.credentials.tls_server_name = "other.test";
  CHECK(error_of(ApiClient(o).request("GET", "/")).find("the server's certificate: hostname mismatch") != std::string::npos);
  CHECK(asked == 0);
  o.credentials.tls_server_name = "api.test";
  CHECK(error_of(ApiClient(o).request("GET", "/")) == "answered 200");
  o.credentials.tls_server_name = "";
  o.credentials.authorities.text = "";
  o.credentials.insecure_skip_tls_verify = true;
  CHECK(error_of(ApiClient(o).request("GET", "/")) == "answered 200");
}

TEST_CASE("a client certificate is shown, and one that does not fit its key is an error") {
  Authority ca;
  X509_STORE* clients = X509_STORE_new();
  X509_STORE_add_cert(clients, ca.self().x509.get());
  Serving server(over_tls(ca.issue("api", "IP:127.0.0.1"), clients));
  server->Get("/", [](const httplib::Request& r, httplib::Response& out) {
    X509* peer = SSL_get1_peer_certificate(r.ssl);
    char name[64] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof name);
    X509_free(peer);
    out.set_content(name, "text/plain");
  });
  ApiClient::Options o = at(server.start(), true);
  o.credentials.authorities.text = ca.pem();
  CHECK(absl::IsUnavailable(ApiClient(o).request("GET", "/").status()));
  const MadeCertificate me = ca.issue("me"), other = ca.issue("other");
  o.credentials.client_certificate.text = me.chain;
  o.credentials.client_key.text = me.key;
  const auto answer = ApiClient(o).request("GET", "/");
  REQUIRE(error_of(answer) == "answered 200");
  CHECK(answer->body == "me");
  o.credentials.client_key.text = other.key;
  CHECK(error_of(ApiClient(o).request("GET", "/")).find("client-key: not a private key, or not that of the client-certificate") != std::string::npos);
}

TEST_CASE("a token file is read anew for each request") {
  TemporaryDirectory dir;
  Serving server(plain());
  server->Get("/", [](const httplib::Request& r, httplib::Response& out) { out.set_content(r.get_header_value("Authorization"), "text/plain"); });
  ApiClient::Options o = at(server.start(), false);
  o.credentials.token.file = dir.write("token", "one\n");
  ApiClient client(o);
  CHECK(client.request("GET", "/")->body == "Bearer one");
  dir.write("token", "two\n");
  CHECK(client.request("GET", "/")->body == "Bearer two");
  unlink(dir.path("token").c_str());
  const auto gone = client.request("GET", "/");
  CHECK(absl::IsFailedPrecondition(gone.status()));
  CHECK(error_of(gone).find(dir.path("token")) != std::string::npos);
}

TEST_CASE("answers are compressed unless that is switched off") {
  Serving server(plain());
  const std::string big(100'000, 'x');
  server->Get("/", [&](const httplib::Request&, httplib::Response& out) { out.set_content(big, "application/json"); });
  ApiClient::Options o = at(server.start(), false);
  const auto answer = ApiClient(o).request("GET", "/");
  REQUIRE(error_of(answer) == "answered 200");
  CHECK(answer->headers.at("content-encoding") == "gzip");
  CHECK(answer->body == big);
  std::string streamed;
  REQUIRE(ApiClient(o).stream("/", [&](std::string_view piece) { streamed += piece; return true; }).ok());
  CHECK(streamed == big);
  o.credentials.compression = false;
  CHECK_FALSE(ApiClient(o).request("GET", "/")->headers.contains("content-encoding"));
}

TEST_CASE("a watch's pieces arrive when they are sent; its reader may end it, and so may others") {
  Serving server(plain());
  std::promise<void> first_seen;
  server->Get("/watch", [&](const httplib::Request&, httplib::Response& out) {
    out.set_chunked_content_provider("application/json", [&, n = 0](size_t, httplib::DataSink& sink) mutable {
      if (n++ == 0) return sink.write("one", 3);
      first_seen.get_future().wait();
      sink.write("two", 3);
      sink.done();
      return true;
    });
  });
  std::atomic<bool> over = false;
  server->Get("/forever", [&](const httplib::Request&, httplib::Response& out) {
    out.set_chunked_content_provider("application/json", [&, n = 0](size_t, httplib::DataSink& sink) mutable {
      if (n++ == 0) return sink.write("one", 3);
      while (!over && sink.is_writable()) std::this_thread::yield();
      return false;
    });
  });
  server->Get("/no", [](const httplib::Request&, httplib::Response& out) {
    out.status = 410;
    out.set_content(R"({"kind":"Status","message":"too old"})", "application/json");
  });
  const ApiClient::Options o = at(server.start(), false);
  ApiClient client(o);
  std::string got;
  const auto whole = client.watch("/watch", [&](std::string_view piece) {
    got += piece;
    if (got == "one") first_seen.set_value();
    return true;
  });
  CHECK(error_of(whole) == "answered 200");
  CHECK(got == "onetwo");

  const auto refused = client.watch("/no", [&](std::string_view) { return false; });
  REQUIRE(error_of(refused) == "answered 410");
  CHECK(status_message(*refused) == "410: too old");

  CHECK(absl::IsCancelled(client.watch("/forever", [](std::string_view) { return false; }).status()));

  std::promise<void> begun;
  auto waiting = std::async(std::launch::async, [&] {
    return client.watch("/forever", [&](std::string_view) { begun.set_value(); return true; }).status();
  });
  begun.get_future().wait();
  client.cancel();
  CHECK(absl::IsCancelled(waiting.get()));
  CHECK(absl::IsCancelled(client.request("GET", "/no").status()));
  CHECK(client.cancelled());
  over = true;
}

// A listening socket that the test answers by hand.
class Listening {
 public:
  Listening() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(socket_, reinterpret_cast<sockaddr*>(&a), sizeof a) == 0);
    REQUIRE(listen(socket_, 8) == 0);
    socklen_t size = sizeof a;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&a), &size);
    port = ntohs(a.sin_port);
  }
  ~Listening() { close(socket_); }
  int take() { return accept(socket_, nullptr, nullptr); }
  int port = 0;

 private:
  int socket_;
};

// Reads one request without a body.
bool read_request(int socket) {
  std::string got;
  char c = 0;
  while (got.find("\r\n\r\n") == std::string::npos) {
    if (read(socket, &c, 1) != 1) return false;
    got += c;
  }
  return true;
}

TEST_CASE("cancelling ends a handshake that nobody answers") {
  Listening listening;
  ApiClient::Options o = at(listening.port, true);
  o.timeout = 60s;
  ApiClient client(o);
  auto waiting = std::async(std::launch::async, [&] { return client.request("GET", "/").status(); });
  const int peer = listening.take();
  client.cancel();
  CHECK(absl::IsCancelled(waiting.get()));
  close(peer);
}

TEST_CASE("a server that is not there is named with the cause") {
  int port = 0;
  {
    Listening gone;
    port = gone.port;
  }
  const auto answer = ApiClient(at(port, true)).request("GET", "/");
  CHECK(absl::IsUnavailable(answer.status()));
  CHECK(error_of(answer) == "https://127.0.0.1:" + std::to_string(port) + ": cannot connect: Connection refused");
  ApiClient::Options o = at(port, false);
  o.credentials.host = "no such host";
  o.credentials.server = "http://nowhere";
  CHECK(error_of(ApiClient(o).request("GET", "/")).starts_with("http://nowhere: no such host: "));
}

TEST_CASE("a server that says nothing costs the timeout, no more") {
  Listening listening;
  ApiClient::Options o = at(listening.port, false);
  o.timeout = 50ms;
  const auto answer = ApiClient(o).request("GET", "/");
  CHECK(absl::IsUnavailable(answer.status()));
  CHECK(error_of(answer).find("was silent for too long") != std::string::npos);
}

TEST_CASE("a GET over a kept connection that has gone meanwhile is asked again, a POST is not") {
  Listening listening;
  std::atomic<int> asked = 0;
  std::thread server([&] {
    // each connection answers one request and closes when it has read a second
    for (int connection = 0; connection < 3; ++connection) {
      const int peer = listening.take();
      for (int n = 0; n < 2 && read_request(peer); ++n) {
        ++asked;
        if (n == 0) (void)!write(peer, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 40);
      }
      close(peer);
    }
  });
  {
    ApiClient client(at(listening.port, false));
    CHECK(error_of(client.request("GET", "/")) == "answered 200");
    CHECK(error_of(client.request("GET", "/")) == "answered 200");
    CHECK(asked == 3);
    CHECK(absl::IsUnavailable(client.request("POST", "/").status()));
    CHECK(asked == 4);
    CHECK(error_of(client.request("GET", "/")) == "answered 200");
  }
  server.join();
}

TEST_CASE("an answer that breaks off is no answer") {
  Listening listening;
  std::thread server([&] {
    const int peer = listening.take();
    read_request(peer);
    (void)!write(peer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n", 55);
    close(peer);
  });
  std::string got;
  const auto answer = ApiClient(at(listening.port, false)).stream("/", [&](std::string_view piece) { got += piece; return true; });
  CHECK(absl::IsUnavailable(answer.status()));
  CHECK(got == "one");
  server.join();
}

TEST_CASE("texts of errors and queries") {
  CHECK(status_message({403, R"({"kind":"Status","message":"services is forbidden"})", {}}) == "403: services is forbidden");
  CHECK(status_message({502, "bad\r\ngateway", {}}) == "502: bad  gateway");
  CHECK(status_message({500, "", {}}) == "500");
  CHECK(query_escape("type=kubernetes.io/tls&x y") == "type%3Dkubernetes.io%2Ftls%26x%20y");
}

}  // namespace
}  // namespace fairlead::adapters::kubernetes::api_client_test
