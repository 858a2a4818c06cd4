// Arena blocks (arena.h).
#include "dataplane/http/arena.h"

namespace fairlead::http {
void* Arena::allocate_slow(size_t size, size_t alignment) {
  size_t wanted = size + alignment;
  net::Block* block = blocks_ == nullptr && wanted <= net::BlockPool::kStreamSize ? net::BlockPool::take_stream()
                      : wanted <= net::BlockPool::kSmallSize                      ? net::BlockPool::take_small()
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
    net::BlockPool::drop(block);
  }
  cursor_ = end_ = nullptr;
  footprint_ = 0;
}

}  // namespace fairlead::http
