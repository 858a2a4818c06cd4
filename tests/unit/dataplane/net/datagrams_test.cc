// Datagrams over real sockets: many at once, joined and cut, too long, from which address.
#include "dataplane/net/datagrams.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <numeric>
#include <string>
#include <vector>

#include "dataplane/net/listener.h"

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {

class Udp {
 public:
  explicit Udp(const char* ip = "127.0.0.1") : fd(socket(Address::from_ip(ip, 0)->family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_storage to;
    const socklen_t size = Address::from_ip(ip, 0)->to_sockaddr(to);
    REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&to), size) == 0);
    address = *Address::local_of(fd);
  }
  ~Udp() { close(fd); }
  void send(const Address& to, std::string_view bytes) const {
    sockaddr_storage storage;
    const socklen_t size = to.to_sockaddr(storage);
    REQUIRE(sendto(fd, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&storage), size) == static_cast<ssize_t>(bytes.size()));
  }
  std::string receive(Address* from = nullptr) const {
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, 10'000) != 1) return "(nothing)";
    std::string out(70'000, 0);
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    const ssize_t n = recvfrom(fd, out.data(), out.size(), 0, reinterpret_cast<sockaddr*>(&storage), &size);
    out.resize(n < 0 ? 0 : static_cast<size_t>(n));
    if (from != nullptr) *from = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), size);
    return out;
  }
  int fd;
  Address address;
};

struct Seen final : UdpPortEvents {
  void on_datagrams(std::span<const DatagramMessage> messages) override {
    for (const DatagramMessage& m : messages) {
      for_each_datagram(m, [&](std::string_view d) { datagrams.emplace_back(d); });
      paths.push_back(m.path);
    }
  }
  void on_receive_error(int error) override { errors.push_back(error); }
  void on_dropped(uint64_t n) override { dropped += n; }
  std::vector<std::string> datagrams;
  std::vector<DatagramPath> paths;
  std::vector<int> errors;
  uint64_t dropped = 0;
};

std::vector<OutDatagram> out(const std::vector<std::string>& of, const DatagramPath* to = nullptr) {
  std::vector<OutDatagram> made;
  for (const std::string& bytes : of) made.push_back({.bytes = bytes, .to = to});
  return made;
}

}  // namespace

