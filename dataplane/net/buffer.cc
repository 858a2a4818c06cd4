// Block pool and buffer chain (buffer.h).
#include "dataplane/net/buffer.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

namespace fairlead::net {

namespace {
constexpr uint32_t kKept = 32;  // slices that an empty buffer keeps room for: what once held hundreds is small again while it is idle

struct FreeList {
  Block* first;
  uint32_t count;
};
// Plain data, so that access needs no initialisation check; FreeListsGuard gives the memory back when the thread ends.
struct FreeLists {
  FreeList of[3];  // by Block::Kind, those that are cached
  bool guarded;    // the guard of this thread exists
  bool closed;     // the thread is ending: nothing is cached any more
};
constinit thread_local FreeLists lists{};
constexpr size_t kSizes[] = {BlockPool::kStreamSize, BlockPool::kSmallSize, BlockPool::kLargeSize};
constexpr uint32_t kMostCached[] = {BlockPool::kMaxCachedStream, BlockPool::kMaxCachedSmall, BlockPool::kMaxCachedLarge};

struct FreeListsGuard {
  ~FreeListsGuard() {
    lists.closed = true;
    BlockPool::trim();
  }
};

struct ExternalBlock : Block {
  std::shared_ptr<const std::string> owner;
};

Block* allocate(Block::Kind kind, size_t capacity) {
  void* memory = std::malloc(sizeof(Block) + capacity);
  if (memory == nullptr) throw std::bad_alloc();
  return new (memory) Block{nullptr, 1, static_cast<uint32_t>(capacity), kind};
}

[[gnu::noinline]] void make_guard() {
  static thread_local FreeListsGuard guard;
  (void)guard;
  lists.guarded = true;
}

// May this thread cache a block? A thread that only ever drops blocks needs its guard too.
bool may_cache() {
  if (!lists.guarded && !lists.closed) make_guard();
  return !lists.closed;
}

Block* take(Block::Kind kind) {
  FreeList& list = lists.of[static_cast<size_t>(kind)];
  Block* block = list.first;
  if (block == nullptr) return allocate(kind, kSizes[static_cast<size_t>(kind)]);
  list.first = block->next;
  --list.count;
  block->refs = 1;
  return block;
}

}  // namespace

Block* BlockPool::take_stream() { return take(Block::Kind::Stream); }
Block* BlockPool::take_small() { return take(Block::Kind::Small); }
Block* BlockPool::take_large() { return take(Block::Kind::Large); }
Block* BlockPool::take_heap(size_t capacity) { return allocate(Block::Kind::Heap, capacity); }

Block* BlockPool::make_external(std::shared_ptr<const std::string> owner) {
  auto* block = new ExternalBlock;
  block->next = nullptr;
  block->refs = 1;
  block->capacity = 0;
  block->kind = Block::Kind::External;
  block->owner = std::move(owner);
  return block;
}

void BlockPool::release(Block* block) {
  if (block->kind == Block::Kind::External) {
    delete static_cast<ExternalBlock*>(block);
    return;
  }
  if (block->kind != Block::Kind::Heap) {
    const auto kind = static_cast<size_t>(block->kind);
    FreeList& list = lists.of[kind];
    if (list.count < kMostCached[kind] && may_cache()) {
      block->next = list.first;
      list.first = block;
      ++list.count;
      return;
    }
  }
  std::free(block);
}

void BlockPool::trim() {
  for (FreeList& list : lists.of) {
    while (list.first != nullptr) {
      Block* block = list.first;
      list.first = block->next;
      std::free(block);
    }
    list.count = 0;
  }
}

size_t BlockPool::cached_bytes() {
  size_t bytes = 0;
  for (size_t kind = 0; kind < std::size(kSizes); ++kind) bytes += lists.of[kind].count * (kSizes[kind] + sizeof(Block));
  return bytes;
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    clear_storage();
    steal(other);
  }
  return *this;
}

void Buffer::steal(Buffer& other) {
  size_ = other.size_;
  head_ = other.head_;
  count_ = other.count_;
  capacity_ = other.capacity_;
  if (other.slices_ == other.inline_) {
    slices_ = inline_;
    std::copy(other.inline_ + head_, other.inline_ + head_ + count_, inline_ + head_);
  } else {
    slices_ = other.slices_;
  }
  other.size_ = 0;
  other.slices_ = other.inline_;
  other.head_ = other.count_ = 0;
  other.capacity_ = kInline;
}

