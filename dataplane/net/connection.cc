// Stream connections (connection.h).
// Reading: an edge sets readable_; reads go on until a short read clears it, because a later arrival makes a new edge. A FIN or
// error announced by the same edge (peer_ended_) is read to its end, whatever the length of the reads before it.
#include "dataplane/net/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "dataplane/net/dialing.h"
#include "dataplane/net/transport.h"

namespace fairlead::net {

namespace {
std::atomic<uint64_t> next_connection_id{1};
}

std::string_view close_reason_name(CloseReason reason) {
  switch (reason) {
    case CloseReason::Local: return "local close";
    case CloseReason::Remote: return "remote close";
    case CloseReason::RemoteReset: return "remote reset";
    case CloseReason::ConnectFailed: return "connect failed";
    case CloseReason::ConnectTimeout: return "connect timeout";
    case CloseReason::DelayedCloseTimeout: return "delayed close timeout";
  }
  return "";
}

Connection::Connection(EventLoop& loop, const Address& remote, const Options& options)
    : loop_(loop),
      watch_(loop, *this),
      flush_task_(LoopTask::of<&Connection::flush>(this)),
      resume_task_(LoopTask::of<&Connection::resume>(this)),
      id_(next_connection_id.fetch_add(1, std::memory_order_relaxed)),
      created_at_(loop.now()),
      options_(options),
      remote_(remote) {}

Connection::~Connection() { end_socket(false); }

ConnectionPtr Connection::adopt(EventLoop& loop, int fd, const Address& remote, const Options& options, std::unique_ptr<Transport> transport) {
  ConnectionPtr connection(new Connection(loop, remote, options));
  if (options.tcp_no_delay && remote.is_ip()) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  if (transport) {
    connection->transport_ = std::move(transport);
    connection->transport_->attach(fd);
    connection->state_ = State::Handshaking;
    if (options.handshake_timeout.count() > 0) connection->start_timer(options.handshake_timeout);
  }
  connection->watch_.add(fd);
  return connection;
}

ConnectionPtr Connection::connect(EventLoop& loop, const Address& remote, const Options& options) {
  ConnectionPtr connection(new Connection(loop, remote, options));
  connection->state_ = State::Connecting;
  connection->start_connect();
  return connection;
}

ConnectionPtr Connection::connect(EventLoop& loop, const Address& remote, const Options& options, Dial dial) {
  if (dial.others.empty() && !dial.preamble && !dial.transport) return connect(loop, remote, options);
  ConnectionPtr connection(new Connection(loop, remote, options));
  Connection* self = connection.get();
  self->state_ = State::Connecting;
  self->dialing_.reset(new Dialing(
      loop, std::move(dial), [self](const Address& to, int& error) { return self->open_socket(to, error); },
      [self](int fd, const Address& to, int error) { self->dialed(fd, to, error); }));
  self->start_connect();
  return connection;
}

ConnectionPtr Connection::over(EventLoop& loop, std::unique_ptr<Transport> transport, const Address& local, const Address& remote,
                               const Options& options) {
  ConnectionPtr connection(new Connection(loop, remote, options));
  connection->transport_ = std::move(transport);
  connection->local_ = local;
  return connection;
}

// A socket on its way to `to`, or -1 and why.
int Connection::open_socket(const Address& to, int& error) const {
  error = 0;
  int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    error = errno;
    return -1;
  }
  if (options_.tcp_no_delay && to.is_ip()) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  sockaddr_storage storage;
  if (options_.bind_to.kind() != Address::Kind::None) {
    if (options_.bind_to.port() == 0) {  // choose the port at connect, when the whole 4-tuple is known
      int on = 1;
      setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    }
    socklen_t size = options_.bind_to.to_sockaddr(storage);
    if (bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0) error = errno;
  }
  socklen_t size = to.to_sockaddr(storage);
  if (error == 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 && errno != EINPROGRESS) error = errno;
  if (error == 0) return fd;
  ::close(fd);
  return -1;
}

void Connection::start_connect() {
  if (dialing_ && dialing_->races()) {
    dialing_->begin(remote_);
  } else {
    int fd = open_socket(remote_, last_error_);
    if (fd < 0) return loop_.run_soon(resume_task_);
    watch_.add(fd);
  }
  if (options_.connect_timeout.count() > 0) start_timer(options_.connect_timeout);
}

// The end of a race: `fd` is connected to `to`, or every attempt has failed.
void Connection::dialed(int fd, const Address& to, int error) {
  last_error_ = error;
  if (fd < 0) return finish(CloseReason::ConnectFailed);
  remote_ = to;
  watch_.add(fd);
  connected();
}

void Connection::finish_connect() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(watch_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    last_error_ = error;
    return finish(CloseReason::ConnectFailed);
  }
  connected();
}

