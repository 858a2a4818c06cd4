// Connects to several addresses of one peer, and what is sent first on a connection.
#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {

struct Recorder : ConnectionEvents {
  bool connected = false, closed = false;
  CloseReason reason = CloseReason::Local;
  std::string received;
  void on_connected() override { connected = true; }
  void on_data(Buffer& data, bool) override {
    received += data.to_string();
    data.clear();
  }
  void on_closed(CloseReason r) override {
    closed = true;
    reason = r;
  }
};

struct Server : AcceptEvents {
  explicit Server(EventLoop& l) : loop(l) {
    REQUIRE(socket.listen(1).ok());
    listener = std::make_unique<Listener>(loop, socket.fd(0), *this);
  }
  void on_accept(int fd, const Address& remote) override {
    connection = Connection::adopt(loop, fd, remote, {});
    connection->set_events(&events);
  }
  Address address() const { return socket.local_address(); }
  EventLoop& loop;
  ListenSocket socket = *ListenSocket::bind(Address::v4_loopback(0), {});
  std::unique_ptr<Listener> listener;
  Recorder events;
  ConnectionPtr connection;
};

// An address at which nothing listens.
Address refusing() {
  auto socket = *ListenSocket::bind(Address::v4_loopback(0), {});
  return socket.local_address();
}

// A listener that accepts nobody and whose queue is full: a connect to it neither succeeds nor fails.
struct Hole {
  Hole() {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&in), sizeof in) == 0);
    REQUIRE(listen(fd, 0) == 0);
    socklen_t size = sizeof in;
    REQUIRE(getsockname(fd, reinterpret_cast<sockaddr*>(&in), &size) == 0);
    address = Address::v4_loopback(ntohs(in.sin_port));
    for (int& client : fill) {
      client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      connect(client, reinterpret_cast<sockaddr*>(&in), sizeof in);
    }
  }
  ~Hole() {
    for (int client : fill) close(client);
    close(fd);
  }
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  std::array<int, 4> fill{};
  Address address;
};

}  // namespace

TEST_CASE("when an address refuses, the next one is tried at once", "[dialing]") {
  EventLoop loop;
  Server server(loop);
  Recorder client;
  auto connection = Connection::connect(loop, refusing(), {}, {.others = {refusing(), server.address()}, .preamble = {}});
  connection->set_events(&client);
  connection->write("hello");
  const auto begun = std::chrono::steady_clock::now();
  REQUIRE(loop.run_until([&] { return server.events.received == "hello"; }, 5s));
  CHECK(std::chrono::steady_clock::now() - begun < 290ms);
  CHECK(client.connected);
  CHECK(connection->remote_address() == server.address());
  CHECK(connection->attempts() == 3);
}

TEST_CASE("an address that does not answer is given 300 ms before the next is tried beside it", "[dialing]") {
  EventLoop loop;
  Server server(loop);
  Hole hole;
  Recorder client;
  auto connection = Connection::connect(loop, hole.address, {}, {.others = {server.address()}, .preamble = {}});
  connection->set_events(&client);
  const auto begun = std::chrono::steady_clock::now();
  REQUIRE(loop.run_until([&] { return client.connected; }, 5s));
  CHECK(std::chrono::steady_clock::now() - begun >= 299ms);
  CHECK(connection->attempts() == 2);
}

TEST_CASE("a race that the first address wins is over", "[dialing]") {
  EventLoop loop;
  Server first(loop), second(loop);
  Recorder client;
  auto connection = Connection::connect(loop, first.address(), {}, {.others = {second.address()}, .preamble = {}});
  connection->set_events(&client);
  REQUIRE(loop.run_until([&] { return client.connected && first.connection != nullptr; }, 5s));
  loop.run_until([] { return false; }, 350ms);  // past the time at which a second attempt would have begun
  CHECK(connection->attempts() == 1);
  CHECK(second.connection == nullptr);
}

TEST_CASE("a race fails once every address has, never inside connect()", "[dialing]") {
  EventLoop loop;
  Recorder client;
  auto connection = Connection::connect(loop, refusing(), {}, {.others = {refusing()}, .preamble = {}});
  connection->set_events(&client);
  CHECK_FALSE(client.closed);
  REQUIRE(loop.run_until([&] { return client.closed; }, 5s));
  CHECK(client.reason == CloseReason::ConnectFailed);
  CHECK(connection->last_error() == ECONNREFUSED);
  CHECK(connection->attempts() == 2);
}

TEST_CASE("the connect timeout is that of the whole race", "[dialing]") {
  EventLoop loop;
  Hole one, two;
  Recorder client;
  Connection::Options options;
  options.connect_timeout = 350ms;
  auto connection = Connection::connect(loop, one.address, options, {.others = {two.address}, .preamble = {}});
  connection->set_events(&client);
  REQUIRE(loop.run_until([&] { return client.closed; }, 5s));
  CHECK(client.reason == CloseReason::ConnectTimeout);
  CHECK(connection->attempts() == 2);
}

TEST_CASE("a race can be given up in its middle", "[dialing]") {
  EventLoop loop;
  Hole hole;
  Recorder client;
  auto connection = Connection::connect(loop, hole.address, {}, {.others = {hole.address}, .preamble = {}});
  connection->set_events(&client);
  loop.run_until([] { return false; }, 20ms);
  connection->close(CloseType::NoFlush);
  REQUIRE(loop.run_until([&] { return client.closed; }, 5s));
  CHECK(client.reason == CloseReason::Local);
  connection.reset();
  loop.run_until([] { return false; }, 350ms);
}

TEST_CASE("a preamble comes before what was written, and knows both addresses", "[dialing]") {
  for (const bool race : {false, true}) {
    EventLoop loop;
    Server server(loop);
    Recorder client;
    Dial dial;
    if (race) dial.others = {server.address()};
    dial.preamble = [](const Address& local, const Address& remote) { return local.to_string() + ">" + remote.to_string() + "\n"; };
    auto connection = Connection::connect(loop, race ? refusing() : server.address(), {}, std::move(dial));
    connection->set_events(&client);
    connection->write("body");
    REQUIRE(loop.run_until([&] { return server.events.received.ends_with("body"); }, 5s));
    CHECK(server.events.received == connection->local_address().to_string() + ">" + server.address().to_string() + "\nbody");
  }
}
