// The echo server over real sockets: many clients, large bodies both ways at once, bad requests, and its own small link.
#include "tests/integration/echo/echo_server.h"

#include <catch2/catch.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "dataplane/http/h1/session.h"
#include "dataplane/net/worker.h"

using namespace fairlead;

namespace {

struct Running {
  net::Worker worker{0, "echo"};
  net::Address address;
  std::unique_ptr<echo::EchoServer> server;
  Running() {
    auto socket = net::ListenSocket::bind(net::Address::v4_loopback(0), {});
    REQUIRE(socket.ok());
    REQUIRE(socket->listen(1).ok());
    address = socket->local_address();
    worker.start();
    worker.run_and_wait([&] { server = std::make_unique<echo::EchoServer>(worker.loop(), std::move(*socket)); });
  }
  ~Running() {
    worker.run_and_wait([&] { server.reset(); });
  }
};

std::string talk(const net::Address& to, const std::string& bytes) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_storage storage;
  socklen_t size = to.to_sockaddr(storage);
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0) return "no connection";
  std::thread writer([&] {
    for (size_t sent = 0; sent < bytes.size();) {
      ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  });
  std::string answer;
  char piece[65536];
  ssize_t n;
  while ((n = recv(fd, piece, sizeof piece, 0)) > 0) answer.append(piece, static_cast<size_t>(n));
  writer.join();
  close(fd);
  return answer;
}

}  // namespace

TEST_CASE("the echo server answers requests on one connection in order", "[echo]") {
  Running echo;
  std::string answer = talk(echo.address,
                            "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
                            "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  size_t first = answer.find("x-echo-path: /1\r\n\r\nabcHTTP/1.1 200 OK");
  CHECK(first != std::string::npos);
  CHECK(answer.find("x-echo-path: /2") > first);
  CHECK(answer.find("connection: close\r\n") != std::string::npos);
}

TEST_CASE("a body far larger than every buffer comes back whole", "[echo]") {
  Running echo;
  std::string body(20'000'000, ' ');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  std::string answer = talk(echo.address, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " +
                                              std::to_string(body.size()) + "\r\n\r\n" + body);
  size_t end = answer.find("\r\n\r\n");
  REQUIRE(end != std::string::npos);
  CHECK(answer.substr(end + 4) == body);
}

TEST_CASE("many connections at once, good and bad", "[echo]") {
  Running echo;
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  std::atomic<int> refused{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        bool bad = (t + i) % 5 == 0;
        std::string answer = talk(echo.address, bad ? "BAD\r\n\r\n" : "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        if (bad && answer.find("HTTP/1.1 400 Bad Request") == 0) ++refused;
        if (!bad && answer.find("HTTP/1.1 200 OK") == 0) ++good;
      }
    });
  }
  for (auto& t : threads) t.join();
  CHECK(good == 320);
  CHECK(refused == 80);
}
