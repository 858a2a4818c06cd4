// Hashes over bytes: xxHash64 (the one Envoy uses for consistent hashing and resource hashes) and a 128-bit content hash (XXH3).
// Pure; any thread. Neither is cryptographic: do not use them where an adversary gains by a collision.
// Invariant: results are the same on every machine and in every version; they appear in version strings and state files.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace fairlead {

std::uint64_t xx_hash64(std::string_view bytes, std::uint64_t seed = 0);

struct ContentHash {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  friend bool operator==(const ContentHash&, const ContentHash&) = default;
  friend auto operator<=>(const ContentHash&, const ContentHash&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const ContentHash& hash) {
    return H::combine(std::move(h), hash.high, hash.low);
  }
  std::string hex() const;  // 32 lower-case digits
};

ContentHash content_hash(std::string_view bytes);

// Hashes pieces as if they were one string. For several fields use add_field, which also mixes in the length,
// so that ("ab","c") and ("a","bc") differ.
class ContentHasher {
 public:
  ContentHasher();
  ~ContentHasher();
  ContentHasher(const ContentHasher&) = delete;
  ContentHasher& operator=(const ContentHasher&) = delete;

  ContentHasher& add(std::string_view bytes);
  ContentHasher& add_field(std::string_view bytes);
  ContentHasher& add_integer(std::uint64_t value);
  ContentHash finish() const;  // may go on afterwards

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hex(std::string_view bytes);        // lower-case
std::string hex64(std::uint64_t value);         // 16 digits
bool is_hex64(std::string_view text, std::uint64_t value);  // text == hex64(value)

}  // namespace fairlead
