// Listening sockets and accepting (listener.h).
#include "dataplane/net/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include <absl/strings/str_cat.h>

namespace fairlead::net {

namespace {

constexpr std::chrono::milliseconds kRetryAfterExhaustion{100};

absl::Status socket_error(int error, const Address& address, std::string_view what) {
  std::string text = absl::StrCat("cannot ", what, " '", address.to_string(), "': ", std::strerror(error));
  if (error == EADDRINUSE) return absl::AlreadyExistsError(text);
  return absl::Status(absl::ErrnoToStatusCode(error), text);
}

void set_flag(int fd, int level, int name, bool on) {
  int value = on ? 1 : 0;
  setsockopt(fd, level, name, &value, sizeof value);
}

// Whether some process still listens on a Unix path (a leftover file refuses connections).
bool unix_path_answers(const Address& address) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  sockaddr_storage storage;
  socklen_t size = address.to_sockaddr(storage);
  bool refused = connect(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 && (errno == ECONNREFUSED || errno == ENOENT);
  close(fd);
  return !refused;
}

// The number of the first descriptor that is not for those who connect. The kernel always gives the lowest one that is free.
int first_kept_back() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > INT_MAX) return INT_MAX;
  const int all = static_cast<int>(limit.rlim_cur);
  return all - std::min(all / 4, Listener::kMostKeptBack);
}

using When = ListenSocket::Options::SocketOption::When;

absl::Status set_options(int fd, const Address& address, const ListenSocket::Options& options, When when) {
  for (const auto& option : options.socket_options) {
    if (option.when != when || setsockopt(fd, option.level, option.name, option.bytes.data(), static_cast<socklen_t>(option.bytes.size())) == 0) continue;
    return socket_error(errno, address, absl::StrCat("set socket option ", option.name, " of level ", option.level, " for"));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> open_bound(const Address& address, const ListenSocket::Options& options, bool reuse_port) {
  int fd = socket(address.family(), (options.datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return socket_error(errno, address, "open a socket for");
  if (address.is_ip()) {
    // connections in TIME_WAIT do not hinder a restart. Of UDP it would let others share the port
    if (!options.datagrams) set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true);
    if (reuse_port) set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true);
    bool v6 = address.kind() == Address::Kind::V6;
    if (v6) set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only);
    if (options.datagrams && address.is_any()) set_flag(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, true);  // from the first one on
    if (options.transparent) set_flag(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, *options.transparent);
    if (options.freebind) set_flag(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND, *options.freebind);
  }
  absl::Status set = set_options(fd, address, options, When::BeforeBind);
  if (set.ok()) {
    sockaddr_storage storage;
    socklen_t size = address.to_sockaddr(storage);
    set = ::bind(fd, reinterpret_cast<sockaddr*>(&storage), size) != 0 ? socket_error(errno, address, "bind") : set_options(fd, address, options, When::Bound);
  }
  if (set.ok()) return fd;
  close(fd);
  return set;
}

absl::Status start_listening(int fd, const Address& address, const ListenSocket::Options& options) {
  if (!options.datagrams && ::listen(fd, options.backlog < 0 ? SOMAXCONN : options.backlog) != 0) return socket_error(errno, address, "listen on");
  return set_options(fd, address, options, When::Listening);
}

}  // namespace

absl::StatusOr<ListenSocket> ListenSocket::bind(const Address& address, const Options& options) {
  if (address.kind() == Address::Kind::None) return absl::InvalidArgumentError("cannot bind an empty address");
  ListenSocket s;
  s.options_ = options;
  bool path = address.kind() == Address::Kind::Unix && address.path()[0] != '@';
  if (path) {
    struct stat info;
    if (lstat(address.path().c_str(), &info) == 0) {
      if (!S_ISSOCK(info.st_mode)) return socket_error(EEXIST, address, "bind");
      if (unix_path_answers(address)) return socket_error(EADDRINUSE, address, "bind");
      unlink(address.path().c_str());
    }
  }
  if (!address.is_ip()) s.options_.reuse_port = false;
  auto fd = open_bound(address, options, false);
  if (!fd.ok()) return fd.status();
  s.fds_.push_back(*fd);
  if (path && options.unix_mode != 0 && chmod(address.path().c_str(), options.unix_mode) != 0) {
    return socket_error(errno, address, "set the mode of");
  }
  auto local = address.is_ip() ? Address::local_of(*fd) : absl::StatusOr<Address>(address);
  if (!local.ok()) return local.status();
  s.local_ = *local;
  return s;
}

ListenSocket ListenSocket::adopt(const Address& address, const Options& options, std::vector<int> descriptors) {
  ListenSocket s;
  s.local_ = address;
  s.options_ = options;
  if (!address.is_ip()) s.options_.reuse_port = false;
  s.fds_ = std::move(descriptors);
  for (const int fd : s.fds_) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  s.adopted_ = s.leave_path_ = true;
  return s;
}

