// Buffer chains against a plain string, block accounting, and sharing.
#include "dataplane/net/buffer.h"

#include <catch2/catch.hpp>

#include <cstring>
#include <random>
#include <thread>

using namespace fairlead::net;

namespace {
std::string letters(size_t n, unsigned seed = 0) {
  std::string s(n, ' ');
  for (size_t i = 0; i < n; ++i) s[i] = static_cast<char>('a' + (i * 7 + seed) % 26);
  return s;
}
}  // namespace

TEST_CASE("an appended string comes out again", "[buffer]") {
  for (size_t n : {size_t{0}, size_t{1}, size_t{511}, BlockPool::kSmallSize, BlockPool::kSmallSize + 1, size_t{100000}}) {
    Buffer b(letters(n));
    REQUIRE(b.size() == n);
    REQUIRE(b.to_string() == letters(n));
  }
}

TEST_CASE("random operations agree with a string", "[buffer]") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Buffer buffer;
    Buffer other;
    std::string model;
    std::string other_model;
    for (int step = 0; step < 60; ++step) {
      size_t n = random() % (random() % 8 == 0 ? 40000 : 700);
      std::string text = letters(n, static_cast<unsigned>(random()));
      switch (random() % 9) {
        case 0:
          buffer.append(text);
          model += text;
          break;
        case 1:
          buffer.prepend(text);
          model.insert(0, text);
          break;
        case 2: {
          size_t k = model.empty() ? 0 : random() % (model.size() + 1);
          buffer.drain(k);
          model.erase(0, k);
          break;
        }
        case 3: {
          size_t k = model.empty() ? 0 : random() % (model.size() + 1);
          buffer.move_to(other, k);
          other_model += model.substr(0, k);
          model.erase(0, k);
          break;
        }
        case 4:
          buffer.append(other);
          model += other_model;
          other_model.clear();
          break;
        case 5:
          buffer.append_external(std::make_shared<std::string>(text));
          model += text;
          break;
        case 6: {
          size_t k = model.empty() ? 0 : random() % (model.size() + 1);
          REQUIRE(buffer.linearize(k) == std::string_view(model).substr(0, k));
          break;
        }
        case 7: {
          char* room = buffer.reserve(n + 1);
          std::copy(text.begin(), text.end(), room);
          buffer.commit(n);
          model += text;
          break;
        }
        case 8: {
          Buffer copy = buffer.share();
          REQUIRE(copy.to_string() == model);
          copy.append("tail");  // must not write into shared bytes
          break;
        }
      }
      REQUIRE(buffer.size() == model.size());
      REQUIRE(buffer.to_string() == model);
      REQUIRE(other.to_string() == other_model);
    }
  }
}

TEST_CASE("find and starts_with see across slices", "[buffer]") {
  Buffer b;
  b.append_external(std::make_shared<std::string>(std::string(600, 'x')));
  b.append_external(std::make_shared<std::string>(std::string(600, 'y')));
  CHECK(b.find('y') == 600);
  CHECK(b.find('x', 599) == 599);
  CHECK(b.find('x', 600) == Buffer::npos);
  CHECK(b.find('z') == Buffer::npos);
  CHECK(b.starts_with(std::string(600, 'x') + "yy"));
  CHECK_FALSE(b.starts_with(std::string(601, 'x')));
  CHECK_FALSE(b.starts_with(std::string(1300, 'x')));
}

TEST_CASE("small tails are copied, large slices are linked", "[buffer]") {
  Buffer a("head");
  Buffer small("tail");
  a.append(small);
  iovec v[8];
  CHECK(a.iovecs(v, 8) == 1);
  Buffer large(letters(3000));
  a.append(large);
  CHECK(a.iovecs(v, 8) == 2);
  CHECK(large.empty());
}

