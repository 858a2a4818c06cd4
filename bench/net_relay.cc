// A relay of bytes that parses nothing: what one proxied message costs before any HTTP. Three builds of the same relay in one program:
//   net    on dataplane/net (its own epoll set, one registration per socket, one flush per turn)
//   asio   on Boost.Asio's readiness waits: one async_wait, so one epoll_ctl, per message
//   epoll  on bare epoll with fixed buffers: the floor
// Usage: bench_net_relay MODE LISTEN_PORT UPSTREAM_PORT; runs until SIGTERM, then prints its CPU time. bench/net_relay.sh drives it with wrk.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <boost/asio.hpp>

#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"

namespace net = fairlead::net;

namespace {

// --- net
struct Relay;
struct Half : net::ConnectionEvents {
  Relay* relay = nullptr;
  net::ConnectionPtr connection;
  Half* other = nullptr;
  void on_data(net::Buffer& data, bool) override {
    if (other->connection) other->connection->write(data);
  }
  void on_write_high() override { other->connection->read_disable(); }
  void on_write_low() override { other->connection->read_enable(); }
  void on_closed(net::CloseReason) override;
};
struct Relay : net::Deferred {
  Half down, up;
};
void Half::on_closed(net::CloseReason) {
  if (relay == nullptr) return;
  Relay* gone = relay;
  gone->down.relay = gone->up.relay = nullptr;
  for (Half* half : {&gone->down, &gone->up}) half->connection->set_events(nullptr);
  net::EventLoop::current()->delete_later(gone);
}

struct NetRelay : net::AcceptEvents {
  net::EventLoop loop;
  net::Address upstream;
  void on_accept(int fd, const net::Address& remote) override {
    auto* relay = new Relay;
    relay->down.relay = relay->up.relay = relay;
    relay->down.other = &relay->up;
    relay->up.other = &relay->down;
    relay->down.connection = net::Connection::adopt(loop, fd, remote, {});
    relay->up.connection = net::Connection::connect(loop, upstream, {});
    relay->down.connection->set_events(&relay->down);
    relay->up.connection->set_events(&relay->up);
  }
  void run(uint16_t listen_port, uint16_t upstream_port) {
    upstream = net::Address::v4_loopback(upstream_port);
    auto socket = net::ListenSocket::bind(net::Address::v4_loopback(listen_port), {});
    if (!socket.ok() || !socket->listen(1).ok()) std::exit(1);
    net::Listener listener(loop, socket->fd(0), *this);
    loop.on_signal(SIGTERM, [this](int) { loop.stop(); });
    loop.run();
  }
};

// --- what the other two share
int listen_on(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 511) != 0) std::exit(1);
  return fd;
}
int dial(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::exit(1);
  return fd;
}
void tune(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// --- asio
struct AsioRelay : std::enable_shared_from_this<AsioRelay> {
  using Socket = boost::asio::ip::tcp::socket;
  Socket a, b;
  AsioRelay(Socket x, Socket y) : a(std::move(x)), b(std::move(y)) {}
  void start() {
    a.non_blocking(true);
    b.non_blocking(true);
    wait(a, b);
    wait(b, a);
  }
  void wait(Socket& from, Socket& to) {
    from.async_wait(Socket::wait_read, [self = shared_from_this(), this, &from, &to](const boost::system::error_code& error) {
      if (error) return;
      static char bytes[65536];
      ssize_t n = recv(from.native_handle(), bytes, sizeof bytes, 0);
      if (n <= 0) {
        a.close();
        b.close();
        return;
      }
      for (ssize_t done = 0; done < n;) {  // messages here always fit the socket's buffer
        ssize_t w = send(to.native_handle(), bytes + done, static_cast<size_t>(n - done), MSG_NOSIGNAL);
        if (w <= 0) return;
        done += w;
      }
      wait(from, to);
    });
  }
};
void run_asio(uint16_t listen_port, uint16_t upstream_port) {
  namespace asio = boost::asio;
  asio::io_context context(1);
  asio::ip::tcp::acceptor acceptor(context, asio::ip::tcp::v4(), listen_on(listen_port));
  std::function<void()> accept = [&] {
    acceptor.async_accept([&](const boost::system::error_code& error, asio::ip::tcp::socket socket) {
      if (error) return;
      int up = dial(upstream_port);
      tune(socket.native_handle());
      tune(up);
      std::make_shared<AsioRelay>(std::move(socket), asio::ip::tcp::socket(context, asio::ip::tcp::v4(), up))->start();
      accept();
    });
  };
  accept();
  asio::signal_set signals(context, SIGTERM);
  signals.async_wait([&](const boost::system::error_code&, int) { context.stop(); });
  context.run();
}

// --- epoll
volatile sig_atomic_t ended = 0;
struct End {
  int fd;
  End* other;
};
void run_epoll(uint16_t listen_port, uint16_t upstream_port) {
  struct sigaction action {};
  action.sa_handler = [](int) { ended = 1; };
  sigaction(SIGTERM, &action, nullptr);
  int listener = listen_on(listen_port);
  int set = epoll_create1(0);
  End listen_end{listener, nullptr};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &listen_end;
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  static char bytes[65536];
  while (!ended) {
    epoll_event events[256];
    int n = epoll_wait(set, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      auto* end = static_cast<End*>(events[i].data.ptr);
      if (end == &listen_end) {
        for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
          int up = dial(upstream_port);
          auto* a = new End{fd, nullptr};
          auto* b = new End{up, a};
          a->other = b;
          for (End* e : {a, b}) {
            tune(e->fd);
            epoll_event add{};
            add.events = EPOLLIN | EPOLLET | EPOLLRDHUP;
            add.data.ptr = e;
            epoll_ctl(set, EPOLL_CTL_ADD, e->fd, &add);
          }
        }
        continue;
      }
      ssize_t got = recv(end->fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0) {
        if (send(end->other->fd, bytes, static_cast<size_t>(got), MSG_NOSIGNAL) < 0) return;
      } else if (got == 0) {
        shutdown(end->other->fd, SHUT_WR);
        close(end->fd);
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_net_relay net|asio|epoll LISTEN_PORT UPSTREAM_PORT\n");
    return 2;
  }
  auto listen_port = static_cast<uint16_t>(std::atoi(argv[2]));
  auto upstream_port = static_cast<uint16_t>(std::atoi(argv[3]));
  if (std::strcmp(argv[1], "net") == 0) {
    NetRelay relay;
    relay.run(listen_port, upstream_port);
  } else if (std::strcmp(argv[1], "asio") == 0) {
    run_asio(listen_port, upstream_port);
  } else {
    run_epoll(listen_port, upstream_port);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%ld\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  return 0;
}