void Buffer::clear_storage() {
  if (count_ == 0 && slices_ == inline_) {
    size_ = 0;
    head_ = 0;
    return;
  }
  for (uint32_t i = 0; i < count_; ++i) BlockPool::drop(at(i).block);
  if (slices_ != inline_) delete[] slices_;
  slices_ = inline_;
  size_ = 0;
  head_ = count_ = 0;
  capacity_ = kInline;
}

void Buffer::grow() {
  if (head_ >= capacity_ / 2 && head_ > 0) {  // room in front: shift instead
    std::copy(slices_ + head_, slices_ + head_ + count_, slices_);
    head_ = 0;
    return;
  }
  uint32_t capacity = capacity_ * 2 + 2;
  auto* slices = new Slice[capacity];
  std::copy(slices_ + head_, slices_ + head_ + count_, slices);
  if (slices_ != inline_) delete[] slices_;
  slices_ = slices;
  head_ = 0;
  capacity_ = capacity;
}

void Buffer::push_back(Block* block, char* data, uint32_t size) {
  if (head_ + count_ == capacity_) grow();
  slices_[head_ + count_++] = Slice{block, data, size};
  size_ += size;
}

void Buffer::push_front(Block* block, char* data, uint32_t size) {
  if (head_ == 0) {
    if (count_ == capacity_) grow();
    std::copy_backward(slices_, slices_ + count_, slices_ + count_ + 1);
    head_ = 1;
  }
  slices_[--head_] = Slice{block, data, size};
  ++count_;
  size_ += size;
}

void Buffer::pop_front() {
  BlockPool::drop(at(0).block);
  ++head_;
  if (--count_ != 0) return;
  head_ = 0;
  if (capacity_ <= kKept) return;
  delete[] slices_;
  slices_ = inline_;
  capacity_ = kInline;
}

size_t Buffer::tail_room() const {
  if (count_ == 0) return 0;
  const Slice& tail = at(count_ - 1);
  if (tail.block->refs != 1 || tail.block->kind == Block::Kind::External) return 0;
  return static_cast<size_t>(tail.block->data() + tail.block->capacity - (tail.data + tail.size));
}

void Buffer::append(std::string_view bytes) {
  if (bytes.empty()) return;
  size_t room = std::min(tail_room(), bytes.size());
  if (room != 0) {
    Slice& tail = at(count_ - 1);
    std::memcpy(tail.data + tail.size, bytes.data(), room);
    tail.size += static_cast<uint32_t>(room);
    size_ += room;
    bytes.remove_prefix(room);
  }
  while (!bytes.empty()) {
    Block* block = bytes.size() <= BlockPool::kSmallSize ? BlockPool::take_small() : BlockPool::take_large();
    size_t n = std::min<size_t>(block->capacity, bytes.size());
    std::memcpy(block->data(), bytes.data(), n);
    push_back(block, block->data(), static_cast<uint32_t>(n));
    bytes.remove_prefix(n);
  }
}

// Small pieces are copied where there is room, and into a new block rather than that small slices, each holding on to a block of which it is a byte,
// follow each other: a body in chunks of a byte must not cost more than its bytes. Behind a large slice of its own block a small piece stays.
void Buffer::append(Buffer& other) {
  if (&other == this) return;
  if (count_ == 0 && other.slices_ != other.inline_) {
    clear_storage();
    steal(other);
    return;
  }
  for (uint32_t i = 0; i < other.count_; ++i) {
    Slice& s = other.at(i);
    const Slice* tail = count_ != 0 ? &at(count_ - 1) : nullptr;
    if (s.size <= kCoalesce && tail != nullptr && (tail_room() >= s.size || tail->size <= kCoalesce || tail->block != s.block)) {
      append(std::string_view(s.data, s.size));
      BlockPool::drop(s.block);
    } else {
      push_back(s.block, s.data, s.size);
    }
  }
  other.count_ = other.head_ = 0;
  other.size_ = 0;
  if (other.capacity_ > kKept) other.clear_storage();
}

void Buffer::append_external(std::shared_ptr<const std::string> bytes) {
  if (bytes->size() <= kCoalesce) return append(std::string_view(*bytes));
  char* data = const_cast<char*>(bytes->data());  // never written: tail_room() of an external block is 0
  size_t left = bytes->size();
  Block* block = BlockPool::make_external(std::move(bytes));
  while (left > UINT32_MAX) {
    BlockPool::add_ref(block);
    push_back(block, data, UINT32_MAX);
    data += UINT32_MAX;
    left -= UINT32_MAX;
  }
  push_back(block, data, static_cast<uint32_t>(left));
}

