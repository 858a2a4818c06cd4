// TextPool: the texts of a compiled table in few blocks, so that they lie side by side and are freed at once.
// Private to the room; filled on the main thread, then immutable. Views stay valid as long as the pool, wherever it is moved.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace fairlead::router {

class TextPool {
 public:
  std::string_view add(std::string_view text) {
    if (text.empty()) return {};
    if (text.size() > room_) grow(text.size());
    char* const at = next_;
    std::memcpy(at, text.data(), text.size());
    next_ += text.size();
    room_ -= text.size();
    return {at, text.size()};
  }

 private:
  static constexpr size_t first_block = 128, largest_block = 64 << 10;

  void grow(size_t atleast) {
    const size_t size = std::max(atleast, block_);
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    next_ = blocks_.back().get();
    room_ = size;
    block_ = std::min(2 * block_, largest_block);
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  char* next_ = nullptr;
  size_t room_ = 0, block_ = first_block;
};

}  // namespace fairlead::router