TEST_CASE("neighbours of one size and a shorter last leave as one message") {
  const auto run = [](std::vector<size_t> sizes) {
    static const std::string bytes(70'000, 'x');
    std::vector<OutDatagram> datagrams;
    for (const size_t size : sizes) datagrams.push_back({.bytes = std::string_view(bytes).substr(0, size)});
    return segment_run(datagrams);
  };
  CHECK(run({}) == 0);
  CHECK(run({5}) == 1);
  CHECK(run({5, 5, 5}) == 3);
  CHECK(run({5, 5, 3, 5}) == 3);   // a shorter one ends it
  CHECK(run({5, 5, 6}) == 2);      // a longer one does not belong to it
  CHECK(run({0, 0, 0}) == 1);      // empty ones go alone
  CHECK(run({5, 0}) == 1);
  CHECK(run(std::vector<size_t>(100, 5)) == 64);       // the kernel's most
  CHECK(run(std::vector<size_t>(100, 10'000)) == 6);   // an IP packet's most
  CHECK(run({65'500, 65'500}) == 1);
  const DatagramPath one, other;
  const std::vector<OutDatagram> mixed{{.bytes = "a", .to = &one}, {.bytes = "b", .to = &one}, {.bytes = "c", .to = &other}};
  CHECK(segment_run(mixed) == 2);  // each peer has its own
}

TEST_CASE("every datagram arrives as it was, whatever left with it") {
  Udp to;
  const int fd = open_connected_udp(to.address, false);
  REQUIRE(fd >= 0);
  bool segment = GENERATE(true, false);
  std::vector<std::string> sent;
  for (int i = 0; i < 100; ++i) sent.push_back(std::string(i % 7 == 0 ? 0 : i < 50 ? 100 : static_cast<size_t>(i), static_cast<char>('a' + i % 26)));
  std::vector<OutDatagram> datagrams = out(sent);
  const SentDatagrams done = send_datagrams(fd, datagrams, false, segment);
  CHECK(done.datagrams == sent.size());
  CHECK(done.errors == 0);
  CHECK(done.bytes == std::accumulate(sent.begin(), sent.end(), size_t{0}, [](size_t n, const std::string& s) { return n + s.size(); }));
  for (const std::string& one : sent) CHECK(to.receive() == one);
  close(fd);
}

TEST_CASE("what the kernel refuses counts as lost, and the rest goes on") {
  Udp to;
  const int fd = open_connected_udp(to.address, false);
  bool segment = true;
  const std::vector<std::string> sent{"a", std::string(70'000, 'x'), "b"};
  std::vector<OutDatagram> datagrams = out(sent);
  const SentDatagrams done = send_datagrams(fd, datagrams, false, segment);
  CHECK(done.datagrams == 2);
  CHECK(done.bytes == 2);
  CHECK(done.errors == 1);
  CHECK((!datagrams[0].lost && datagrams[1].lost && !datagrams[2].lost));
  CHECK(to.receive() == "a");
  CHECK(to.receive() == "b");
  close(fd);
}

TEST_CASE("a socket that joins datagrams gives them back one by one") {
  Udp up;
  const int fd = open_connected_udp(up.address, true);
  const Address mine = *Address::local_of(fd);
  const int back = open_connected_udp(mine, false);
  sockaddr_storage from;
  close(back);
  // from the address that the socket is connected to, in messages that the kernel need not cut for it
  const socklen_t size = mine.to_sockaddr(from);
  REQUIRE(connect(up.fd, reinterpret_cast<sockaddr*>(&from), size) == 0);
  std::vector<std::string> sent;
  for (int i = 0; i < 20; ++i) sent.push_back(std::string(i == 19 ? 10 : 200, static_cast<char>('a' + i)));
  bool segment = true;
  std::vector<OutDatagram> datagrams = out(sent);
  REQUIRE(send_datagrams(up.fd, datagrams, false, segment).datagrams == 20);
  DatagramBatch batch;
  std::vector<std::string> got;
  for (;;) {
    const auto received = batch.receive(fd, 1500, true, nullptr);
    for (const DatagramMessage& m : batch.messages()) for_each_datagram(m, [&](std::string_view d) { got.emplace_back(d); });
    if (!received.more) break;
  }
  CHECK(got == sent);
  close(fd);
}

TEST_CASE("a port hears from every peer, answers it, and says what was lost") {
  EventLoop loop;
  auto bound = ListenSocket::bind(Address::v4_loopback(0), {.datagrams = true});
  REQUIRE(bound.ok());
  REQUIRE(bound->listen(1).ok());
  Seen seen;
  UdpPort port(loop, {.fd = bound->fd(0), .local = bound->local_address(), .largest = 100}, seen);
  Udp one, two;
  one.send(bound->local_address(), "first");
  two.send(bound->local_address(), "");
  one.send(bound->local_address(), std::string(101, 'x'));
  one.send(bound->local_address(), std::string(100, 'y'));
  REQUIRE(loop.run_until([&] { return seen.datagrams.size() == 3; }, 10s));
  CHECK(seen.datagrams == std::vector<std::string>{"first", "", std::string(100, 'y')});
  CHECK(seen.dropped == 1);
  CHECK(seen.paths[0].peer_address() == one.address);
  CHECK(seen.paths[1].peer_address() == two.address);
  CHECK(seen.paths[0].local_address(bound->local_address().port()) == bound->local_address());
  CHECK(seen.paths[0] == seen.paths[2]);
  CHECK_FALSE(seen.paths[0] == seen.paths[1]);
  std::vector<OutDatagram> answers{{.bytes = "x", .to = &seen.paths[1]}, {.bytes = "for one", .to = &seen.paths[0]}, {.bytes = std::string_view("yy"), .to = &seen.paths[1]}};
  CHECK(port.send(answers).datagrams == 3);  // with one call
  CHECK(two.receive() == "x");
  CHECK(two.receive() == "yy");
  CHECK(one.receive() == "for one");
}

TEST_CASE("an answer comes from the address that was asked") {
  const bool v6 = GENERATE(false, true);
  EventLoop loop;
  auto bound = ListenSocket::bind(v6 ? *Address::from_ip("::", 0) : Address::v4_any(0), {.v6_only = false, .datagrams = true});
  REQUIRE(bound.ok());
  REQUIRE(bound->listen(1).ok());
  Seen seen;
  UdpPort port(loop, {.fd = bound->fd(0), .local = bound->local_address()}, seen);
  for (const char* ip : {"127.0.0.1", "127.0.0.9", "::1"}) {
    if (!v6 && std::string_view(ip) == "::1") continue;
    CAPTURE(ip, v6);
    const Address asked = *Address::from_ip(ip, bound->local_address().port());
    Udp client(ip == std::string_view("::1") ? "::1" : "127.0.0.1");
    client.send(asked, "question");
    const size_t before = seen.paths.size();
    REQUIRE(loop.run_until([&] { return seen.paths.size() == before + 1; }, 10s));
    CHECK(seen.paths.back().local_address(asked.port()) == asked);
    CHECK(seen.paths.back().peer_address() == client.address);
    std::vector<OutDatagram> answers{{.bytes = "answer", .to = &seen.paths.back()}};
    CHECK(port.send(answers).datagrams == 1);
    Address from;
    CHECK(client.receive(&from) == "answer");
    CHECK(from == asked);
  }
}

TEST_CASE("UDP sockets: an address in use is an error, and each worker's share of one address is its own") {
  auto bound = ListenSocket::bind(Address::v4_loopback(0), {.datagrams = true});
  REQUIRE(bound.ok());
  REQUIRE(bound->listen(4).ok());
  CHECK(bound->count() == 4);
  const auto again = ListenSocket::bind(bound->local_address(), {.datagrams = true});
  CHECK(absl::IsAlreadyExists(again.status()));
  // TCP has ports of its own; of several, since somebody else may have the one
  bool apart = false;
  for (int i = 0; i < 10 && !apart; ++i) {
    const auto other = ListenSocket::bind(Address::v4_loopback(0), {.datagrams = true});
    REQUIRE(other.ok());
    apart = ListenSocket::bind(other->local_address(), {}).ok();
  }
  CHECK(apart);
  // the kernel gives a peer to one of them, always the same
  int with_something = 0, messages = 0;
  Udp client;
  for (int i = 0; i < 8; ++i) client.send(bound->local_address(), "x");
  DatagramBatch batch;
  for (unsigned i = 0; i < 4; ++i) {
    const auto got = batch.receive(bound->fd(i), 1500, false, &bound->local_address());
    with_something += got.messages != 0;
    messages += static_cast<int>(got.messages);
  }
  CHECK(with_something == 1);
  CHECK(messages == 8);
}
