// Bytes on their way through the proxy: a chain of slices over reference-counted blocks.
// Blocks come from the calling thread's BlockPool; a Buffer and everything that shares its blocks live on one thread,
// so counts are plain integers. A Buffer handed to another thread whole (with no sharer left behind) is fine.
// Invariant: no slice is empty; bytes of a block are written only while exactly one slice refers to it.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace fairlead::net {

// Header in front of a block's bytes. `pooled` blocks return to the pool of whichever thread drops them.
struct Block {
  enum class Kind : uint8_t { Stream, Small, Large, Heap, External };
  Block* next;  // free list
  uint32_t refs;
  uint32_t capacity;
  Kind kind;
  char* data() { return reinterpret_cast<char*>(this + 1); }
};

// Free lists of one thread. Small blocks (4 KiB) carry heads and short writes and what the per-stream arenas need more, large ones (16 KiB)
// carry reads. A stream's arena begins with a block that holds an ordinary request with its router filter (some 1.5 KiB) and its response, and no
// more, since that is what a stream costs that waits for its answer. An idle connection holds no block, so idle memory does not depend on these sizes.
class BlockPool {
 public:
  static constexpr size_t kStreamSize = 2304 - sizeof(Block);
  static constexpr size_t kSmallSize = 4096 - sizeof(Block);
  static constexpr size_t kLargeSize = 16384 - sizeof(Block);
  static constexpr uint32_t kMaxCachedStream = 1024; // 2.25 MiB a thread at most
  static constexpr uint32_t kMaxCachedSmall = 1024;  // 4 MiB a thread at most
  static constexpr uint32_t kMaxCachedLarge = 256;   // 4 MiB a thread at most

  static Block* take_stream();
  static Block* take_small();
  static Block* take_large();
  static Block* take_heap(size_t capacity);  // for one request larger than a large block
  static Block* make_external(std::shared_ptr<const std::string> owner);
  static void add_ref(Block* block) { ++block->refs; }
  static void drop(Block* block) {
    if (--block->refs == 0) release(block);
  }
  // Gives every cached block of this thread back to the allocator.
  static void trim();
  static size_t cached_bytes();

 private:
  static void release(Block* block);
};

class Buffer {
 public:
  static constexpr size_t npos = static_cast<size_t>(-1);
  static constexpr size_t kCoalesce = 512;  // slices up to this size are copied rather than linked
  static constexpr int kMaxIovecs = 64;

  Buffer() = default;
  explicit Buffer(std::string_view bytes) { append(bytes); }
  Buffer(Buffer&& other) noexcept { steal(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { clear_storage(); }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void append(std::string_view bytes);                            // copies
  void append(Buffer& other);                                     // moves all; `other` is empty afterwards
  void append(Buffer&& other) { append(other); }                  //
  void append_external(std::shared_ptr<const std::string> bytes); // no copy; the string is kept alive
  void prepend(std::string_view bytes);                           // small: framing in front of a body
  void drain(size_t n);                                           // n <= size()
  void clear() { drain(size_); }
  void move_to(Buffer& to, size_t n);                             // the first n bytes, to the end of `to`
  Buffer share() const;                                           // a second Buffer over the same blocks (retry, mirror)

  std::string_view front() const;                 // the first slice; empty view when empty
  std::string_view linearize(size_t n);           // makes the first n bytes contiguous (n <= size())
  int iovecs(iovec* out, int max) const;          // slices from the front; returns how many
  size_t copy_out(size_t offset, void* to, size_t n) const;
  std::string to_string() const;
  size_t find(char c, size_t from = 0) const;     // offset of the first c at or after `from`, or npos
  bool starts_with(std::string_view prefix) const;
  template <class F>
  void for_each_slice(F&& f) const {
    for (uint32_t i = 0; i < count_; ++i) f(std::string_view(slices_[head_ + i].data, slices_[head_ + i].size));
  }

  // Contiguous room for n bytes at the tail; valid until the next call on this buffer. commit(m), m <= n, makes them part of it.
  char* reserve(size_t n);
  void commit(size_t n);

  // Room for a readv: up to 8 pieces of at least `want` bytes in all. Commit takes what was filled and frees the rest.
  struct Reservation {
    static constexpr int kMax = 8;
    iovec pieces[kMax];
    Block* blocks[kMax];
    int count = 0;
    bool first_is_tail = false;
  };
  void reserve_read(Reservation& r, size_t want);
  void commit_read(Reservation& r, size_t n);

 private:
  friend class PieceBlock;
  struct Slice {
    Block* block;
    char* data;
    uint32_t size;
  };
  static constexpr uint32_t kInline = 3;

  Slice& at(uint32_t i) { return slices_[head_ + i]; }
  const Slice& at(uint32_t i) const { return slices_[head_ + i]; }
  size_t tail_room() const;
  void push_back(Block* block, char* data, uint32_t size);
  void push_front(Block* block, char* data, uint32_t size);
  void grow();
  void pop_front();
  void clear_storage();
  void steal(Buffer& other);

  size_t size_ = 0;
  Slice* slices_ = inline_;
  uint32_t head_ = 0;
  uint32_t count_ = 0;
  uint32_t capacity_ = kInline;
  Slice inline_[kInline];
};

// The beginnings of many buffers, small as most bodies are, side by side in one block rather than each in one of its own. A piece that stays
// keeps no more than it would there, and what follows it in its buffer goes into blocks of that buffer alone.
class PieceBlock {
 public:
  PieceBlock() = default;
  ~PieceBlock() { reset(); }
  PieceBlock(const PieceBlock&) = delete;
  PieceBlock& operator=(const PieceBlock&) = delete;

  void append_to(Buffer& to, std::string_view bytes);
  void reset();  // the next piece begins a block

 private:
  Block* block_ = nullptr;
  uint32_t used_ = 0;
};

}  // namespace fairlead::net
