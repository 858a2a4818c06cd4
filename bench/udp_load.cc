// Load for UDP proxies. bench_udp_load echo PORT: sends back every datagram that comes to 127.0.0.1:PORT. bench_udp_load load PORT [options]: clients on
// sockets of their own, each with a window of datagrams under way; after the time is up prints "SENT RECEIVED SECONDS". What is lost is sent again
// once nothing has come for a while, so that a loss costs time, not the run. bench_udp_load relay PORT UPSTREAM: what a proxy cannot do without, and no
// more: a connected socket for each client, datagrams read several at a time, one epoll turn for all that is ready.
//   --clients N (64) --window N (1) --bytes N (256) --seconds N (5)
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "bench/loopback.h"

namespace {

using fairlead::bench::fail;
using fairlead::bench::loopback;

using Clock = std::chrono::steady_clock;
constexpr size_t kBatch = 32;
constexpr size_t kRoom = 2048;

int bound(uint16_t port) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int room = 4 << 20;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  const sockaddr_in at = loopback(port);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) fail("bind");
  return fd;
}

struct Batch {
  Batch() {
    for (size_t i = 0; i < kBatch; ++i) {
      parts[i] = {bytes[i].data(), kRoom};
      headers[i].msg_hdr = {};
      headers[i].msg_hdr.msg_iov = &parts[i];
      headers[i].msg_hdr.msg_iovlen = 1;
    }
  }
  void name(bool yes) {
    for (size_t i = 0; i < kBatch; ++i) {
      headers[i].msg_hdr.msg_name = yes ? &peers[i] : nullptr;
      headers[i].msg_hdr.msg_namelen = yes ? sizeof peers[i] : 0;
      parts[i].iov_len = kRoom;
    }
  }
  std::array<std::array<char, kRoom>, kBatch> bytes{};
  std::array<iovec, kBatch> parts{};
  std::array<sockaddr_in, kBatch> peers{};
  std::array<mmsghdr, kBatch> headers{};
};

void echo(uint16_t port) {
  const int fd = bound(port);
  std::puts("ready");
  std::fflush(stdout);
  static Batch batch;
  for (;;) {
    batch.name(true);
    const int n = recvmmsg(fd, batch.headers.data(), kBatch, MSG_WAITFORONE, nullptr);
    if (n <= 0) continue;
    for (int i = 0; i < n; ++i) batch.parts[static_cast<size_t>(i)].iov_len = batch.headers[static_cast<size_t>(i)].msg_len;
    for (int sent = 0; sent < n;) {
      const int more = sendmmsg(fd, batch.headers.data() + sent, static_cast<unsigned>(n - sent), 0);
      sent += more > 0 ? more : 1;
    }
  }
}

