// Blocking sockets; see raw_socket.h.
#include "tests/integration/support/raw_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace fairlead::testing {
namespace {

constexpr int kPatienceMs = 10000;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

bool ready(int fd, short events, int wait_ms) {
  pollfd p{fd, events, 0};
  return ::poll(&p, 1, wait_ms) > 0;
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return a;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::string RawResponse::header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? "" : it->second;
}

RawSocket RawSocket::connect(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd);
    fail(std::string("connect: ") + std::strerror(errno));
  }
  const int one = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return RawSocket(fd);
}

RawSocket& RawSocket::operator=(RawSocket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    input_ = std::move(other.input_);
  }
  return *this;
}

void RawSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!ready(fd_, POLLOUT, kPatienceMs)) fail("send: the peer takes nothing");
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) fail(std::string("send: ") + std::strerror(errno));
    if (n > 0) bytes.remove_prefix(n);
  }
}

size_t RawSocket::send_some(std::string_view bytes, std::chrono::milliseconds wait) {
  size_t sent = 0;
  while (sent < bytes.size() && ready(fd_, POLLOUT, static_cast<int>(wait.count()))) {
    const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) return sent;
    if (n > 0) sent += n;
  }
  return sent;
}

bool RawSocket::fill() {
  if (!ready(fd_, POLLIN, kPatienceMs)) fail("read: nothing arrives; so far: " + input_.substr(0, 500));
  char bytes[65536];
  const ssize_t n = ::recv(fd_, bytes, sizeof bytes, 0);
  if (n <= 0) return false;
  input_.append(bytes, n);
  return true;
}

std::string RawSocket::read_until(std::string_view mark) {
  size_t at;
  while ((at = input_.find(mark)) == std::string::npos) {
    if (!fill()) fail("read: closed before '" + std::string(mark) + "'; got: " + input_.substr(0, 500));
  }
  std::string out = input_.substr(0, at + mark.size());
  input_.erase(0, out.size());
  return out;
}

std::string RawSocket::read_exactly(size_t n) {
  while (input_.size() < n) {
    if (!fill()) fail("read: closed after " + std::to_string(input_.size()) + " of " + std::to_string(n) + " bytes");
  }
  std::string out = input_.substr(0, n);
  input_.erase(0, n);
  return out;
}

std::string RawSocket::read_all() {
  while (fill()) {
  }
  return std::exchange(input_, {});
}

RawResponse RawSocket::read_response(bool head_request) {
  RawResponse out;
  out.head = read_until("\r\n\r\n");
  out.status = std::stoi(out.head.substr(9, 3));
  size_t at = out.head.find("\r\n") + 2;
  while (at + 2 < out.head.size()) {
    const size_t end = out.head.find("\r\n", at);
    const std::string line = out.head.substr(at, end - at);
    const size_t colon = line.find(':');
    size_t value = colon + 1;
    while (value < line.size() && line[value] == ' ') ++value;
    out.headers.emplace(lower(line.substr(0, colon)), line.substr(value));
    at = end + 2;
  }
  if (head_request || out.status == 204 || out.status == 304 || out.status / 100 == 1) return out;
  if (out.has("content-length")) {
    out.body = read_exactly(std::stoull(out.header("content-length")));
  } else if (out.header("transfer-encoding") == "chunked") {
    for (;;) {
      const size_t size = std::stoull(read_until("\r\n"), nullptr, 16);
      if (size == 0) break;
      out.body += read_exactly(size);
      read_exactly(2);
    }
    for (std::string line; (line = read_until("\r\n")) != "\r\n";) {
      const size_t colon = line.find(':');
      out.headers.emplace("trailer:" + lower(line.substr(0, colon)), line.substr(colon + 2, line.size() - colon - 4));
    }
  } else {
    out.body = read_all();
  }
  return out;
}

bool RawSocket::closed_by_peer() {
  while (fill()) {
  }
  return input_.empty();
}

bool RawSocket::quiet_for(std::chrono::milliseconds wait) { return input_.empty() && !ready(fd_, POLLIN, static_cast<int>(wait.count())); }
void RawSocket::shut_write() { ::shutdown(fd_, SHUT_WR); }

void RawSocket::reset() {
  const linger now{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close();
}

void RawSocket::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

RawServer::RawServer() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd_, 128) != 0 || ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail(std::string("listen: ") + std::strerror(errno));
  }
  port_ = ntohs(address.sin_port);
}

RawServer::~RawServer() { stop_listening(); }

RawSocket RawServer::accept() {
  if (!ready(fd_, POLLIN, kPatienceMs)) fail("accept: nobody connects");
  return RawSocket(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
}

bool RawServer::nobody_for(std::chrono::milliseconds wait) { return !ready(fd_, POLLIN, static_cast<int>(wait.count())); }

void RawServer::stop_listening() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

uint16_t unused_port() {
  RawServer server;
  return server.port();
}

}  // namespace fairlead::testing
