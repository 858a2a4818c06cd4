// Free lists by size (memory.h).
#include "dataplane/http/h2/memory.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace fairlead::h2 {

namespace {

constexpr size_t kStep = 64;
constexpr size_t kClasses = 16;     // pieces of up to 1 KiB
constexpr uint32_t kMaxKept = 512;  // of a size and thread: at most 4 MiB in all

struct alignas(16) Head {  // in front of each piece
  uint32_t index;          // of its class; kClasses: straight from malloc
  uint32_t size;           // of the piece, without this
};

struct Free {
  Free* next;
};

struct Lists {
  Free* first[kClasses];
  uint32_t count[kClasses];
  bool guarded;
  bool closed;
};
constinit thread_local Lists lists{};

struct Guard {
  ~Guard() {
    lists.closed = true;
    for (Free*& first : lists.first) {
      while (first != nullptr) std::free(reinterpret_cast<Head*>(std::exchange(first, first->next)) - 1);
    }
  }
};

[[gnu::noinline]] void make_guard() {
  static thread_local Guard guard;
  (void)guard;
  lists.guarded = true;
}

void* fresh(uint32_t index, size_t size) {
  auto* head = static_cast<Head*>(std::malloc(sizeof(Head) + size));
  if (head == nullptr) return nullptr;
  head->index = index;
  head->size = static_cast<uint32_t>(size);
  return head + 1;
}

void* take(size_t size, void*) {
  if (size > kStep * kClasses) return fresh(kClasses, size);
  const auto index = static_cast<uint32_t>(size == 0 ? 0 : (size - 1) / kStep);
  Free* piece = lists.first[index];
  if (piece == nullptr) return fresh(index, (index + 1) * kStep);
  lists.first[index] = piece->next;
  --lists.count[index];
  return piece;
}

void give_piece(void* memory) {
  if (memory == nullptr) return;
  Head* head = static_cast<Head*>(memory) - 1;
  const uint32_t index = head->index;
  if (index == kClasses || lists.count[index] >= kMaxKept || lists.closed) {
    std::free(head);
    return;
  }
  if (!lists.guarded) make_guard();
  auto* piece = static_cast<Free*>(memory);
  piece->next = lists.first[index];
  lists.first[index] = piece;
  ++lists.count[index];
}

void* take_zeroed(size_t count, size_t size, void* user) {
  if (size != 0 && count > SIZE_MAX / size) return nullptr;
  void* memory = take(count * size, user);
  if (memory != nullptr) std::memset(memory, 0, count * size);
  return memory;
}

void* resize_piece(void* memory, size_t size) {
  if (memory == nullptr) return take(size, nullptr);
  const Head* head = static_cast<Head*>(memory) - 1;
  if (size <= head->size) return memory;
  void* larger = take(size, nullptr);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, memory, head->size);
  give_piece(memory);
  return larger;
}

// Nobody frees it while a session of the thread is left.
std::shared_ptr<char[]> frame_room() {
  static thread_local const std::shared_ptr<char[]> room(new char[SessionMemory::kFrameRoom]);
  return room;
}

}  // namespace

SessionMemory::SessionMemory() : memory_{this, take, give, take_zeroed, resize} {}

void SessionMemory::give(void* memory, void* self) {
  auto& lent = static_cast<SessionMemory*>(self)->frame_room_;
  if (memory != nullptr && memory == lent.get()) {
    lent.reset();
  } else {
    give_piece(memory);
  }
}

// Only the first such room of a session is the shared one: a head too long for one frame takes several at a time.
void* SessionMemory::resize(void* memory, size_t size, void* self) {
  auto& lent = static_cast<SessionMemory*>(self)->frame_room_;
  if (memory == nullptr && size == kFrameRoom && lent == nullptr) {
    lent = frame_room();
    return lent.get();
  }
  if (memory == nullptr || memory != lent.get()) return resize_piece(memory, size);
  if (size <= kFrameRoom) return memory;
  void* own = take(size, nullptr);
  if (own == nullptr) return nullptr;
  std::memcpy(own, memory, kFrameRoom);
  lent.reset();
  return own;
}

}  // namespace fairlead::h2