void Buffer::prepend(std::string_view bytes) {
  if (bytes.empty()) return;
  if (count_ != 0) {
    Slice& front = at(0);
    if (front.block->refs == 1 && front.block->kind != Block::Kind::External &&
        static_cast<size_t>(front.data - front.block->data()) >= bytes.size()) {
      front.data -= bytes.size();
      front.size += static_cast<uint32_t>(bytes.size());
      size_ += bytes.size();
      std::memcpy(front.data, bytes.data(), bytes.size());
      return;
    }
  }
  while (!bytes.empty()) {  // from the end, each piece at the end of its block, so that more fits in front of it
    Block* block = bytes.size() <= BlockPool::kSmallSize ? BlockPool::take_small() : BlockPool::take_large();
    size_t n = std::min<size_t>(block->capacity, bytes.size());
    char* data = block->data() + block->capacity - n;
    std::memcpy(data, bytes.data() + bytes.size() - n, n);
    push_front(block, data, static_cast<uint32_t>(n));
    bytes.remove_suffix(n);
  }
}

void Buffer::drain(size_t n) {
  assert(n <= size_);
  size_ -= n;
  while (n != 0) {
    Slice& front = at(0);
    if (n < front.size) {
      front.data += n;
      front.size -= static_cast<uint32_t>(n);
      return;
    }
    n -= front.size;
    pop_front();
  }
}

void Buffer::move_to(Buffer& to, size_t n) {
  assert(n <= size_);
  if (n == size_) return to.append(*this);
  while (n != 0) {
    Slice& front = at(0);
    uint32_t take = static_cast<uint32_t>(std::min<size_t>(n, front.size));
    const Slice* tail = to.count_ != 0 ? &to.at(to.count_ - 1) : nullptr;
    if (take <= kCoalesce && tail != nullptr && (to.tail_room() >= take || tail->size <= kCoalesce || tail->block != front.block)) {  // as in append()
      to.append(std::string_view(front.data, take));
    } else {
      BlockPool::add_ref(front.block);
      to.push_back(front.block, front.data, take);
    }
    drain(take);
    n -= take;
  }
}

Buffer Buffer::share() const {
  Buffer copy;
  for (uint32_t i = 0; i < count_; ++i) {
    BlockPool::add_ref(at(i).block);
    copy.push_back(at(i).block, at(i).data, at(i).size);
  }
  return copy;
}

std::string_view Buffer::front() const {
  if (count_ == 0) return {};
  return {at(0).data, at(0).size};
}

std::string_view Buffer::linearize(size_t n) {
  assert(n <= size_);
  if (n == 0) return {};
  Slice& front = at(0);
  if (front.size >= n) return {front.data, n};
  // Extend the front block in place when it has the room, otherwise gather into a new one with space to spare: a head that
  // arrives in many small reads is then copied a logarithmic number of times.
  char* from = front.data;
  size_t have = front.size;
  Block* block = front.block;
  bool in_place = block->refs == 1 && block->kind != Block::Kind::External &&
                  static_cast<size_t>(block->data() + block->capacity - from) >= n;
  if (!in_place) {
    size_t wanted = std::max(n * 2, size_t{1024});
    block = wanted <= BlockPool::kSmallSize ? BlockPool::take_small()
            : wanted <= BlockPool::kLargeSize ? BlockPool::take_large() : BlockPool::take_heap(wanted);
    std::memcpy(block->data(), from, have);
    from = block->data();
  }
  uint32_t next = 1;
  while (have < n) {
    Slice& s = at(next);
    size_t take = std::min<size_t>(n - have, s.size);
    std::memcpy(from + have, s.data, take);
    have += take;
    if (take == s.size) {
      BlockPool::drop(s.block);
      ++next;
    } else {
      s.data += take;
      s.size -= static_cast<uint32_t>(take);
    }
  }
  if (!in_place) BlockPool::drop(at(0).block);
  head_ += next - 1;  // slices 1..next-1 went into the front one
  count_ -= next - 1;
  at(0) = Slice{block, from, static_cast<uint32_t>(have)};
  return {from, n};
}

int Buffer::iovecs(iovec* out, int max) const {
  int n = static_cast<int>(std::min<uint32_t>(count_, static_cast<uint32_t>(max)));
  for (int i = 0; i < n; ++i) out[i] = iovec{at(static_cast<uint32_t>(i)).data, at(static_cast<uint32_t>(i)).size};
  return n;
}

