// Unix sockets (channel.h).
#include "dataplane/server/restart/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace fairlead::server::restart {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kLargestFile = size_t{64} << 20;

absl::Status error_of(int error, std::string_view what) { return absl::ErrnoToStatus(error, absl::StrCat("hot restart: ", what)); }

absl::StatusOr<socklen_t> fill(sockaddr_un& to, const std::string& name) {
  to = {};
  to.sun_family = AF_UNIX;
  const bool abstract = absl::StartsWith(name, "@");
  if (name.empty() || name.size() >= sizeof to.sun_path) return absl::InvalidArgumentError(absl::StrCat("--socket-path: '", name, "' is no name for a socket: too long or empty"));
  std::memcpy(to.sun_path, name.data(), name.size());
  if (abstract) to.sun_path[0] = '\0';
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1));
}

// Descriptors of sockets that carry traffic are for processes of the same user alone (root may do anyway).
bool same_user(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

bool wait_for(int fd, short events, steady_clock::time_point end) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd p{fd, events, 0};
    const int n = poll(&p, 1, static_cast<int>(left.count()));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

std::vector<Descriptor> descriptors_of(msghdr& header) {
  std::vector<Descriptor> out;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      out.emplace_back(fd);
    }
  }
  return out;
}

}  // namespace

absl::StatusOr<std::pair<Channel, Channel>> Channel::pair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) return error_of(errno, "socketpair");
  return std::make_pair(Channel(Descriptor(fds[0])), Channel(Descriptor(fds[1])));
}

absl::StatusOr<Channel> Channel::connect(const std::string& name) {
  sockaddr_un address;
  FL_ASSIGN_OR_RETURN(const socklen_t size, fill(address, name));
  Descriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return error_of(errno, "socket");
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
    if (errno == ECONNREFUSED || errno == ENOENT) return absl::NotFoundError(absl::StrCat("hot restart: no process waits at '", name, "'"));
    return error_of(errno, absl::StrCat("connect to '", name, "'"));
  }
  if (!same_user(fd.get())) return absl::PermissionDeniedError(absl::StrCat("hot restart: the process at '", name, "' is another user's"));
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return Channel(std::move(fd));
}

absl::Status Channel::send(const Message& message, std::span<const int> descriptors, milliseconds patience) const {
  std::string bytes = encode(message);
  if (bytes.size() > kLargestPacket || descriptors.size() > kMostDescriptors)
    return absl::InvalidArgumentError(absl::StrCat("hot restart: a packet of ", bytes.size(), " bytes and ", descriptors.size(), " descriptors is too large"));
  iovec part{bytes.data(), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  if (!descriptors.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(c), descriptors.data(), descriptors.size_bytes());
  }
  const auto end = steady_clock::now() + patience;
  for (;;) {
    if (sendmsg(socket_.get(), &header, MSG_NOSIGNAL) >= 0) return absl::OkStatus();
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return absl::UnavailableError("hot restart: the other process has gone");
    if (errno == ETOOMANYREFS && steady_clock::now() < end) {  // as many descriptors as this user may have are under way: until some are read
      poll(nullptr, 0, 1);
      continue;
    }
    if (errno != EAGAIN) return error_of(errno, "send");
    if (!wait_for(socket_.get(), POLLOUT, end)) return absl::DeadlineExceededError("hot restart: the other process does not read");
  }
}

