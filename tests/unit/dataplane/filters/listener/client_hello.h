// ClientHellos as bytes, built from parts. For tests.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::testing {

inline std::string u8(size_t v) { return std::string(1, static_cast<char>(v)); }
inline std::string u16(size_t v) { return u8(v >> 8 & 255) + u8(v & 255); }
inline std::string u24(size_t v) { return u8(v >> 16 & 255) + u16(v & 0xffff); }
inline std::string sized8(const std::string& s) { return u8(s.size()) + s; }
inline std::string sized16(const std::string& s) { return u16(s.size()) + s; }

struct HelloOptions {
  uint16_t version = 0x0303;
  std::vector<uint16_t> ciphers = {0x1301, 0xc02f};
  std::string compression = std::string(1, '\0');
  std::vector<std::pair<uint16_t, std::string>> extensions;
  bool no_extensions = false;
  std::string session = std::string(32, 's');
  HelloOptions& with(uint16_t type, std::string body) {
    extensions.emplace_back(type, std::move(body));
    return *this;
  }
  HelloOptions& name(const std::string& n) { return with(0, sized16(u8(0) + sized16(n))); }
  HelloOptions& alpn(const std::vector<std::string>& names) {
    std::string list;
    for (const std::string& n : names) list += sized8(n);
    return with(16, sized16(list));
  }
  HelloOptions& versions(const std::vector<uint16_t>& list) {
    std::string body;
    for (const uint16_t v : list) body += u16(v);
    return with(43, sized8(body));
  }
};

inline std::string message_of(const HelloOptions& o) {
  std::string ciphers, extensions;
  for (const uint16_t c : o.ciphers) ciphers += u16(c);
  for (const auto& [type, body] : o.extensions) extensions += u16(type) + sized16(body);
  const std::string body = u16(o.version) + std::string(32, 'r') + sized8(o.session) + sized16(ciphers) + sized8(o.compression) + (o.no_extensions ? "" : sized16(extensions));
  return u8(1) + u24(body.size()) + body;
}

inline std::string record(const std::string& payload, size_t type = 22) { return u8(type) + u16(0x0301) + sized16(payload); }

// In records of `size` bytes each.
inline std::string hello(const HelloOptions& o, size_t size = 16384) {
  const std::string message = message_of(o);
  std::string out;
  for (size_t at = 0; at < message.size(); at += size) out += record(message.substr(at, size));
  return out;
}

}  // namespace fairlead::testing
