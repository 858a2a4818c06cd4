// Arena blocks (arena.h).
#include "dataplane/http/arena.h"

#include <algorithm>

namespace fairlead::http {
namespace {

// The first block of an arena holds an ordinary request with its router filter (some 2.4 KiB) and no more, since that is what a stream costs that
// waits for its answer. Kept on a list of the thread's own, as the pool's blocks are.
constexpr size_t kFirstSize = 2816 - sizeof(net::Block);
constexpr uint32_t kMaxCachedFirst = 1024;  // 2.75 MiB a thread at most

struct FirstBlocks {
  net::Block* free;
  uint32_t count;
  bool guarded;  // the guard of this thread exists
  bool closed;   // the thread is ending: nothing is cached any more
};
constinit thread_local FirstBlocks first{};

struct FirstBlocksGuard {
  ~FirstBlocksGuard() {
    first.closed = true;
    while (first.free != nullptr) {
      net::Block* block = first.free;
      first.free = block->next;
      net::BlockPool::drop(block);
    }
  }
};

[[gnu::noinline]] void make_guard() {
  static thread_local FirstBlocksGuard guard;
  (void)guard;
  first.guarded = true;
}

net::Block* take_first() {
  net::Block* block = first.free;
  if (block == nullptr) return net::BlockPool::take_heap(kFirstSize);
  first.free = block->next;
  --first.count;
  return block;
}

void give_back(net::Block* block) {
  if (block->kind != net::Block::Kind::Heap || block->capacity != kFirstSize || first.count >= kMaxCachedFirst || first.closed) return net::BlockPool::drop(block);
  if (!first.guarded) make_guard();
  block->next = first.free;
  first.free = block;
  ++first.count;
}

}  // namespace

void* Arena::allocate_slow(size_t size, size_t alignment) {
  size_t wanted = size + alignment;
  net::Block* block = blocks_ == nullptr && wanted <= kFirstSize       ? take_first()
                      : wanted <= net::BlockPool::kSmallSize ? net::BlockPool::take_small()
                                                             : net::BlockPool::take_heap(wanted);
  block->next = blocks_;
  blocks_ = block;
  footprint_ += block->capacity;
  uintptr_t start = (reinterpret_cast<uintptr_t>(block->data()) + alignment - 1) & ~(alignment - 1);
  char* at = reinterpret_cast<char*>(start);
  if (block->kind == net::Block::Kind::Small || cursor_ == nullptr) {  // a large single thing leaves the current block in use
    cursor_ = at + size;
    end_ = block->data() + block->capacity;
  }
  return at;
}

void Arena::reset() {
  while (blocks_ != nullptr) {
    net::Block* block = blocks_;
    blocks_ = block->next;
    give_back(block);
  }
  cursor_ = end_ = nullptr;
  footprint_ = 0;
}

}  // namespace fairlead::http
