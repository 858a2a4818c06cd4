// Load for TCP proxies: messages of one size, one at a time on each connection, with nothing but the system calls at either end, so that the proxy is
// what is waited for. bench_tcp_load echo PORT: sends back whatever comes to 127.0.0.1:PORT. bench_tcp_load load PORT [options]: sends a message on each
// connection and the next once all of it is back; after the time is up prints "EXCHANGES BROKEN P99", P99 in microseconds. A connection that closes, or
// gives back other bytes than it was sent, is broken and stays closed.
//   --connections N (64) --bytes N (128) --seconds N (5)
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "bench/loopback.h"

namespace {

using fairlead::bench::dial;
using fairlead::bench::fail;
using fairlead::bench::listen_on;
using Clock = std::chrono::steady_clock;

constexpr size_t kRoom = 16384;

class Poll {
 public:
  /// Reports each arrival at `fd` once, with `tag`.
  void add(int fd, uint64_t tag) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
    event.data.u64 = tag;
    if (epoll_ctl(set_, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
  }
  /// What has come within `ms`; valid until the next call.
  template <class Each>
  void wait(int ms, Each each) {
    const int n = epoll_wait(set_, events_.data(), static_cast<int>(events_.size()), ms);
    for (int i = 0; i < n; ++i) each(events_[static_cast<size_t>(i)].data.u64);
  }

 private:
  int set_ = epoll_create1(EPOLL_CLOEXEC);
  std::array<epoll_event, 256> events_{};
};

/// All of `bytes`, or false. Messages fit a socket's buffer, so a full one means that the peer does not read.
bool send_all(int fd, const char* bytes, size_t size) { return send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(size); }

[[noreturn]] void echo(uint16_t port) {
  const int listener = listen_on(port);
  Poll poll;
  poll.add(listener, static_cast<uint64_t>(listener));
  std::puts("ready");
  std::fflush(stdout);
  std::array<char, kRoom> bytes;
  for (;;) {
    poll.wait(-1, [&](uint64_t tag) {
      const int fd = static_cast<int>(tag);
      if (fd == listener) {
        for (int one; (one = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) poll.add(one, static_cast<uint64_t>(one));
        return;
      }
      for (;;) {
        const ssize_t n = recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0 || !send_all(fd, bytes.data(), static_cast<size_t>(n))) {
          close(fd);
          return;
        }
        if (static_cast<size_t>(n) < bytes.size()) return;  // what comes later is announced
      }
    });
  }
}

struct Options {
  size_t connections = 64, bytes = 128;
  int seconds = 5;
};

struct Client {
  int fd = -1;
  size_t missing = 0;  // bytes of the message that are not back yet
  Clock::time_point sent;
};

void load(uint16_t port, const Options& options) {
  std::string message(options.bytes, '\0');
  for (size_t i = 0; i < message.size(); ++i) message[i] = static_cast<char>('a' + i % 23);
  Poll poll;
  std::vector<Client> clients(options.connections);
  uint64_t exchanges = 0, broken = 0;
  std::vector<uint32_t> took;  // microseconds of each exchange
  took.reserve(8 << 20);
  const auto begin = [&](Client& client) {
    client.missing = message.size();
    client.sent = Clock::now();
    return send_all(client.fd, message.data(), message.size());
  };
  const auto end_of = [&](Client& client) {
    ++broken;
    close(client.fd);
    client.fd = -1;
  };
  for (size_t i = 0; i < clients.size(); ++i) {
    Client& client = clients[i];
    client.fd = dial(SOCK_STREAM, port);
    poll.add(client.fd, i);
    if (!begin(client)) end_of(client);
  }
  std::array<char, kRoom> bytes;
  const auto until = Clock::now() + std::chrono::seconds(options.seconds);
  while (Clock::now() < until && broken < clients.size()) {
    poll.wait(100, [&](uint64_t i) {
      Client& client = clients[i];
      if (client.fd < 0) return;
      const ssize_t n = recv(client.fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (n < 0 && errno == EAGAIN) return;
      const auto got = static_cast<size_t>(std::max<ssize_t>(n, 0));
      if (got == 0 || got > client.missing || std::memcmp(bytes.data(), message.data() + message.size() - client.missing, got) != 0) return end_of(client);
      if ((client.missing -= got) != 0) return;
      ++exchanges;
      took.push_back(static_cast<uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - client.sent).count()));
      if (!begin(client)) end_of(client);
    });
  }
  uint32_t p99 = 0;
  if (!took.empty()) {
    const auto at = took.begin() + static_cast<ptrdiff_t>(took.size() * 99 / 100);
    std::nth_element(took.begin(), at, took.end());
    p99 = *at;
  }
  std::printf("%llu %llu %u\n", static_cast<unsigned long long>(exchanges), static_cast<unsigned long long>(broken), p99);
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  Options options;
  const std::string mode = argc > 2 ? argv[1] : "";
  bool known = mode == "echo" || mode == "load";
  for (int i = 3; i < argc; i += 2) {
    const std::string name = argv[i];
    const long value = i + 1 < argc ? std::atol(argv[i + 1]) : 0;
    if (name == "--connections") options.connections = static_cast<size_t>(value);
    else if (name == "--bytes") options.bytes = static_cast<size_t>(value);
    else if (name == "--seconds") options.seconds = static_cast<int>(value);
    else known = false;
    if (value < 1 || options.bytes > kRoom) known = false;
  }
  if (!known) return std::fprintf(stderr, "bench_tcp_load echo PORT\nbench_tcp_load load PORT [--connections N] [--bytes N, at most %zu] [--seconds N]\n", kRoom), 2;
  const auto port = static_cast<uint16_t>(std::atoi(argv[2]));
  if (mode == "echo") echo(port);
  load(port, options);
}
