// Connections over real loopback sockets: bytes both ways, ends, resets, watermarks, close types, connect failures.
#include "dataplane/net/connection.h"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "dataplane/net/listener.h"

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {

struct Recorder : ConnectionEvents {
  std::string received;
  bool connected = false;
  bool ended = false;
  bool keep = false;  // leave bytes in the buffer
  int data_calls = 0;
  int highs = 0;
  int lows = 0;
  int closes = 0;
  CloseReason reason = CloseReason::Local;
  std::function<void(Buffer&)> on_bytes;

  void on_connected() override { connected = true; }
  void on_data(Buffer& data, bool end_stream) override {
    ++data_calls;
    if (on_bytes) on_bytes(data);
    if (!keep) {
      received += data.to_string();
      data.clear();
    }
    ended = ended || end_stream;
  }
  void on_write_high() override { ++highs; }
  void on_write_low() override { ++lows; }
  void on_closed(CloseReason r) override {
    ++closes;
    reason = r;
  }
};

// A listener and the connections it accepted.
struct Server : AcceptEvents {
  explicit Server(EventLoop& l, const Connection::Options& o = {}) : loop(l), options(o) {
    REQUIRE(socket.listen(1).ok());
    listener = std::make_unique<Listener>(loop, socket.fd(0), *this);
  }
  void on_accept(int fd, const Address& remote) override {
    connection = Connection::adopt(loop, fd, remote, options);
    connection->set_events(&events);
  }
  EventLoop& loop;
  Connection::Options options;
  ListenSocket socket = *ListenSocket::bind(Address::v4_loopback(0), {});
  std::unique_ptr<Listener> listener;
  Recorder events;
  ConnectionPtr connection;
};

int raw_client(const Address& to) {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_storage storage;
  socklen_t size = to.to_sockaddr(storage);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&storage), size) == 0);
  return fd;
}

std::string read_all(int fd) {
  std::string all;
  char text[4096];
  ssize_t n;
  while ((n = recv(fd, text, sizeof text, 0)) > 0) all.append(text, static_cast<size_t>(n));
  return all;
}

}  // namespace

TEST_CASE("two connections talk over loopback", "[connection]") {
  EventLoop loop;
  Server server(loop);
  Recorder client;
  auto connection = Connection::connect(loop, server.socket.local_address(), {});
  connection->set_events(&client);
  connection->write("sent before the connect ended");
  REQUIRE(loop.run_until([&] { return client.connected && server.events.received.size() == 29; }, 5s));
  CHECK(server.events.received == "sent before the connect ended");
  std::string big(3'000'000, 'x');
  Buffer data(big);
  server.connection->write(data);
  REQUIRE(loop.run_until([&] { return client.received.size() == big.size(); }, 10s));
  CHECK(client.received == big);
  CHECK(connection->bytes_received() == big.size());
  CHECK(server.connection->bytes_sent() == big.size());
  CHECK(server.connection->local_address() == server.socket.local_address());
  CHECK(connection->remote_address() == server.socket.local_address());
  CHECK(server.connection->remote_address() == connection->local_address());
}

TEST_CASE("bytes and FIN that come together are both seen", "[connection]") {
  for (bool half_close : {false, true}) {
    EventLoop loop;
    Connection::Options options;
    options.half_close = half_close;
    Server server(loop, options);
    int fd = raw_client(server.socket.local_address());
    REQUIRE(send(fd, "last words", 10, 0) == 10);
    shutdown(fd, SHUT_WR);
    if (!half_close) {
      REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
      CHECK(server.events.reason == CloseReason::Remote);
    } else {
      REQUIRE(loop.run_until([&] { return server.events.ended; }, 5s));
      CHECK(server.events.closes == 0);
      server.connection->write("answer");
      server.connection->end_write();
      REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
      CHECK(read_all(fd) == "answer");
    }
    CHECK(server.events.received == "last words");
    close(fd);
  }
}

