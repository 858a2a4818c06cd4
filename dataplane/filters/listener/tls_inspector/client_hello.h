// What a TLS client says first: the server's name, the protocols it speaks, and its fingerprints. Pure: from bytes to a verdict, without a TLS
// library, so that nothing of an untrusted handshake is begun. Any prefix of a stream gets kMore or the verdict that the whole would get.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::filters::listener::tls_inspector {

inline constexpr size_t kMaxClientHello = 16 * 1024;  // Envoy 1.40: 16 KiB, of all records together

struct ClientHello {
  std::string server_name;                         // lower case; empty: none
  std::vector<std::string> application_protocols;  // in the client's order
  bool has_application_protocols = false;          // a well-formed list
  std::string ja3, ja4;                            // when asked for
};

enum class Verdict : uint8_t {
  kMore,      // not all of the ClientHello is there
  kTls,
  kNotTls,    // no ClientHello
  kRefused,   // a ClientHello of a version from before TLS 1.0 or after 1.3
  kTooLarge,  // `limit` bytes and no end
};

struct Inspection {
  Verdict verdict = Verdict::kMore;
  size_t bytes = 0;  // of the records looked at
  ClientHello hello;
};

struct Wanted {
  size_t limit = kMaxClientHello;
  bool ja3 = false;
  bool ja4 = false;
};

// `stream`: from its first byte, at most `limit` of it.
Inspection inspect(std::string_view stream, const Wanted& wanted);

// The name for filter chains and logs: one that is no host's gets '_' for every byte that no host's name has, and a mark in front.
std::string safe_name(std::string name);

// --- the parts, for the fingerprints ---

struct Extension {
  uint16_t type = 0;
  std::string_view body;
};

struct HelloParts {  // views into the message
  uint16_t version = 0;
  std::string_view cipher_suites;
  std::vector<Extension> extensions;
  const Extension* find(uint16_t type) const;
};

std::string ja3_of(const HelloParts& hello);
std::string ja4_of(const HelloParts& hello);

}  // namespace fairlead::filters::listener::tls_inspector
