// Socket addresses (address.h).
#include "dataplane/net/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <absl/status/status.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

namespace fairlead::net {

absl::StatusOr<Address> Address::from_ip(std::string_view ip, uint16_t port) {
  Address a;
  a.port_ = port;
  std::string text(ip);
  if (inet_pton(AF_INET, text.c_str(), a.bytes_.data()) == 1) {
    a.kind_ = Kind::V4;
    return a;
  }
  size_t percent = text.find('%');
  if (percent != std::string::npos) {
    std::string zone = text.substr(percent + 1);
    text.resize(percent);
    if (!absl::SimpleAtoi(zone, &a.scope_)) a.scope_ = if_nametoindex(zone.c_str());
    if (a.scope_ == 0) return absl::InvalidArgumentError(absl::StrCat("malformed IP address: ", ip, " (unknown zone)"));
  }
  if (inet_pton(AF_INET6, text.c_str(), a.bytes_.data()) == 1) {
    a.kind_ = Kind::V6;
    return a;
  }
  return absl::InvalidArgumentError(absl::StrCat("malformed IP address: ", ip));
}

absl::StatusOr<Address> Address::from_unix(std::string_view path) {
  if (path.empty()) return absl::InvalidArgumentError("empty Unix socket path");
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("Unix socket path longer than ", sizeof(sockaddr_un::sun_path) - 1, " bytes: ", path));
  }
  if (path.find('\0') != std::string_view::npos) return absl::InvalidArgumentError("Unix socket path with a NUL byte");
  Address a;
  a.kind_ = Kind::Unix;
  a.path_ = std::string(path);
  return a;
}

absl::StatusOr<Address> Address::parse(std::string_view text) {
  if (text.substr(0, 5) == "unix:") return from_unix(text.substr(5));
  if (!text.empty() && (text[0] == '/' || text[0] == '@')) return from_unix(text);
  size_t colon = text.rfind(':');
  uint32_t port = 0;
  if (colon == std::string_view::npos || !absl::SimpleAtoi(absl::string_view(text.data() + colon + 1, text.size() - colon - 1), &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("malformed address (want IP:PORT): ", text));
  }
  std::string_view ip = text.substr(0, colon);
  bool bracketed = ip.size() >= 2 && ip.front() == '[' && ip.back() == ']';
  if (bracketed) ip = ip.substr(1, ip.size() - 2);
  if (!bracketed && ip.find(':') != std::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("malformed address (want [IPv6]:PORT): ", text));
  }
  auto address = from_ip(ip, static_cast<uint16_t>(port));
  if (!address.ok()) return absl::InvalidArgumentError(absl::StrCat("malformed address (want IP:PORT): ", text));
  return address;
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t size) {
  Address a;
  if (address->sa_family == AF_INET) {
    auto* in = reinterpret_cast<const sockaddr_in*>(address);
    a.kind_ = Kind::V4;
    a.port_ = ntohs(in->sin_port);
    std::memcpy(a.bytes_.data(), &in->sin_addr, 4);
  } else if (address->sa_family == AF_INET6) {
    auto* in6 = reinterpret_cast<const sockaddr_in6*>(address);
    a.port_ = ntohs(in6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {  // a peer on a dual-stack socket is an IPv4 peer
      a.kind_ = Kind::V4;
      std::memcpy(a.bytes_.data(), in6->sin6_addr.s6_addr + 12, 4);
    } else {
      a.kind_ = Kind::V6;
      a.scope_ = in6->sin6_scope_id;
      std::memcpy(a.bytes_.data(), &in6->sin6_addr, 16);
    }
  } else if (address->sa_family == AF_UNIX) {
    auto* un = reinterpret_cast<const sockaddr_un*>(address);
    a.kind_ = Kind::Unix;
    size_t n = size > offsetof(sockaddr_un, sun_path) ? size - offsetof(sockaddr_un, sun_path) : 0;
    if (n != 0 && un->sun_path[0] == '\0') {
      a.path_ = absl::StrCat("@", std::string_view(un->sun_path + 1, n - 1));
    } else {
      a.path_ = std::string(un->sun_path, strnlen(un->sun_path, n));
    }
  }
  return a;
}

Address Address::v4_any(uint16_t port) {
  Address a;
  a.kind_ = Kind::V4;
  a.port_ = port;
  return a;
}

Address Address::v4_loopback(uint16_t port) {
  Address a = v4_any(port);
  a.bytes_[0] = 127;
  a.bytes_[3] = 1;
  return a;
}

absl::StatusOr<Address> Address::local_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return absl::ErrnoToStatus(errno, "getsockname");
  return from_sockaddr(reinterpret_cast<sockaddr*>(&storage), size);
}

absl::StatusOr<Address> Address::peer_of(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return absl::ErrnoToStatus(errno, "getpeername");
  return from_sockaddr(reinterpret_cast<sockaddr*>(&storage), size);
}

bool Address::is_any() const { return is_ip() && bytes_ == std::array<uint8_t, 16>{}; }

bool Address::is_loopback() const {
  if (kind_ == Kind::V4) return bytes_[0] == 127;
  if (kind_ != Kind::V6) return false;
  std::array<uint8_t, 16> loopback{};
  loopback[15] = 1;
  if (bytes_ == loopback) return true;
  std::array<uint8_t, 16> mapped{};
  mapped[10] = mapped[11] = 0xff;
  return std::equal(bytes_.begin(), bytes_.begin() + 12, mapped.begin()) && bytes_[12] == 127;
}

int Address::family() const {
  switch (kind_) {
    case Kind::V4: return AF_INET;
    case Kind::V6: return AF_INET6;
    case Kind::Unix: return AF_UNIX;
    case Kind::None: break;
  }
  return AF_UNSPEC;
}

Address Address::with_port(uint16_t port) const {
  Address a = *this;
  a.port_ = port;
  return a;
}

socklen_t Address::to_sockaddr(sockaddr_storage& out) const {
  std::memset(&out, 0, sizeof out);
  out.ss_family = static_cast<sa_family_t>(family());
  if (kind_ == Kind::V4) {
    auto* in = reinterpret_cast<sockaddr_in*>(&out);
    in->sin_port = htons(port_);
    std::memcpy(&in->sin_addr, bytes_.data(), 4);
    return sizeof *in;
  }
  if (kind_ == Kind::V6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&out);
    in6->sin6_port = htons(port_);
    in6->sin6_scope_id = scope_;
    std::memcpy(&in6->sin6_addr, bytes_.data(), 16);
    return sizeof *in6;
  }
  if (kind_ == Kind::Unix) {
    auto* un = reinterpret_cast<sockaddr_un*>(&out);
    std::memcpy(un->sun_path, path_.data(), path_.size());
    if (path_[0] != '@') return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size() + 1);
    un->sun_path[0] = '\0';
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
  }
  return 0;
}

std::string Address::ip_string() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (kind_ == Kind::Unix) return path_;
  if (!is_ip()) return "";
  inet_ntop(family(), bytes_.data(), text, sizeof text);
  return scope_ != 0 ? absl::StrCat(text, "%", scope_) : text;
}

std::string Address::to_string() const {
  if (kind_ == Kind::V4) return absl::StrCat(ip_string(), ":", port_);
  if (kind_ == Kind::V6) return absl::StrCat("[", ip_string(), "]:", port_);
  return path_;
}

}  // namespace fairlead::net