TEST_CASE("bytes that one reader leaves to the next are read before the end that came with them", "[connection]") {
  EventLoop loop;
  Server server(loop);
  Recorder between, next;
  server.events.keep = between.keep = true;
  server.events.on_bytes = [&](Buffer&) { server.connection->set_events(&between); };
  between.on_bytes = [&](Buffer&) { server.connection->set_events(&next); };
  const int client = raw_client(server.socket.local_address());
  REQUIRE(::send(client, "hello", 5, 0) == 5);
  ::close(client);
  REQUIRE(loop.run_until([&] { return next.closes == 1; }, 10s));
  CHECK(next.received == "hello");
  CHECK(next.data_calls == 1);
  CHECK(between.data_calls == 1);
  CHECK(server.events.data_calls == 1);
  CHECK(next.reason == CloseReason::Remote);
}

TEST_CASE("FIN after bytes already read is seen", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(send(fd, "a", 1, 0) == 1);
  REQUIRE(loop.run_until([&] { return server.events.received == "a"; }, 5s));
  close(fd);
  REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
  CHECK(server.events.reason == CloseReason::Remote);
}

TEST_CASE("a reset is told apart from an end", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(loop.run_until([&] { return server.connection != nullptr; }, 5s));
  struct linger hard {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  close(fd);
  REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
  CHECK(server.events.reason == CloseReason::RemoteReset);
}

TEST_CASE("a connection nobody reads still notices that its peer has gone", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  server.events.on_bytes = [&](Buffer&) { server.connection->read_disable(); };
  REQUIRE(send(fd, "request", 7, 0) == 7);
  REQUIRE(loop.run_until([&] { return server.events.received == "request"; }, 5s));
  close(fd);
  REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
  CHECK(server.events.reason == CloseReason::Remote);
}

TEST_CASE("read_disable counts, and unread bytes are offered again", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  server.events.keep = true;
  server.events.on_bytes = [&](Buffer&) {
    server.connection->read_disable();
    server.connection->read_disable();
    server.events.on_bytes = nullptr;
  };
  REQUIRE(send(fd, "first", 5, 0) == 5);
  REQUIRE(loop.run_until([&] { return server.events.data_calls == 1; }, 5s));
  REQUIRE(send(fd, "second", 6, 0) == 6);
  bool posted = false;
  loop.post([&] { posted = true; });
  loop.run_until([&] { return posted; }, 5s);
  CHECK(server.events.data_calls == 1);
  server.events.keep = false;
  server.connection->read_enable();
  CHECK_FALSE(server.connection->reading());
  server.connection->read_enable();
  REQUIRE(loop.run_until([&] { return server.events.received == "firstsecond"; }, 5s));
  close(fd);
}

TEST_CASE("watermarks: high strictly above the limit, low at half", "[connection]") {
  EventLoop loop;
  Connection::Options options;
  options.buffer_limit = 1000;
  Server server(loop, options);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(loop.run_until([&] { return server.connection != nullptr; }, 5s));
  server.connection->write(std::string(1000, 'a'));
  CHECK(server.events.highs == 0);
  server.connection->write("b");
  CHECK(server.events.highs == 1);
  CHECK(server.connection->above_high_watermark());
  server.connection->write("c");
  CHECK(server.events.highs == 1);
  REQUIRE(loop.run_until([&] { return server.events.lows == 1; }, 5s));
  CHECK_FALSE(server.connection->above_high_watermark());
  close(fd);
}

TEST_CASE("flush-and-wait sends everything, then lets the peer close first", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(send(fd, "unread by the server", 20, 0) == 20);
  REQUIRE(loop.run_until([&] { return server.connection != nullptr; }, 5s));
  std::string big(500'000, 'z');
  std::string got;
  std::thread reader([&] {
    got = read_all(fd);
    close(fd);
  });
  server.connection->write(big);
  server.connection->close(CloseType::FlushAndWait);
  REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
  reader.join();
  CHECK(got == big);
  CHECK(server.events.reason == CloseReason::Local);
}

TEST_CASE("a peer that never closes runs into the delayed close timeout", "[connection]") {
  EventLoop loop;
  Connection::Options options;
  options.delayed_close = 50ms;
  Server server(loop, options);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(loop.run_until([&] { return server.connection != nullptr; }, 5s));
  server.connection->write("bye");
  server.connection->close(CloseType::FlushAndWait);
  REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
  CHECK(server.events.reason == CloseReason::DelayedCloseTimeout);
  CHECK(read_all(fd) == "bye");
  close(fd);
}

TEST_CASE("without a delayed close timeout a flush takes as long as its peer likes", "[connection]") {
  EventLoop loop;
  Connection::Options options;
  options.delayed_close = 0ms;
  Server server(loop, options);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(loop.run_until([&] { return server.connection != nullptr; }, 5s));
  const std::string bytes(16'000'000, 'x');  // more than the kernel holds, so that a part of it goes first
  server.connection->write(bytes);
  server.connection->close(CloseType::Flush);
  loop.run_until([&] { return server.events.closes == 1; }, 20ms);
  REQUIRE(server.events.closes == 0);
  size_t got = 0;
  std::string room(65536, '\0');
  REQUIRE(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
  REQUIRE(loop.run_until([&] {
    for (ssize_t n; (n = read(fd, room.data(), room.size())) > 0;) got += static_cast<size_t>(n);
    return server.events.closes == 1;
  }, 5s));
  for (ssize_t n; (n = read(fd, room.data(), room.size())) > 0;) got += static_cast<size_t>(n);
  CHECK(got == bytes.size());
  CHECK(server.events.reason == CloseReason::Local);
  close(fd);
}

TEST_CASE("reset close gives the peer a reset, and on_closed never comes from inside close", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  REQUIRE(loop.run_until([&] { return server.connection != nullptr; }, 5s));
  server.connection->close(CloseType::Reset);
  CHECK(server.events.closes == 0);
  REQUIRE(loop.run_until([&] { return server.events.closes == 1; }, 5s));
  char byte;
  CHECK(recv(fd, &byte, 1, 0) == -1);
  CHECK(errno == ECONNRESET);
  close(fd);
}

TEST_CASE("a refused connect is reported later, not inside connect()", "[connection]") {
  EventLoop loop;
  Address nobody;
  {
    auto socket = ListenSocket::bind(Address::v4_loopback(0), {});
    nobody = socket->local_address();
  }
  for (Address target : {nobody, *Address::parse("/nonexistent/socket")}) {
    Recorder client;
    auto connection = Connection::connect(loop, target, {});
    connection->set_events(&client);
    CHECK(client.closes == 0);
    REQUIRE(loop.run_until([&] { return client.closes == 1; }, 5s));
    CHECK(client.reason == CloseReason::ConnectFailed);
    CHECK(connection->last_error() != 0);
    CHECK_FALSE(client.connected);
  }
}

TEST_CASE("a connect that hangs times out", "[connection]") {
  EventLoop loop;
  // A listener with a full backlog: further SYNs are dropped.
  ListenSocket::Options options;
  options.backlog = 0;
  options.reuse_port = false;
  auto socket = ListenSocket::bind(Address::v4_loopback(0), options);
  REQUIRE(socket->listen(1).ok());
  std::vector<ConnectionPtr> fill;
  Recorder ignored;
  for (int i = 0; i < 4; ++i) {
    fill.push_back(Connection::connect(loop, socket->local_address(), {}));
    fill.back()->set_events(&ignored);
  }
  Connection::Options connect_options;
  connect_options.connect_timeout = 60ms;
  Recorder client;
  auto connection = Connection::connect(loop, socket->local_address(), connect_options);
  connection->set_events(&client);
  REQUIRE(loop.run_until([&] { return client.closes == 1; }, 5s));
  CHECK(client.reason == CloseReason::ConnectTimeout);
}

TEST_CASE("an answer sent before the peer closed is read although writing fails", "[connection]") {
  EventLoop loop;
  int pair[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
  Recorder events;
  auto connection = Connection::adopt(loop, pair[0], *Address::from_unix("@peer"), {});
  connection->set_events(&events);
  REQUIRE(send(pair[1], "413", 3, 0) == 3);
  close(pair[1]);
  connection->write("a body");
  REQUIRE(loop.run_until([&] { return events.closes == 1; }, 5s));
  CHECK(events.received == "413");
}

TEST_CASE("dropping the connection inside its own callback is safe", "[connection]") {
  EventLoop loop;
  Server server(loop);
  int fd = raw_client(server.socket.local_address());
  server.events.on_bytes = [&](Buffer&) { server.connection.reset(); };
  REQUIRE(send(fd, "x", 1, 0) == 1);
  REQUIRE(loop.run_until([&] { return server.events.data_calls == 1; }, 5s));
  CHECK(read_all(fd).empty());
  CHECK(server.events.closes == 0);
  close(fd);
}