// The floor of a UDP proxy: what its system calls cost. Answers of a turn leave with one call.
void relay(uint16_t port, uint16_t upstream) {
  static Batch batch, answers;
  const int listener = bound(port), loop = epoll_create1(EPOLL_CLOEXEC);
  const sockaddr_in to = loopback(upstream);
  std::vector<int> session(65536, -1);           // by the client's port
  std::vector<sockaddr_in> client(65536);        // by the session's descriptor
  const auto watch = [&](int fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.fd = fd;
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
  };
  watch(listener);
  std::puts("ready");
  std::fflush(stdout);
  size_t waiting = 0;
  answers.name(true);
  const auto flush = [&] {
    for (size_t sent = 0; sent < waiting;) {
      const int n = sendmmsg(listener, answers.headers.data() + sent, static_cast<unsigned>(waiting - sent), MSG_DONTWAIT);
      sent += n > 0 ? static_cast<size_t>(n) : 1;
    }
    waiting = 0;
  };
  std::array<epoll_event, 256> events;
  for (;;) {
    const int ready = epoll_wait(loop, events.data(), static_cast<int>(events.size()), -1);
    for (int e = 0; e < ready; ++e) {
      const int fd = events[static_cast<size_t>(e)].data.fd;
      for (int n = static_cast<int>(kBatch); n == static_cast<int>(kBatch);) {
        batch.name(fd == listener);
        n = recvmmsg(fd, batch.headers.data(), kBatch, MSG_DONTWAIT, nullptr);
        for (int i = 0; i < n; ++i) {
          const auto k = static_cast<size_t>(i);
          const size_t size = batch.headers[k].msg_len;
          if (fd != listener) {
            std::memcpy(answers.bytes[waiting].data(), batch.bytes[k].data(), size);
            answers.parts[waiting].iov_len = size;
            answers.peers[waiting] = client[static_cast<size_t>(fd)];
            if (++waiting == kBatch) flush();
            continue;
          }
          int& own = session[ntohs(batch.peers[k].sin_port)];
          if (own < 0) {
            own = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
            if (own < 0 || connect(own, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
            client[static_cast<size_t>(own)] = batch.peers[k];
            watch(own);
          }
          [[maybe_unused]] const ssize_t sent = send(own, batch.bytes[k].data(), size, MSG_DONTWAIT);
        }
      }
    }
    if (waiting != 0) flush();
  }
}

struct Options {
  size_t clients = 64, window = 1, bytes = 256;
  int seconds = 5;
};

void load(uint16_t port, const Options& options) {
  static Batch batch;
  const sockaddr_in to = loopback(port);
  const int loop = epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> clients;
  std::vector<size_t> under_way(options.clients, 0);
  for (size_t i = 0; i < options.clients; ++i) {
    const int fd = bound(0);
    if (connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
    clients.push_back(fd);
  }
  uint64_t sent = 0, received = 0;
  const auto fill = [&](size_t i) {
    while (under_way[i] < options.window) {
      const size_t n = std::min(options.window - under_way[i], kBatch);
      batch.name(false);
      for (size_t k = 0; k < n; ++k) batch.parts[k].iov_len = options.bytes;
      const int out = sendmmsg(clients[i], batch.headers.data(), static_cast<unsigned>(n), MSG_DONTWAIT);
      if (out <= 0) return;
      under_way[i] += static_cast<size_t>(out);
      sent += static_cast<uint64_t>(out);
    }
  };
  const auto began = Clock::now();
  const auto end = began + std::chrono::seconds(options.seconds);
  for (size_t i = 0; i < options.clients; ++i) fill(i);
  std::array<epoll_event, 64> events;
  while (Clock::now() < end) {
    const int n = epoll_wait(loop, events.data(), static_cast<int>(events.size()), 20);
    if (n == 0) {  // all that was under way is lost
      for (size_t i = 0; i < options.clients; ++i) {
        under_way[i] = 0;
        fill(i);
      }
    }
    for (int e = 0; e < n; ++e) {
      const auto i = static_cast<size_t>(events[static_cast<size_t>(e)].data.u64);
      batch.name(false);
      const int got = recvmmsg(clients[i], batch.headers.data(), kBatch, MSG_DONTWAIT, nullptr);
      if (got <= 0) continue;
      received += static_cast<uint64_t>(got);
      under_way[i] -= std::min(under_way[i], static_cast<size_t>(got));
      fill(i);
    }
  }
  std::printf("%llu %llu %.3f\n", static_cast<unsigned long long>(sent), static_cast<unsigned long long>(received), std::chrono::duration<double>(Clock::now() - began).count());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::fputs("bench_udp_load echo|load PORT, relay PORT UPSTREAM [--clients N] [--window N] [--bytes N] [--seconds N]\n", stderr), 2;
  const auto port = static_cast<uint16_t>(std::atoi(argv[2]));
  if (std::string(argv[1]) == "echo") echo(port);
  if (std::string(argv[1]) == "relay" && argc > 3) relay(port, static_cast<uint16_t>(std::atoi(argv[3])));
  Options options;
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const auto value = static_cast<size_t>(std::atol(argv[i + 1]));
    if (name == "--clients") options.clients = value;
    if (name == "--window") options.window = value;
    if (name == "--bytes") options.bytes = std::min(value, kRoom);
    if (name == "--seconds") options.seconds = static_cast<int>(value);
  }
  load(port, options);
}