// The descriptor is; a transport has its handshake before it.
void Connection::connected() {
  if (dialing_) {
    std::string preamble;
    if (dialing_->preamble()) preamble = dialing_->preamble()(local_address(), remote_);
    attempts_ = dialing_->attempts();
    std::unique_ptr<Transport> transport;
    if (dialing_->transport()) transport = dialing_->transport()();
    dialing_.reset();
    if (transport) {
      // In clear, ahead of the transport's own bytes. A fresh socket has room for any header.
      if (!preamble.empty() && send(watch_.fd(), preamble.data(), preamble.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(preamble.size())) {
        last_error_ = errno;
        return finish(CloseReason::ConnectFailed);
      }
      transport_ = std::move(transport);
      transport_->attach(watch_.fd());
      state_ = State::Handshaking;
      return go_on_with_handshake();
    }
    output_.prepend(preamble);
  }
  become_open();
}

void Connection::go_on_with_handshake() {
  switch (transport_->handshake()) {
    case HandshakeState::Wait: return;
    case HandshakeState::Failed: return finish(CloseReason::ConnectFailed);
    case HandshakeState::Done: break;
  }
  // The peer's first bytes may have come with the end of its handshake, and be in the transport.
  readable_ = true;
  loop_.run_soon(resume_task_);
  become_open();
}

void Connection::become_open() {
  if (timer_) timer_->disarm();
  state_ = State::Open;
  if (!output_.empty() || end_write_) loop_.run_at_flush(flush_task_);
  if (events_ != nullptr) events_->on_connected();
}

void Connection::on_fd_ready(uint32_t ready) {
  if (state_ == State::Connecting) {
    if ((ready & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    finish_connect();
  }
  if (transport_) {
    if (state_ == State::Closed) return;
    ready = transport_->ready(ready);
    if (state_ == State::Handshaking) {
      go_on_with_handshake();
      if (state_ == State::Handshaking) return;
    }
  }
  if (state_ == State::Closed) return;
  if ((ready & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    readable_ = true;
    if ((ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer_ended_ = true;
  }
  if ((ready & EPOLLOUT) != 0 && write_blocked_) {
    write_blocked_ = false;
    loop_.run_at_flush(flush_task_);
  }
  if (!readable_) return;
  switch (state_) {
    case State::Open:
      if (read_disabled_ == 0) return read_ready();
      // Nobody reads, so the end would go unseen: report it unless half a connection is still of use.
      if ((ready & EPOLLERR) != 0) return finish(CloseReason::RemoteReset);
      if (peer_ended_ && !options_.half_close && early_close_) return finish(CloseReason::Remote);
      return;
    case State::Flushing:
      if ((ready & (EPOLLERR | EPOLLHUP)) != 0) finish(CloseReason::RemoteReset);
      return;
    case State::Lingering:
      return discard_input();
    case State::Connecting:
    case State::Handshaking:
    case State::Closed:
      return;
  }
}

Connection::ReadResult Connection::read_some(size_t& bytes) {
  if (transport_) {
    IoResult r = transport_->read(input_, BlockPool::kLargeSize * read_blocks_);
    bytes = r.bytes;
    bytes_received_ += r.bytes;
    last_error_ = r.error;
    switch (r.next) {
      case IoResult::Next::Again: return ReadResult::More;
      case IoResult::Next::Done: return ReadResult::Drained;
      case IoResult::Next::Closed: return ReadResult::End;
      case IoResult::Next::Error: return ReadResult::Error;
    }
  }
  Buffer::Reservation room;
  input_.reserve_read(room, BlockPool::kLargeSize * read_blocks_);
  size_t offered = 0;
  for (int i = 0; i < room.count; ++i) offered += room.pieces[i].iov_len;
  ssize_t n;
  do {
    n = room.count == 1 ? recv(watch_.fd(), room.pieces[0].iov_base, room.pieces[0].iov_len, 0)
                        : readv(watch_.fd(), room.pieces, room.count);
  } while (n < 0 && errno == EINTR);
  input_.commit_read(room, n > 0 ? static_cast<size_t>(n) : 0);
  if (n < 0) {
    if (errno == EAGAIN) return ReadResult::Drained;
    last_error_ = errno;
    return ReadResult::Error;
  }
  if (n == 0) return ReadResult::End;
  bytes = static_cast<size_t>(n);
  bytes_received_ += bytes;
  if (bytes == offered) {
    read_blocks_ = std::min<uint8_t>(static_cast<uint8_t>(read_blocks_ * 2), kMaxReadBlocks);
    return ReadResult::More;
  }
  read_blocks_ = 1;
  return peer_ended_ ? ReadResult::More : ReadResult::Drained;
}

// False when the connection is not to be read further.
bool Connection::deliver() {
  redeliver_ = false;
  bool end = read_eof_ && options_.half_close && !eof_delivered_;
  if (end) eof_delivered_ = true;
  // A reader that only looked and passed the connection on: the next one reads the same bytes, before anything else happens to them.
  const ConnectionEvents* reader = nullptr;
  do {
    reader = events_;
    if (events_ != nullptr) events_->on_data(input_, end);
  } while (events_ != nullptr && events_ != reader && state_ == State::Open && read_disabled_ == 0);
  return state_ == State::Open && read_disabled_ == 0;
}

void Connection::on_read_end() {
  read_eof_ = true;
  readable_ = false;
  if (!options_.half_close) return finish(CloseReason::Remote);
  deliver();
  if (state_ == State::Open && write_ended_) finish(CloseReason::Remote);
}

void Connection::read_ready() {
  size_t budget = kReadPerTurn;
  while (readable_) {
    size_t bytes = 0;
    ReadResult result = read_some(bytes);
    if (result == ReadResult::Drained) readable_ = false;
    if (bytes != 0 && !deliver()) {
      // Disabled by its reader with the end in sight: what on_fd_ready would do on a fresh edge.
      if (state_ == State::Open && peer_ended_ && !options_.half_close && early_close_) {
        if (result == ReadResult::End || input_.empty()) finish(CloseReason::Remote);
      }
      return;
    }
    if (result == ReadResult::End) return on_read_end();
    if (result == ReadResult::Error) {
      return finish(last_error_ == ECONNRESET || last_error_ == EPIPE ? CloseReason::RemoteReset : CloseReason::Remote);
    }
    const size_t cost = std::max(bytes, kReadPerTurn / 16);  // what a transport reads may come to next to nothing, and be work all the same
    if (cost >= budget) {
      if (readable_) loop_.run_soon(resume_task_);
      return;
    }
    budget -= cost;
  }
}

void Connection::read_enable() {
  if (--read_disabled_ != 0 || state_ != State::Open) return;
  if (!input_.empty()) redeliver_ = true;
  if (redeliver_ || readable_ || (read_eof_ && !eof_delivered_)) loop_.run_soon(resume_task_);
}

void Connection::resume() {
  switch (state_) {
    case State::Connecting:
      return finish(CloseReason::ConnectFailed);
    case State::Closed:
      return report_closed();
    case State::Handshaking:
    case State::Flushing:
    case State::Lingering:
      return;
    case State::Open:
      break;
  }
  if (read_disabled_ != 0) return;
  if (redeliver_ && !input_.empty() && !deliver()) return;
  if (read_eof_ && !eof_delivered_) return on_read_end();
  if (readable_) read_ready();
}

void Connection::went_high() {
  if (state_ == State::Closed) return;
  above_high_ = true;
  if (events_ != nullptr) events_->on_write_high();
}

void Connection::end_write() {
  end_write_ = true;
  if (state_ == State::Open) loop_.run_at_flush(flush_task_);
}

void Connection::write_failed(int error) {
  output_.clear();
  last_error_ = error;
  // The peer may have answered before it went away (a 413 and a close): read that first.
  if (state_ == State::Open && read_disabled_ == 0 && !read_eof_) {
    readable_ = peer_ended_ = write_blocked_ = true;
    loop_.run_soon(resume_task_);
    return;
  }
  finish(CloseReason::RemoteReset);
}

// False when the connection failed.
bool Connection::write_out() {
  while (!output_.empty() && !write_blocked_) {
    if (transport_) {
      IoResult r = transport_->write(output_);
      bytes_sent_ += r.bytes;
      if (r.next == IoResult::Next::Error || r.next == IoResult::Next::Closed) {
        write_failed(r.error);
        return false;
      }
      if (r.next == IoResult::Next::Done && !output_.empty()) write_blocked_ = true;
      continue;
    }
    iovec pieces[Buffer::kMaxIovecs];
    int count = output_.iovecs(pieces, Buffer::kMaxIovecs);
    size_t offered = 0;
    for (int i = 0; i < count; ++i) offered += pieces[i].iov_len;
    ssize_t n;
    do {
      if (count == 1) {
        n = send(watch_.fd(), pieces[0].iov_base, pieces[0].iov_len, MSG_NOSIGNAL);
      } else {
        msghdr message{};
        message.msg_iov = pieces;
        message.msg_iovlen = static_cast<size_t>(count);
        n = sendmsg(watch_.fd(), &message, MSG_NOSIGNAL);
      }
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      if (errno != EAGAIN) {
        write_failed(errno);
        return false;
      }
      n = 0;
    }
    output_.drain(static_cast<size_t>(n));
    bytes_sent_ += static_cast<uint64_t>(n);
    if (static_cast<size_t>(n) < offered) write_blocked_ = true;  // the kernel will make an EPOLLOUT edge
  }
  return true;
}

void Connection::flush() {
  if (state_ != State::Open && state_ != State::Flushing) return;
  uint64_t before = bytes_sent_;
  if (!write_out()) return;
  if (above_high_ && output_.size() <= options_.buffer_limit / 2) {
    above_high_ = false;
    if (events_ != nullptr) events_->on_write_low();
    if (state_ == State::Closed) return;
  }
  if (!output_.empty()) {
    if (state_ == State::Flushing && bytes_sent_ != before && options_.delayed_close.count() > 0) start_timer(options_.delayed_close);
    // What on_write_low added goes in the next turn; nothing is waited for if the socket still has room.
    if (!write_blocked_) loop_.run_at_flush(flush_task_);
    return;
  }
  if (state_ == State::Flushing) {
    if (linger_after_flush_) return linger();
    return finish(CloseReason::Local);
  }
  if (end_write_ && !write_ended_) {
    write_ended_ = true;
    if (transport_) {
      transport_->shutdown_write();
    } else {
      shutdown(watch_.fd(), SHUT_WR);
    }
    if (read_eof_) finish(CloseReason::Local);
  }
}

void Connection::linger() {
  state_ = State::Lingering;
  if (transport_) {
    transport_->shutdown_write();
  } else {
    shutdown(watch_.fd(), SHUT_WR);
  }
  write_ended_ = true;
  if (options_.delayed_close.count() <= 0 || read_eof_) return finish(CloseReason::Local);
  start_timer(options_.delayed_close);
  if (readable_) discard_input();
}

void Connection::discard_input() {
  for (size_t budget = kReadPerTurn; budget > 0;) {
    size_t bytes = 0;
    ReadResult result = read_some(bytes);
    input_.clear();
    if (result == ReadResult::Drained) {
      readable_ = false;
      return;
    }
    if (result != ReadResult::More) return finish(CloseReason::Local);
    budget -= std::min(budget, bytes);
  }
  finish(CloseReason::Local);  // more than any honest client has in flight
}

void Connection::close(CloseType type) {
  if (state_ == State::Closed || state_ == State::Lingering) {
    if (state_ == State::Closed || type == CloseType::Flush || type == CloseType::FlushAndWait) return;
  }
  bool flush_first = type == CloseType::Flush || type == CloseType::FlushAndWait;
  if (flush_first && state_ == State::Flushing) return;
  if (flush_first && state_ == State::Open && (!output_.empty() || type == CloseType::FlushAndWait)) {
    state_ = State::Flushing;
    linger_after_flush_ = type == CloseType::FlushAndWait;
    if (options_.delayed_close.count() > 0) start_timer(options_.delayed_close);
    loop_.run_at_flush(flush_task_);
    return;
  }
  close_reason_ = CloseReason::Local;
  state_ = State::Closed;
  end_socket(type == CloseType::Reset);
  loop_.run_soon(resume_task_);
}

void Connection::start_timer(std::chrono::milliseconds after) {
  if (!timer_) timer_ = std::make_unique<Timer>(loop_.timers(), [this] { on_timeout(); });
  timer_->arm(after);
}

void Connection::on_timeout() {
  if (state_ == State::Handshaking) transport_->handshake_timed_out();
  if (connecting()) return finish(CloseReason::ConnectTimeout);
  if (state_ == State::Flushing || state_ == State::Lingering) return finish(CloseReason::DelayedCloseTimeout);
}

void Connection::end_socket(bool reset) {
  flush_task_.cancel();
  resume_task_.cancel();
  if (timer_) timer_->disarm();
  if (dialing_) {
    attempts_ = dialing_->attempts();
    dialing_->stop();
    dialing_.reset();
  }
  int fd = watch_.fd();
  watch_.remove();
  if (transport_) {
    transport_->close(reset);
    return;
  }
  if (fd < 0) return;
  if (reset) {
    struct linger hard {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  }
  ::close(fd);
}

void Connection::finish(CloseReason reason, bool reset) {
  if (state_ == State::Closed) return;
  state_ = State::Closed;
  close_reason_ = reason;
  end_socket(reset);
  report_closed();
}

void Connection::report_closed() {
  if (reported_) return;
  reported_ = true;
  if (events_ != nullptr) events_->on_closed(close_reason_);
}

std::string_view Connection::transport_failure_reason() const { return transport_ ? transport_->failure_reason() : std::string_view(); }

const Address& Connection::local_address() const {
  if (local_.kind() == Address::Kind::None && watch_.fd() >= 0) {
    auto local = Address::local_of(watch_.fd());
    if (local.ok()) local_ = *local;
  }
  return local_;
}

}  // namespace fairlead::net
