// The free lists behind nghttp2's sessions.
#include "dataplane/http/h2/memory.h"

#include <catch2/catch.hpp>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace fairlead::h2;

TEST_CASE("pieces of every size are whole, aligned and used again", "[h2][memory]") {
  nghttp2_mem& m = *session_memory();
  for (size_t size : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1024}, size_t{1025}, size_t{20'000}}) {
    std::vector<void*> pieces;
    for (int i = 0; i < 600; ++i) {
      void* piece = m.malloc(size, nullptr);
      REQUIRE(piece != nullptr);
      REQUIRE(reinterpret_cast<uintptr_t>(piece) % 16 == 0);
      std::memset(piece, i, size);
      pieces.push_back(piece);
    }
    for (int i = 0; i < 600; ++i) {
      const std::string bytes(static_cast<char*>(pieces[static_cast<size_t>(i)]), size);
      REQUIRE((bytes == std::string(size, static_cast<char>(i))));
    }
    for (void* piece : pieces) m.free(piece, nullptr);
  }
  void* piece = m.malloc(100, nullptr);
  m.free(piece, nullptr);
  CHECK(m.malloc(90, nullptr) == piece);
  m.free(piece, nullptr);
  m.free(nullptr, nullptr);
}

TEST_CASE("zeroed and grown pieces hold what they should", "[h2][memory]") {
  nghttp2_mem& m = *session_memory();
  void* dirty = m.malloc(200, nullptr);
  std::memset(dirty, 'x', 200);
  m.free(dirty, nullptr);
  auto* zero = static_cast<char*>(m.calloc(2, 100, nullptr));
  CHECK(std::string(zero, 200) == std::string(200, '\0'));
  CHECK(m.calloc(SIZE_MAX, 2, nullptr) == nullptr);
  std::memset(zero, 'y', 200);
  auto* larger = static_cast<char*>(m.realloc(zero, 5000, nullptr));
  CHECK(std::string(larger, 200) == std::string(200, 'y'));
  auto* smaller = static_cast<char*>(m.realloc(larger, 10, nullptr));
  CHECK(smaller == larger);
  m.free(smaller, nullptr);
  auto* fresh = m.realloc(nullptr, 10, nullptr);
  CHECK(fresh != nullptr);
  m.free(fresh, nullptr);
}

TEST_CASE("a piece may be freed on another thread", "[h2][memory]") {
  nghttp2_mem& m = *session_memory();
  void* piece = m.malloc(100, nullptr);
  std::thread([&] { m.free(piece, nullptr); }).join();
  CHECK(piece != nullptr);
}