TEST_CASE("bytes that come one by one between others cost no slice each", "[buffer]") {
  const std::string text = letters(40'000);
  const auto slices = [](const Buffer& buffer) {
    size_t n = 0;
    buffer.for_each_slice([&](std::string_view) { ++n; });
    return n;
  };
  Buffer in(text), moved, appended;
  std::string expected;
  for (size_t at = 0; at + 6 <= text.size(); at += 6) {  // as chunks of a byte
    in.drain(3);
    in.move_to(moved, 1);
    in.drain(2);
    expected += text[at + 3];
  }
  CHECK(moved.to_string() == expected);
  CHECK(slices(moved) <= 4);
  Buffer again(text);
  for (size_t at = 0; at + 6 <= text.size(); at += 6) {
    Buffer one;
    again.move_to(one, 1);
    again.drain(5);
    appended.append(one);
  }
  CHECK(appended.size() == expected.size());
  CHECK(slices(appended) <= 4);
  Buffer large(text), linked;  // a small piece behind a large one of the same block stays where it is
  large.move_to(linked, 1000);
  large.drain(10);
  large.move_to(linked, 100);
  CHECK(slices(linked) == 2);
}

TEST_CASE("a read reservation keeps what was filled and frees the rest", "[buffer]") {
  BlockPool::trim();
  Buffer b;
  Buffer::Reservation r;
  b.reserve_read(r, 64 * 1024);
  REQUIRE(r.count >= 4);
  std::memset(r.pieces[0].iov_base, 'q', 10);
  int blocks = r.count;
  b.commit_read(r, 10);
  CHECK(b.to_string() == std::string(10, 'q'));
  CHECK(BlockPool::cached_bytes() == static_cast<size_t>(blocks - 1) * 16384);
  b.reserve_read(r, 100);
  CHECK(r.first_is_tail);
  b.commit_read(r, 0);
  b.clear();
  CHECK(BlockPool::cached_bytes() == static_cast<size_t>(blocks) * 16384);
}

TEST_CASE("a head split over blocks becomes contiguous without quadratic copying", "[buffer]") {
  Buffer b;
  std::string model;
  for (int i = 0; i < 50; ++i) {
    std::string piece = letters(1000, static_cast<unsigned>(i));
    b.append_external(std::make_shared<std::string>(piece));
    model += piece;
    REQUIRE(b.linearize(model.size()) == model);
  }
}

TEST_CASE("small pieces for several buffers share a block and grow apart", "[buffer]") {
  Buffer first, second, third;
  {
    PieceBlock pieces;
    pieces.append_to(first, letters(100, 1));
    pieces.append_to(second, letters(128, 2));
    CHECK(second.front().data() == first.front().data() + 100);
    pieces.append_to(first, letters(50, 3));  // into a block of its own: beside it lies the second's
    first.append(letters(20, 4));
    pieces.append_to(third, letters(BlockPool::kSmallSize, 5));
    CHECK(third.front().data() != second.front().data() + 128);
  }
  second.append(letters(10, 6));
  second.prepend(letters(5, 7));
  CHECK(first.to_string() == letters(100, 1) + letters(50, 3) + letters(20, 4));
  CHECK(second.to_string() == letters(5, 7) + letters(128, 2) + letters(10, 6));
  CHECK(third.to_string() == letters(BlockPool::kSmallSize, 5));
  Buffer last;
  PieceBlock pieces;
  for (int i = 0; i < 100; ++i) {  // more than a block holds
    Buffer one;
    pieces.append_to(one, letters(100, static_cast<unsigned>(i)));
    CHECK(one.to_string() == letters(100, static_cast<unsigned>(i)));
    if (i == 99) last = std::move(one);
  }
  pieces.reset();
  CHECK(last.to_string() == letters(100, 99));
}

TEST_CASE("a buffer may move to another thread whole", "[buffer]") {
  Buffer b(letters(50000));
  std::string seen;
  std::thread([b = std::move(b), &seen]() mutable {
    seen = b.to_string();
    b.clear();
  }).join();
  CHECK(seen == letters(50000));
}
