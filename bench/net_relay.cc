// A relay of bytes that parses nothing: what one proxied message costs before any HTTP. Builds of the same relay in one program:
//   net    on dataplane/net (its own epoll set, one registration per socket, one flush per turn)
//   asio   on Boost.Asio's readiness waits: one async_wait, so one epoll_ctl, per message
//   epoll  on bare epoll with fixed buffers: the floor of messages that fit a socket's buffer
//   splice through pipes, without copying: the floor of bulk
// Usage: bench_net_relay MODE LISTEN_PORT UPSTREAM_PORT; runs until SIGTERM, then prints its CPU time. bench/net_relay.sh drives it with wrk.
#include <fcntl.h>
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

#include "bench/loopback.h"
#include "dataplane/net/connection.h"
#include "dataplane/net/listener.h"

namespace net = fairlead::net;
using fairlead::bench::dial;
using fairlead::bench::listen_on;

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
      int up = dial(SOCK_STREAM, upstream_port);
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
          int up = dial(SOCK_STREAM, upstream_port);
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
        if (send(end->other->fd, bytes, static_cast<size_t>(got), MSG_NOSIGNAL) < 0) shutdown(end->fd, SHUT_RDWR);  // the other has gone
      } else if (got == 0) {
        shutdown(end->other->fd, SHUT_WR);
        close(end->fd);
      }
    }
  }
}

// --- splice
struct Way {
  int from, to;
  int pipe[2] = {-1, -1};
  size_t held = 0;
  bool readable = false, writable = true, ended = false;
};
constexpr size_t kPipe = 1 << 20;

bool pump(Way& way) {
  for (bool moved = true; moved;) {
    moved = false;
    if (way.readable && !way.ended && way.held < kPipe) {
      const ssize_t n = splice(way.from, nullptr, way.pipe[1], nullptr, kPipe - way.held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        way.held += static_cast<size_t>(n);
        moved = true;
      } else if (n == 0) {
        way.ended = true;
      } else if (way.held == 0) {
        way.readable = false;
      }
    }
    if (way.writable && way.held != 0) {
      const ssize_t n = splice(way.pipe[0], nullptr, way.to, nullptr, way.held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
      if (n > 0) {
        way.held -= static_cast<size_t>(n);
        moved = true;
      } else {
        way.writable = false;
      }
    }
  }
  return !way.ended || way.held != 0;
}

struct Spliced {
  int fd = -1;
  Way *in = nullptr, *out = nullptr;
};
void run_splice(uint16_t listen_port, uint16_t upstream_port) {
  struct sigaction action {};
  action.sa_handler = [](int) { ended = 1; };
  sigaction(SIGTERM, &action, nullptr);
  const int listener = listen_on(listen_port), set = epoll_create1(0);
  Spliced listening{listener};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = &listening;
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  while (!ended) {
    epoll_event events[256];
    const int n = epoll_wait(set, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      auto* end = static_cast<Spliced*>(events[i].data.ptr);
      if (end == &listening) {
        for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
          const int up = dial(SOCK_STREAM, upstream_port);
          fcntl(up, F_SETFL, O_NONBLOCK);
          auto *there = new Way{fd, up}, *back = new Way{up, fd};
          for (Way* way : {there, back}) {
            if (pipe2(way->pipe, O_NONBLOCK) != 0) std::exit(1);
            fcntl(way->pipe[1], F_SETPIPE_SZ, kPipe);
          }
          for (Spliced* each : {new Spliced{fd, there, back}, new Spliced{up, back, there}}) {
            tune(each->fd);
            epoll_event add{};
            add.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP;
            add.data.ptr = each;
            epoll_ctl(set, EPOLL_CTL_ADD, each->fd, &add);
          }
        }
        continue;
      }
      if (end->in->from < 0) continue;
      if ((events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)) != 0) end->in->readable = true;
      if ((events[i].events & EPOLLOUT) != 0) end->out->writable = true;
      if (!pump(*end->in)) shutdown(end->in->to, SHUT_WR);
      if (!pump(*end->out)) shutdown(end->out->to, SHUT_WR);
      if (!end->in->ended || !end->out->ended || end->in->from < 0) continue;
      close(end->in->from);
      close(end->in->to);
      for (Way* way : {end->in, end->out}) {
        close(way->pipe[0]);
        close(way->pipe[1]);
        way->from = -1;
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: bench_net_relay net|asio|epoll|splice LISTEN_PORT UPSTREAM_PORT\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);  // splice() knows no MSG_NOSIGNAL
  auto listen_port = static_cast<uint16_t>(std::atoi(argv[2]));
  auto upstream_port = static_cast<uint16_t>(std::atoi(argv[3]));
  if (std::strcmp(argv[1], "net") == 0) {
    NetRelay relay;
    relay.run(listen_port, upstream_port);
  } else if (std::strcmp(argv[1], "asio") == 0) {
    run_asio(listen_port, upstream_port);
  } else if (std::strcmp(argv[1], "splice") == 0) {
    run_splice(listen_port, upstream_port);
  } else {
    run_epoll(listen_port, upstream_port);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("%ld\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  return 0;
}
