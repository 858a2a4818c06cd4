// StringIndex: from a string to the numbers it was given, in two arrays: where each bucket begins, and the entries of all buckets one after the
// other, text included. A look-up in a large table so reads two places of memory, where a map of strings reads four or five.
// Private to the room; built on the main thread, immutable once finished.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/hash/hash.h>

namespace fairlead::router {

class StringIndex {
 public:
  // `key` must stay until finish(). Keys may come again: their values keep the order of adding.
  void add(std::string_view key, uint32_t value) { pending_.emplace_back(key, value); }
  void finish();  // call once after the last add

  bool empty() const { return words_.empty() && pending_.empty(); }

  // The values of `key`, none when it is not there. `stored`, when given, is set to the index's own copy of a key that is.
  std::span<const uint32_t> find(std::string_view key, std::string_view* stored = nullptr) const {
    if (words_.empty()) return {};
    const size_t bucket = absl::HashOf(key) & mask_;
    const uint32_t* at = words_.data() + buckets_[bucket];
    const uint32_t* const end = words_.data() + buckets_[bucket + 1];
    while (at != end) {
      const size_t size = *at >> 1;
      const size_t count = (*at & 1) != 0 ? *++at : 1;
      const uint32_t* const values = at + 1;
      const char* const text = reinterpret_cast<const char*>(values + count);
      if (std::string_view(text, size) == key) {
        if (stored != nullptr) *stored = {text, size};
        return {values, count};
      }
      at = values + count + words_of(size);
    }
    return {};
  }

 private:
  static constexpr size_t words_of(size_t bytes) { return (bytes + 3) / 4; }

  std::vector<std::pair<std::string_view, uint32_t>> pending_;
  std::vector<uint32_t> buckets_;  // where in words_ each begins; one more for the end
  std::vector<uint32_t> words_;    // entries: size of the text << 1 | has several values; their number if so; the values; the text
  size_t mask_ = 0;                // buckets are a power of two
};

}  // namespace fairlead::router