absl::StatusOr<std::optional<Packet>> Channel::receive() const {
  std::string bytes(kLargestPacket, '\0');
  iovec part{bytes.data(), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMostDescriptors * sizeof(int))];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  ssize_t n;
  bool reset = false;  // said once by a peer that went with unread packets of ours; what it sent before comes after that
  do {
    n = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !std::exchange(reset, true))));
  if (n < 0 && errno == EAGAIN) return std::nullopt;
  if (n < 0 && errno != ECONNRESET) return error_of(errno, "receive");
  if (n <= 0) return absl::UnavailableError("hot restart: the other process has gone");
  Packet out;
  out.descriptors = descriptors_of(header);
  const auto misfit = [] { return absl::InvalidArgumentError("hot restart: a packet is too long, or there is no room for its descriptors"); };
  if ((header.msg_flags & MSG_TRUNC) != 0) return misfit();
  FL_ASSIGN_OR_RETURN(out.message, decode(std::string_view(bytes).substr(0, static_cast<size_t>(n))));
  if ((header.msg_flags & MSG_CTRUNC) != 0 && !std::holds_alternative<UdpSessions>(out.message)) return misfit();
  return out;
}

absl::StatusOr<Packet> Channel::await(milliseconds patience) const {
  const auto end = steady_clock::now() + patience;
  for (;;) {
    auto got = receive();
    if (!got.ok()) return got.status();
    if (got->has_value()) return *std::move(*got);
    if (!wait_for(socket_.get(), POLLIN, end)) return absl::DeadlineExceededError("hot restart: the other process does not answer");
  }
}

absl::StatusOr<Rendezvous> Rendezvous::open(const std::string& name, unsigned mode) {
  sockaddr_un address;
  FL_ASSIGN_OR_RETURN(const socklen_t size, fill(address, name));
  const bool path = !absl::StartsWith(name, "@");
  if (path) {  // what a process left that could not tidy up
    const auto answers = Channel::connect(name);
    struct stat found{};
    if (absl::IsNotFound(answers.status()) && lstat(name.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(name.c_str());
  }
  Descriptor fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return error_of(errno, "socket");
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) {
    if (errno == EADDRINUSE) return absl::AlreadyExistsError(absl::StrCat("hot restart: another process waits at '", name, "' (see --base-id)"));
    return error_of(errno, absl::StrCat("bind '", name, "'"));
  }
  Rendezvous out(name, std::move(fd));
  if (path && mode != 0 && chmod(name.c_str(), mode) != 0) return error_of(errno, absl::StrCat("--socket-mode of '", name, "'"));
  if (listen(out.fd(), 8) != 0) return error_of(errno, absl::StrCat("listen at '", name, "'"));
  return out;
}

Rendezvous::~Rendezvous() {
  if (socket_ && !absl::StartsWith(name_, "@")) unlink(name_.c_str());
}

std::optional<Channel> Rendezvous::accept() const {
  Descriptor fd(accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd || !same_user(fd.get())) return std::nullopt;
  return Channel(std::move(fd));
}

std::string rendezvous_name(std::string_view socket_path, uint32_t base_id, uint32_t epoch) { return absl::StrCat(socket_path, "_fairlead_", base_id, "_", epoch); }

absl::StatusOr<Descriptor> memory_file(std::string_view content) {
  Descriptor fd(memfd_create("fairlead-statistics", MFD_CLOEXEC));
  if (!fd) return error_of(errno, "memfd_create");
  while (!content.empty()) {
    const ssize_t n = write(fd.get(), content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error_of(errno, "write of statistics");
    content.remove_prefix(static_cast<size_t>(n));
  }
  return fd;
}

absl::StatusOr<std::string> read_memory_file(int fd) {
  struct stat found{};
  if (fstat(fd, &found) != 0) return error_of(errno, "statistics");
  if (!S_ISREG(found.st_mode) || static_cast<size_t>(found.st_size) > kLargestFile) return absl::InvalidArgumentError("hot restart: statistics are no file, or too large a one");
  std::string out(static_cast<size_t>(found.st_size), '\0');
  size_t have = 0;
  while (have < out.size()) {
    const ssize_t n = pread(fd, out.data() + have, out.size() - have, static_cast<off_t>(have));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::InvalidArgumentError("hot restart: statistics are cut short");
    have += static_cast<size_t>(n);
  }
  return out;
}

}  // namespace fairlead::server::restart
