// The free lists behind nghttp2's sessions.
#include "dataplane/http/h2/memory.h"

#include <catch2/catch.hpp>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace fairlead::h2;

TEST_CASE("pieces of every size are whole, aligned and used again", "[h2][memory]") {
  SessionMemory memory;
  nghttp2_mem& m = *memory.get();
  for (size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1024}, size_t{1025}, size_t{20'000}}) {
    std::vector<void*> pieces;
    for (int i = 0; i < 600; ++i) {
      void* piece = m.malloc(size, &memory);
      REQUIRE(piece != nullptr);
      REQUIRE(reinterpret_cast<uintptr_t>(piece) % 16 == 0);
      std::memset(piece, i, size);
      pieces.push_back(piece);
    }
    for (int i = 0; i < 600; ++i) {
      const std::string bytes(static_cast<char*>(pieces[static_cast<size_t>(i)]), size);
      REQUIRE((bytes == std::string(size, static_cast<char>(i))));
    }
    for (void* piece : pieces) m.free(piece, &memory);
  }
  void* piece = m.malloc(100, &memory);
  m.free(piece, &memory);
  CHECK(m.malloc(90, &memory) == piece);
  m.free(piece, &memory);
  m.free(nullptr, &memory);
}

TEST_CASE("zeroed and grown pieces hold what they should", "[h2][memory]") {
  SessionMemory memory;
  nghttp2_mem& m = *memory.get();
  void* dirty = m.malloc(200, &memory);
  std::memset(dirty, 'x', 200);
  m.free(dirty, &memory);
  auto* zero = static_cast<char*>(m.calloc(2, 100, &memory));
  CHECK(std::string(zero, 200) == std::string(200, '\0'));
  CHECK(m.calloc(SIZE_MAX, 2, &memory) == nullptr);
  std::memset(zero, 'y', 200);
  auto* larger = static_cast<char*>(m.realloc(zero, 5000, &memory));
  CHECK(std::string(larger, 200) == std::string(200, 'y'));
  auto* smaller = static_cast<char*>(m.realloc(larger, 10, &memory));
  CHECK(smaller == larger);
  m.free(smaller, &memory);
  auto* fresh = m.realloc(nullptr, 10, &memory);
  CHECK(fresh != nullptr);
  m.free(fresh, &memory);
}

TEST_CASE("a piece may be freed on another thread", "[h2][memory]") {
  SessionMemory memory;
  nghttp2_mem& m = *memory.get();
  void* piece = m.malloc(100, &memory);
  std::thread([&] { m.free(piece, &memory); }).join();
  CHECK(piece != nullptr);
}

TEST_CASE("sessions of a thread put their frames together in one room, and each further one is its own", "[h2][memory]") {
  SessionMemory a, b;
  constexpr size_t kSize = SessionMemory::kFrameRoom;
  const auto room = [](SessionMemory& of) { return of.get()->realloc(nullptr, kSize, &of); };
  void *first = room(a), *other = room(b), *second = room(a);
  CHECK(first == other);
  CHECK(second != first);
  std::memset(second, 'x', kSize);
  b.get()->free(other, &b);
  std::memset(first, 'y', kSize);
  CHECK(static_cast<char*>(second)[kSize - 1] == 'x');
  auto* grown = static_cast<char*>(a.get()->realloc(first, 2 * kSize, &a));
  CHECK(static_cast<void*>(grown) != first);
  CHECK(std::string(grown, kSize) == std::string(kSize, 'y'));
  a.get()->free(grown, &a);
  a.get()->free(second, &a);
  void* elsewhere = nullptr;
  SessionMemory c;
  std::thread([&] { elsewhere = room(c); }).join();
  CHECK(elsewhere != first);
  std::memset(elsewhere, 'z', kSize);  // outlives its thread
  c.get()->free(elsewhere, &c);
}