// Those taken over keep their options, but for the backlog. Should the address not be open to further ones, workers share what there is.
absl::Status ListenSocket::listen_adopted(unsigned count) {
  for (const int fd : fds_) {
    if (!options_.datagrams && ::listen(fd, options_.backlog < 0 ? SOMAXCONN : options_.backlog) != 0) return socket_error(errno, local_, "listen on");
    if (options_.reuse_port && count > fds_.size()) set_flag(fd, SOL_SOCKET, SO_REUSEPORT, true);
  }
  while (options_.reuse_port && fds_.size() < count) {
    auto fd = open_bound(local_, options_, true);
    if (!fd.ok()) break;
    if (!start_listening(*fd, local_, options_).ok()) {
      close(*fd);
      break;
    }
    fds_.push_back(*fd);
  }
  return absl::OkStatus();
}

absl::Status ListenSocket::listen(unsigned count) {
  workers_ = std::max(count, 1u);
  if (adopted_) {
    listening_ = true;
    return listen_adopted(count);
  }
  if (absl::Status first = start_listening(fds_[0], local_, options_); !first.ok()) return first;
  listening_ = true;
  if (!options_.reuse_port || count <= 1) return absl::OkStatus();
  set_flag(fds_[0], SOL_SOCKET, SO_REUSEPORT, true);
  while (fds_.size() < count) {
    auto fd = open_bound(local_, options_, true);
    if (!fd.ok()) return fd.status();
    fds_.push_back(*fd);
    if (absl::Status more = start_listening(*fd, local_, options_); !more.ok()) return more;
  }
  return absl::OkStatus();
}

std::vector<int> ListenSocket::fds_of(unsigned i) const {
  std::vector<int> out;
  for (size_t at = i; at < fds_.size(); at += workers_) out.push_back(fds_[at]);
  if (out.empty() && !fds_.empty() && !options_.datagrams) out.push_back(fd(i));
  return out;
}

void ListenSocket::give_up() {
  leave_path_ = true;
  close_all();
}

ListenSocket::ListenSocket(ListenSocket&& other) noexcept
    : local_(other.local_),
      options_(other.options_),
      fds_(std::move(other.fds_)),
      workers_(other.workers_),
      listening_(other.listening_),
      adopted_(other.adopted_),
      leave_path_(other.leave_path_) {
  other.fds_.clear();
}

ListenSocket& ListenSocket::operator=(ListenSocket&& other) noexcept {
  if (this != &other) {
    close_all();
    local_ = other.local_;
    options_ = other.options_;
    fds_ = std::move(other.fds_);
    other.fds_.clear();
    workers_ = other.workers_;
    listening_ = other.listening_;
    adopted_ = other.adopted_;
    leave_path_ = other.leave_path_;
  }
  return *this;
}

ListenSocket::~ListenSocket() { close_all(); }

void ListenSocket::close_all() {
  if (fds_.empty()) return;
  for (int fd : fds_) close(fd);
  fds_.clear();
  if (!leave_path_ && local_.kind() == Address::Kind::Unix && local_.path()[0] != '@') unlink(local_.path().c_str());
}

Listener::Listener(EventLoop& loop, int listen_fd, AcceptEvents& events)
    : loop_(loop),
      events_(events),
      fd_(listen_fd),
      watch_(loop, *this),
      again_(LoopTask::of<&Listener::accept_some>(this)),
      retry_(loop.timers(), [this] { accept_some(); }),
      first_kept_back_(first_kept_back()) {
  watch_.add(fd_, EPOLLIN | EPOLLET);
}

Listener::~Listener() = default;

void Listener::pause() {
  paused_ = true;
  again_.cancel();
  retry_.disarm();
  watch_.remove();
}

void Listener::resume() {
  if (!paused_) return;
  paused_ = false;
  watch_.add(fd_, EPOLLIN | EPOLLET);  // adding reports what is already waiting
}

void Listener::on_fd_ready(uint32_t) {
  if (!retry_.armed()) accept_some();
}

void Listener::put_off() {
  scarce_ = true;
  ++failures_;
  retry_.arm(kRetryAfterExhaustion);
  events_.on_exhausted();
}

bool Listener::descriptors_to_spare() {
  first_kept_back_ = first_kept_back();  // it may have been raised
  const int next = fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (next >= 0) close(next);
  return next >= 0 && next < first_kept_back_;
}

void Listener::accept_some() {
  if (scarce_ && !paused_ && !descriptors_to_spare()) return put_off();
  scarce_ = false;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    if (paused_) return;
    sockaddr_storage storage;
    socklen_t size = sizeof storage;
    int fd = accept4(fd_, reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      ++accepted_;
      events_.on_accept(fd, Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), size));
      if (fd >= first_kept_back_ && !paused_) return put_off();
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        return put_off();
      case EBADF:
      case EINVAL:
      case ENOTSOCK:
        return;  // not listening any more
      default:   // the connection failed while it waited: the next may be fine
        break;
    }
  }
  loop_.run_soon(again_);
}

}  // namespace fairlead::net
