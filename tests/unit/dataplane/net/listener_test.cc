// Listening sockets: sharing within the process, refusal across owners, Unix paths, running out of descriptors.
#include "dataplane/net/listener.h"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "dataplane/net/connection.h"

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {

struct Acceptor : AcceptEvents {
  std::vector<int> fds;
  void on_accept(int fd, const Address&) override { fds.push_back(fd); }
  ~Acceptor() override {
    for (int fd : fds) close(fd);
  }
};

int dial(const Address& to) {
  int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_storage storage;
  socklen_t size = to.to_sockaddr(storage);
  if (connect(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 && errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace

TEST_CASE("several descriptors share one port, and all of them get connections", "[listener]") {
  EventLoop loop;
  auto socket = ListenSocket::bind(Address::v4_loopback(0), {});
  REQUIRE(socket.ok());
  REQUIRE(socket->listen(3).ok());
  REQUIRE(socket->count() == 3);
  Acceptor accepted[3];
  std::vector<std::unique_ptr<Listener>> listeners;
  for (unsigned i = 0; i < 3; ++i) listeners.push_back(std::make_unique<Listener>(loop, socket->fd(i), accepted[i]));
  std::vector<int> clients;
  for (int i = 0; i < 150; ++i) clients.push_back(dial(socket->local_address()));
  auto total = [&] { return accepted[0].fds.size() + accepted[1].fds.size() + accepted[2].fds.size(); };
  REQUIRE(loop.run_until([&] { return total() == 150; }, 5s));
  for (auto& a : accepted) CHECK(a.fds.size() > 10);
  for (int fd : clients) close(fd);
}

TEST_CASE("a port another listener has is refused, with its address", "[listener]") {
  auto first = ListenSocket::bind(Address::v4_loopback(0), {});
  REQUIRE(first->listen(2).ok());
  auto second = ListenSocket::bind(first->local_address(), {});
  if (second.ok()) {
    absl::Status status = second->listen(2);
    CHECK(absl::IsAlreadyExists(status));
    CHECK(status.message().find(first->local_address().to_string()) != std::string::npos);
  } else {
    CHECK(absl::IsAlreadyExists(second.status()));
    CHECK(second.status().message().find(first->local_address().to_string()) != std::string::npos);
  }
}

TEST_CASE("a port that another process shares by SO_REUSEPORT is refused too", "[listener]") {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage storage;
  socklen_t size = Address::v4_loopback(0).to_sockaddr(storage);
  REQUIRE(bind(fd, reinterpret_cast<sockaddr*>(&storage), size) == 0);
  REQUIRE(listen(fd, 1) == 0);
  Address taken = *Address::local_of(fd);
  auto second = ListenSocket::bind(taken, {});
  CHECK(absl::IsAlreadyExists(second.ok() ? second->listen(2) : second.status()));
  close(fd);
}

TEST_CASE("of two that bind at once only one gets to listen", "[listener]") {
  auto first = ListenSocket::bind(Address::v4_loopback(0), {});
  auto second = ListenSocket::bind(first->local_address(), {});
  if (second.ok()) {
    CHECK(second->listen(2).ok());
    CHECK(absl::IsAlreadyExists(first->listen(2)));
  } else {
    CHECK(first->listen(2).ok());
  }
}

TEST_CASE("a port can be bound again right after use", "[listener]") {
  EventLoop loop;
  Address address;
  {
    auto socket = ListenSocket::bind(Address::v4_loopback(0), {});
    REQUIRE(socket->listen(2).ok());
    address = socket->local_address();
    Acceptor accepted;
    Listener a(loop, socket->fd(0), accepted), b(loop, socket->fd(1), accepted);
    int fd = dial(address);
    REQUIRE(loop.run_until([&] { return accepted.fds.size() == 1; }, 5s));
    close(accepted.fds[0]);  // the server closes first: TIME_WAIT on its side
    accepted.fds.clear();
    close(fd);
  }
  auto again = ListenSocket::bind(address, {});
  REQUIRE(again.ok());
  CHECK(again->listen(2).ok());
}

TEST_CASE("socket options are set at their moment, on every descriptor; one that fails is an error", "[listener]") {
  using Option = ListenSocket::Options::SocketOption;
  const auto number = [](int value) { return std::string(reinterpret_cast<const char*>(&value), sizeof value); };
  ListenSocket::Options options;
  options.socket_options = {{Option::When::BeforeBind, SOL_SOCKET, SO_KEEPALIVE, number(1)},
                            {Option::When::Bound, IPPROTO_TCP, TCP_DEFER_ACCEPT, number(1)},
                            {Option::When::Listening, IPPROTO_TCP, TCP_NODELAY, number(1)}};
  auto socket = ListenSocket::bind(Address::v4_loopback(0), options);
  REQUIRE(socket.ok());
  const auto value = [&](unsigned i, int level, int name) {
    int out = -1;
    socklen_t size = sizeof out;
    REQUIRE(getsockopt(socket->fd(i), level, name, &out, &size) == 0);
    return out;
  };
  CHECK(value(0, SOL_SOCKET, SO_KEEPALIVE) == 1);
  CHECK(value(0, IPPROTO_TCP, TCP_DEFER_ACCEPT) != 0);
  CHECK(value(0, IPPROTO_TCP, TCP_NODELAY) == 0);
  REQUIRE(socket->listen(2).ok());
  for (unsigned i = 0; i < 2; ++i) {
    CHECK(value(i, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(value(i, IPPROTO_TCP, TCP_DEFER_ACCEPT) != 0);
    CHECK(value(i, IPPROTO_TCP, TCP_NODELAY) == 1);
  }
  options.socket_options = {{Option::When::Bound, SOL_SOCKET, 9999, number(1)}};
  const auto refused = ListenSocket::bind(Address::v4_loopback(0), options);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(std::string(refused.status().message()), Catch::Contains("cannot set socket option 9999 of level 1 for '127.0.0.1:0'"));
}

TEST_CASE("an address that cannot be bound is an error that names it", "[listener]") {
  auto socket = ListenSocket::bind(*Address::parse("192.0.2.77:80"), {});
  REQUIRE_FALSE(socket.ok());
  CHECK(socket.status().message().find("192.0.2.77:80") != std::string::npos);
}

TEST_CASE("IPv6", "[listener]") {
  EventLoop loop;
  auto socket = ListenSocket::bind(*Address::parse("[::1]:0"), {});
  if (!socket.ok()) return;  // no IPv6 on this machine
  REQUIRE(socket->listen(1).ok());
  Acceptor accepted;
  Listener listener(loop, socket->fd(0), accepted);
  int fd = dial(socket->local_address());
  REQUIRE(loop.run_until([&] { return accepted.fds.size() == 1; }, 5s));
  close(fd);
}

TEST_CASE("Unix sockets: stale paths are replaced, live ones and files are not", "[listener]") {
  EventLoop loop;
  std::string path = (std::filesystem::temp_directory_path() / ("fairlead-listener-" + std::to_string(getpid()))).string();
  Address address = *Address::from_unix(path);
  ListenSocket::Options options;
  options.unix_mode = 0600;
  {
    auto socket = ListenSocket::bind(address, options);
    REQUIRE(socket.ok());
    REQUIRE(socket->listen(4).ok());
    CHECK(socket->count() == 1);
    struct stat info;
    REQUIRE(stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    Acceptor accepted;
    Listener listener(loop, socket->fd(0), accepted);
    int fd = dial(address);
    REQUIRE(fd >= 0);
    REQUIRE(loop.run_until([&] { return accepted.fds.size() == 1; }, 5s));
    close(fd);
    CHECK(absl::IsAlreadyExists(ListenSocket::bind(address, options).status()));
  }
  CHECK_FALSE(std::filesystem::exists(path));
  int stale = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_storage storage;
  socklen_t size = address.to_sockaddr(storage);
  REQUIRE(bind(stale, reinterpret_cast<sockaddr*>(&storage), size) == 0);
  close(stale);
  REQUIRE(std::filesystem::exists(path));
  { CHECK(ListenSocket::bind(address, options).ok()); }
  int file = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  close(file);
  CHECK_FALSE(ListenSocket::bind(address, options).ok());
  CHECK(std::filesystem::exists(path));
  std::filesystem::remove(path);
}

TEST_CASE("paused listeners accept nothing, resumed ones what has waited", "[listener]") {
  EventLoop loop;
  auto socket = ListenSocket::bind(Address::v4_loopback(0), {});
  REQUIRE(socket->listen(1).ok());
  Acceptor accepted;
  Listener listener(loop, socket->fd(0), accepted);
  listener.pause();
  int fd = dial(socket->local_address());
  bool posted = false;
  loop.post([&] { posted = true; });
  loop.run_until([&] { return posted; }, 5s);
  CHECK(accepted.fds.empty());
  listener.resume();
  REQUIRE(loop.run_until([&] { return accepted.fds.size() == 1; }, 5s));
  close(fd);
}

TEST_CASE("running out of descriptors delays accepting, without spinning", "[listener]") {
  EventLoop loop;
  auto socket = ListenSocket::bind(Address::v4_loopback(0), {});
  REQUIRE(socket->listen(1).ok());
  Acceptor accepted;
  Listener listener(loop, socket->fd(0), accepted);
  std::vector<int> clients;
  for (int i = 0; i < 3; ++i) clients.push_back(dial(socket->local_address()));
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  int probe = dup(0);
  close(probe);
  tight.rlim_cur = static_cast<rlim_t>(probe);  // the next descriptor number is out of bounds
  REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  uint64_t turns = loop.stats().turns;
  loop.run_until([&] { return listener.accept_failures() >= 2; }, 5s);
  CHECK(listener.accept_failures() >= 2);
  CHECK(loop.stats().turns - turns < 50);
  setrlimit(RLIMIT_NOFILE, &before);
  REQUIRE(loop.run_until([&] { return accepted.fds.size() == 3; }, 5s));
  for (int fd : clients) close(fd);
}

TEST_CASE("the last quarter of the descriptors is not given to those who connect", "[listener]") {
  struct Exhausted : Acceptor {
    void on_exhausted() override { ++times; }
    int times = 0;
  };
  EventLoop loop;
  auto socket = ListenSocket::bind(Address::v4_loopback(0), {});
  REQUIRE(socket->listen(1).ok());
  std::vector<int> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(dial(socket->local_address()));
  rlimit before;
  getrlimit(RLIMIT_NOFILE, &before);
  rlimit tight = before;
  const int probe = dup(0);
  close(probe);
  tight.rlim_cur = static_cast<rlim_t>(probe + 40);  // as many as there are clients, but for the listener's own
  REQUIRE(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  Exhausted accepted;
  {
    Listener listener(loop, socket->fd(0), accepted);
    loop.run_until([&] { return accepted.times >= 3; }, 5s);
    CHECK(accepted.times >= 3);
    const int kept_back = static_cast<int>(tight.rlim_cur) / 4;
    CHECK(accepted.fds.size() >= 1);
    CHECK(*std::max_element(accepted.fds.begin(), accepted.fds.end()) <= static_cast<int>(tight.rlim_cur) - kept_back);
    for (int i = 0; i < 10; ++i) {  // these may go on
      close(accepted.fds.back());
      accepted.fds.pop_back();
    }
    const uint64_t taken = listener.accepted();
    REQUIRE(loop.run_until([&] { return listener.accepted() >= taken + 9; }, 5s));
    setrlimit(RLIMIT_NOFILE, &before);
    REQUIRE(loop.run_until([&] { return listener.accepted() == 40; }, 5s));
  }
  for (int fd : clients) close(fd);
}

TEST_CASE("taken-over descriptors: fewer or more than workers, none is left without one who accepts", "[listener]") {
  for (const unsigned workers : {1u, 2u, 3u, 5u}) {
    INFO(workers << " workers");
    EventLoop loop;
    auto old = ListenSocket::bind(Address::v4_loopback(0), {});
    REQUIRE(old.ok());
    REQUIRE(old->listen(3).ok());
    std::vector<int> copies;
    for (const int fd : old->fds()) copies.push_back(dup(fd));
    ListenSocket next = ListenSocket::adopt(old->local_address(), {}, copies);
    REQUIRE(next.listen(workers).ok());
    CHECK(next.count() == std::max(workers, 3u));
    Acceptor accepted;
    std::vector<std::unique_ptr<Listener>> listeners;
    for (unsigned i = 0; i < workers; ++i) {
      CHECK_FALSE(next.fds_of(i).empty());
      for (const int fd : next.fds_of(i)) listeners.push_back(std::make_unique<Listener>(loop, fd, accepted));
    }
    std::vector<int> clients;
    for (int i = 0; i < 20; ++i) clients.push_back(dial(next.local_address()));
    old->give_up();
    CHECK(old->count() == 0);
    CHECK(old->fds_of(0).empty());
    for (int i = 0; i < 20; ++i) clients.push_back(dial(next.local_address()));
    REQUIRE(loop.run_until([&] { return accepted.fds.size() == 40; }, 5s));
    for (int fd : clients) close(fd);
  }
}

TEST_CASE("a Unix path outlives the one who gave it up, and goes with the one who owns it", "[listener]") {
  const std::string path = std::filesystem::temp_directory_path() / ("fairlead-adopt-" + std::to_string(getpid()));
  const Address address = *Address::from_unix(path);
  {
    auto old = ListenSocket::bind(address, {});
    REQUIRE(old.ok());
    REQUIRE(old->listen(2).ok());
    {
      ListenSocket failed = ListenSocket::adopt(address, {}, {dup(old->fd(0))});
      REQUIRE(failed.listen(2).ok());
    }
    CHECK(std::filesystem::exists(path));  // a process that took over and died on the way
    ListenSocket next = ListenSocket::adopt(address, {}, {dup(old->fd(0))});
    REQUIRE(next.listen(2).ok());
    CHECK(next.count() == 1);
    old->give_up();
    CHECK(std::filesystem::exists(path));
    next.own_path();
  }
  CHECK_FALSE(std::filesystem::exists(path));
}
