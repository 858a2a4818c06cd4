// Debounce and the queue of intents to push, by a clock moved by hand.
#include <catch2/catch.hpp>

#include "controlplane/push/debounce.h"
#include "controlplane/push/queue.h"

using namespace fairlead;
using namespace fairlead::push;
using namespace std::chrono_literals;

namespace {
constexpr MonotonicTime t0{1h};
}

TEST_CASE("a burst is taken once, 100 ms after its last change") {
  Debouncer d;
  CHECK_FALSE(d.due());
  d.note(t0);
  d.note(t0 + 60ms);
  CHECK(*d.due() == t0 + 160ms);
  CHECK_FALSE(d.take(t0 + 159ms));
  CHECK(d.take(t0 + 160ms));
  CHECK_FALSE(d.take(t0 + 1h));
  CHECK_FALSE(d.due());
}

TEST_CASE("a burst that does not end is taken after a second") {
  Debouncer d;
  int taken = 0;
  for (auto t = 0ms; t < 3000ms; t += 50ms) {
    d.note(t0 + t);
    taken += d.take(t0 + t);
  }
  CHECK(taken == 2);
}

TEST_CASE("the first endpoint change goes at once, the next ones 20 ms apart") {
  FastPath f;
  f.note(t0);
  CHECK(*f.due() == t0);
  CHECK(f.take(t0));
  f.note(t0 + 5ms);
  f.note(t0 + 6ms);
  CHECK(*f.due() == t0 + 20ms);
  CHECK_FALSE(f.take(t0 + 19ms));
  CHECK(f.take(t0 + 20ms));
  f.note(t0 + 100ms);
  CHECK(f.take(t0 + 100ms));
}

TEST_CASE("a stream is in the queue once, however often it is wished for") {
  Queue q;
  q.add(1, t0);
  q.add(1, t0 + 1ms);
  q.add(2, t0 + 2ms);
  CHECK(q.waiting() == 2);
  const auto first = q.next();
  REQUIRE(first);
  CHECK(first->stream == 1);
  CHECK(first->merged == 2);
  CHECK(first->since == t0);
  CHECK(q.next()->stream == 2);
  CHECK_FALSE(q.next());
}

TEST_CASE("a busy stream gathers one merged entry and goes to the back of the line") {
  Queue q;
  q.add(1, t0);
  q.next();
  q.add(1, t0 + 5ms);
  q.add(2, t0 + 6ms);
  q.add(1, t0 + 7ms);
  CHECK(q.next()->stream == 2);
  CHECK_FALSE(q.next());
  CHECK(q.done(1));
  const auto again = q.next();
  REQUIRE(again);
  CHECK(again->stream == 1);
  CHECK(again->merged == 2);
  CHECK(again->since == t0 + 5ms);
  CHECK_FALSE(q.done(1));
  CHECK_FALSE(q.done(2));
  CHECK(q.busy() == 0);
}

TEST_CASE("a slow reader delays nobody") {
  Queue q;
  for (StreamId id = 0; id < 100; ++id) q.add(id, t0);
  q.next();  // 0 never finishes
  int served = 0;
  for (int round = 0; round < 3; ++round) {
    while (auto e = q.next()) {
      ++served;
      q.done(e->stream);
    }
    for (StreamId id = 0; id < 100; ++id) q.add(id, t0);
  }
  CHECK(served == 3 * 99);
  CHECK(q.busy() == 1);
}

TEST_CASE("a removed stream leaves nothing behind, and its id may come again") {
  Queue q;
  q.add(1, t0);
  q.remove(1);
  CHECK(q.waiting() == 0);
  CHECK_FALSE(q.next());
  q.add(2, t0);
  q.next();
  q.remove(2);
  CHECK_FALSE(q.done(2));
  CHECK(q.busy() == 0);
  q.add(1, t0);
  q.remove(1);
  q.add(1, t0 + 1ms);
  const auto e = q.next();
  REQUIRE(e);
  CHECK(e->since == t0 + 1ms);
  CHECK_FALSE(q.next());
}