size_t Buffer::copy_out(size_t offset, void* to, size_t n) const {
  char* out = static_cast<char*>(to);
  size_t copied = 0;
  for (uint32_t i = 0; i < count_ && copied < n; ++i) {
    const Slice& s = at(i);
    if (offset >= s.size) {
      offset -= s.size;
      continue;
    }
    size_t take = std::min<size_t>(s.size - offset, n - copied);
    std::memcpy(out + copied, s.data + offset, take);
    copied += take;
    offset = 0;
  }
  return copied;
}

std::string Buffer::to_string() const {
  std::string text(size_, '\0');
  copy_out(0, text.data(), size_);
  return text;
}

size_t Buffer::find(char c, size_t from) const {
  size_t base = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    const Slice& s = at(i);
    if (from < base + s.size) {
      size_t skip = from > base ? from - base : 0;
      const void* hit = std::memchr(s.data + skip, c, s.size - skip);
      if (hit != nullptr) return base + static_cast<size_t>(static_cast<const char*>(hit) - s.data);
    }
    base += s.size;
  }
  return npos;
}

bool Buffer::starts_with(std::string_view prefix) const {
  if (prefix.size() > size_) return false;
  for (uint32_t i = 0; !prefix.empty(); ++i) {
    size_t n = std::min<size_t>(at(i).size, prefix.size());
    if (std::memcmp(at(i).data, prefix.data(), n) != 0) return false;
    prefix.remove_prefix(n);
  }
  return true;
}

char* Buffer::reserve(size_t n) {
  if (tail_room() >= n) return at(count_ - 1).data + at(count_ - 1).size;
  Block* block = n <= BlockPool::kSmallSize   ? BlockPool::take_small()
                 : n <= BlockPool::kLargeSize ? BlockPool::take_large()
                                              : BlockPool::take_heap(n);
  push_back(block, block->data(), 0);  // empty until commit(), which is the next call on this buffer
  return block->data();
}

void Buffer::commit(size_t n) {
  Slice& tail = at(count_ - 1);
  tail.size += static_cast<uint32_t>(n);
  size_ += n;
  if (tail.size == 0) {
    BlockPool::drop(tail.block);
    if (--count_ == 0) head_ = 0;
  }
}

void Buffer::reserve_read(Reservation& r, size_t want) {
  r.count = 0;
  r.first_is_tail = false;
  size_t have = tail_room();
  if (have >= BlockPool::kSmallSize / 2) {
    Slice& tail = at(count_ - 1);
    r.pieces[0] = iovec{tail.data + tail.size, have};
    r.blocks[0] = tail.block;
    r.first_is_tail = true;
    r.count = 1;
  } else {
    have = 0;
  }
  while (have < want && r.count < Reservation::kMax) {
    Block* block = BlockPool::take_large();
    r.pieces[r.count] = iovec{block->data(), block->capacity};
    r.blocks[r.count++] = block;
    have += block->capacity;
  }
}

void Buffer::commit_read(Reservation& r, size_t n) {
  for (int i = 0; i < r.count; ++i) {
    size_t take = std::min(n, r.pieces[i].iov_len);
    n -= take;
    if (i == 0 && r.first_is_tail) {
      at(count_ - 1).size += static_cast<uint32_t>(take);
      size_ += take;
    } else if (take == 0) {
      BlockPool::drop(r.blocks[i]);
    } else {
      push_back(r.blocks[i], static_cast<char*>(r.pieces[i].iov_base), static_cast<uint32_t>(take));
    }
  }
  r.count = 0;
}

void PieceBlock::append_to(Buffer& to, std::string_view bytes) {
  if (bytes.empty()) return;
  if (!to.empty() || bytes.size() > BlockPool::kSmallSize / 2) return to.append(bytes);
  if (block_ == nullptr || block_->capacity - used_ < bytes.size()) {
    reset();
    block_ = BlockPool::take_small();
  }
  char* at = block_->data() + used_;
  std::memcpy(at, bytes.data(), bytes.size());
  used_ += static_cast<uint32_t>(bytes.size());
  BlockPool::add_ref(block_);
  to.push_back(block_, at, static_cast<uint32_t>(bytes.size()));
}

void PieceBlock::reset() {
  if (block_ != nullptr) BlockPool::drop(block_);
  block_ = nullptr;
  used_ = 0;
}

}  // namespace fairlead::net
