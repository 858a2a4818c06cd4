// Reading TLS's integers and length-prefixed vectors: every read says whether the bytes were there. Pure, of this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fairlead::filters::listener::tls_inspector {

class Wire {
 public:
  explicit Wire(std::string_view bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  size_t size() const { return rest_.size(); }

  bool number(size_t bytes, size_t& out) {
    if (rest_.size() < bytes) return false;
    out = 0;
    for (size_t i = 0; i < bytes; ++i) out = out << 8 | static_cast<uint8_t>(rest_[i]);
    rest_.remove_prefix(bytes);
    return true;
  }
  bool u16(uint16_t& out) {
    size_t value = 0;
    if (!number(2, value)) return false;
    out = static_cast<uint16_t>(value);
    return true;
  }
  bool take(size_t bytes, std::string_view& out) {
    if (rest_.size() < bytes) return false;
    out = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return true;
  }
  // A vector after its length of `prefix` bytes.
  bool vector(size_t prefix, std::string_view& out) {
    size_t length = 0;
    return number(prefix, length) && take(length, out);
  }

 private:
  std::string_view rest_;
};

// Types and versions that clients invent so that servers stay tolerant of them (RFC 8701): no part of a fingerprint.
inline bool is_grease(uint16_t value) { return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff); }

inline constexpr uint16_t kServerName = 0, kSupportedGroups = 10, kPointFormats = 11, kSignatureAlgorithms = 13, kAlpn = 16, kSupportedVersions = 43;

}  // namespace fairlead::filters::listener::tls_inspector
