// Hashes over bytes, thin over libxxhash.
// Pure; a ContentHasher belongs to one thread.
// Invariant: results never change between versions: they appear in version strings and state files.
#include "base/hash.h"

#include <xxhash.h>

#include <new>

namespace fairlead {

namespace {
constexpr char kDigits[] = "0123456789abcdef";
}

std::uint64_t xx_hash64(std::string_view bytes, std::uint64_t seed) { return XXH64(bytes.data(), bytes.size(), seed); }

std::string ContentHash::hex() const { return hex64(high) + hex64(low); }

ContentHash content_hash(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

struct ContentHasher::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    if (xxh == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
};

ContentHasher::ContentHasher() : state_(std::make_unique<State>()) {}
ContentHasher::~ContentHasher() = default;

ContentHasher& ContentHasher::add(std::string_view bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
  return *this;
}

ContentHasher& ContentHasher::add_field(std::string_view bytes) { return add_integer(bytes.size()).add(bytes); }

ContentHasher& ContentHasher::add_integer(std::uint64_t value) {
  char bytes[8];  // little endian on every machine
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return add({bytes, sizeof bytes});
}

ContentHash ContentHasher::finish() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh);
  return {hash.high64, hash.low64};
}

std::string hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
  return out;
}

std::string hex64(std::uint64_t value) {
  std::string out(16, '0');
  for (int i = 15; i >= 0; --i, value >>= 4) out[static_cast<std::size_t>(i)] = kDigits[value & 15];
  return out;
}

bool is_hex64(std::string_view text, std::uint64_t value) {
  if (text.size() != 16) return false;
  for (int i = 15; i >= 0; --i, value >>= 4) {
    if (text[static_cast<std::size_t>(i)] != kDigits[value & 15]) return false;
  }
  return true;
}

}  // namespace fairlead
