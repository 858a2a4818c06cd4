// A socket address: IPv4, IPv6 or a Unix path ("@name" is Linux's abstract name). A value; no name is ever resolved here.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

namespace fairlead::net {

class Address {
 public:
  enum class Kind : uint8_t { None, V4, V6, Unix };

  Address() = default;
  static absl::StatusOr<Address> from_ip(std::string_view ip, uint16_t port);  // "10.0.0.1", "::1", "fe80::1%2"
  static absl::StatusOr<Address> parse(std::string_view text);                 // "10.0.0.1:80", "[::1]:80", "/path", "unix:/path", "@name"
  static absl::StatusOr<Address> from_unix(std::string_view path);
  static Address from_sockaddr(const sockaddr* address, socklen_t size);
  static Address v4_any(uint16_t port);
  static Address v4_loopback(uint16_t port);
  static absl::StatusOr<Address> local_of(int fd);
  static absl::StatusOr<Address> peer_of(int fd);

  Kind kind() const { return kind_; }
  bool is_ip() const { return kind_ == Kind::V4 || kind_ == Kind::V6; }
  bool is_any() const;       // 0.0.0.0 or ::
  bool is_loopback() const;  // 127/8, ::1, and v4-mapped 127/8
  int family() const;
  uint16_t port() const { return port_; }
  Address with_port(uint16_t port) const;
  const std::string& path() const { return path_; }  // Unix only
  // Network order: the first 4 bytes for V4, 16 for V6.
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  socklen_t to_sockaddr(sockaddr_storage& out) const;
  std::string to_string() const;  // "10.0.0.1:80", "[::1]:80", "/path": Envoy's form in logs and /clusters
  std::string ip_string() const;  // without port; the path for Unix

  friend bool operator==(const Address& a, const Address& b) {
    return a.kind_ == b.kind_ && a.port_ == b.port_ && a.scope_ == b.scope_ && a.bytes_ == b.bytes_ && a.path_ == b.path_;
  }
  template <typename H>
  friend H AbslHashValue(H h, const Address& a) {
    return H::combine(std::move(h), a.kind_, a.port_, a.bytes_, a.path_);
  }

 private:
  Kind kind_ = Kind::None;
  uint16_t port_ = 0;
  uint32_t scope_ = 0;
  std::array<uint8_t, 16> bytes_{};
  std::string path_;
};

}  // namespace fairlead::net
