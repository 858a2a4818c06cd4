// Bump allocator of one stream: head block, header entries and whatever else lives exactly as long as the stream.
// Blocks are the thread's 4 KiB buffer blocks, so a reset arena costs nothing while its stream object waits for reuse.
// Runs no destructors: put only trivially destructible things into it. One thread.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "dataplane/net/buffer.h"

namespace fairlead::http {

class Arena {
 public:
  Arena() = default;
  ~Arena() { reset(); }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* allocate(size_t size, size_t alignment = alignof(std::max_align_t)) {
    char* at = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(cursor_) + alignment - 1) & ~(alignment - 1));
    if (cursor_ == nullptr || at + size > end_) return allocate_slow(size, alignment);
    cursor_ = at + size;
    return at;
  }
  char* bytes(size_t size) { return static_cast<char*>(allocate(size, 1)); }
  std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* to = bytes(text.size());
    std::memcpy(to, text.data(), text.size());
    return {to, text.size()};
  }
  template <class T, class... Args>
  T* make(Args&&... args) {
    static_assert(std::is_trivially_destructible_v<T>);
    return new (allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  // Everything handed out becomes invalid.
  void reset();
  size_t footprint() const { return footprint_; }

 private:
  void* allocate_slow(size_t size, size_t alignment);

  char* cursor_ = nullptr;
  char* end_ = nullptr;
  net::Block* blocks_ = nullptr;  // linked through Block::next
  size_t footprint_ = 0;
};

}  // namespace fairlead::http
