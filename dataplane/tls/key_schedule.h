// What TLS 1.3 makes of a traffic secret (RFC 8446, 7.1 to 7.3): a key, an IV, the secret that comes after it. Pure; any thread. What is secret
// is overwritten when it goes. Private to the room.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fairlead::tls {

enum class Suite : uint8_t { kAes128Gcm, kAes256Gcm, kChaCha20Poly1305 };

// By the number that it has on the wire; none of others (CCM).
std::optional<Suite> suite_of(uint16_t id);
constexpr size_t key_size(Suite suite) { return suite == Suite::kAes128Gcm ? 16 : 32; }
constexpr size_t hash_size(Suite suite) { return suite == Suite::kAes256Gcm ? 48 : 32; }

struct TrafficSecret {
  std::array<unsigned char, 48> bytes{};
  uint8_t size = 0;

  TrafficSecret() = default;
  TrafficSecret(const TrafficSecret&) = default;
  TrafficSecret& operator=(const TrafficSecret&) = default;
  ~TrafficSecret();
};

// HMAC with the suites' hashes, of which a thread keeps one each: to look them up for each use costs more than to hash. False when OpenSSL fails.
enum class LabelHash : uint8_t { kSha256, kSha384 };
constexpr size_t kMaxHash = 48;
constexpr size_t size_of(LabelHash hash) { return hash == LabelHash::kSha384 ? 48 : 32; }
bool keyed_hash(LabelHash hash, const unsigned char* key, size_t key_size, const unsigned char* text, size_t size, unsigned char* out);
// What they made of the last key is overwritten. Whoever has used them does that when he is done.
void forget_keyed_hashes();

// HKDF-Expand-Label (RFC 8446, 7.1), of any size: exporters ask for more than one block. `secret` without data: false; also when OpenSSL fails.
bool expand_label(LabelHash hash, std::string_view secret, std::string_view prefix, std::string_view label, std::string_view context, unsigned char* out, size_t size);
// The same with an empty context and the suite's hash; `size` is at most that of the hash. False when OpenSSL fails.
bool expand_label(Suite suite, const TrafficSecret& secret, std::string_view label, unsigned char* out, size_t size);
// The secret that follows a KeyUpdate, in place. False when OpenSSL fails; the secret is then the old one.
bool next_secret(Suite suite, TrafficSecret& secret);

}  // namespace fairlead::tls
