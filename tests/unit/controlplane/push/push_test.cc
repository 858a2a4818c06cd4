// Debounce and the queue of intents to push, by a clock moved by hand.
#include <catch2/catch.hpp>

#include <array>
#include <deque>

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
  Queue::Place one(1), two(2);
  q.add(one, t0);
  q.add(one, t0 + 1ms);
  q.add(two, t0 + 2ms);
  CHECK(q.waiting() == 2);
  CHECK(one.wants());
  const auto first = q.next();
  REQUIRE(first);
  CHECK(first->place == &one);
  CHECK(first->place->id() == 1);
  CHECK(first->merged == 2);
  CHECK(first->since == t0);
  CHECK_FALSE(one.wants());
  CHECK(q.next()->place == &two);
  CHECK_FALSE(q.next());
  CHECK(q.waiting() == 0);
}

TEST_CASE("a busy stream gathers one merged entry and goes to the back of the line") {
  Queue q;
  Queue::Place one(1), two(2);
  q.add(one, t0);
  q.next();
  q.add(one, t0 + 5ms);
  q.add(two, t0 + 6ms);
  q.add(one, t0 + 7ms);
  CHECK(one.wants());
  CHECK(q.next()->place == &two);
  CHECK_FALSE(q.next());
  CHECK(q.done(one));
  const auto again = q.next();
  REQUIRE(again);
  CHECK(again->place == &one);
  CHECK(again->merged == 2);
  CHECK(again->since == t0 + 5ms);
  CHECK_FALSE(q.done(one));
  CHECK_FALSE(q.done(two));
  CHECK(q.busy() == 0);
}

TEST_CASE("a slow reader delays nobody") {
  Queue q;
  std::deque<Queue::Place> places;
  for (StreamId id = 0; id < 100; ++id) q.add(places.emplace_back(id), t0);
  q.next();  // 0 never finishes
  int served = 0;
  for (int round = 0; round < 3; ++round) {
    while (auto e = q.next()) {
      ++served;
      q.done(*e->place);
    }
    for (Queue::Place& place : places) q.add(place, t0);
  }
  CHECK(served == 3 * 99);
  CHECK(q.busy() == 1);
}

TEST_CASE("a removed stream leaves nothing behind, wherever in line it was, and may come again") {
  Queue q;
  Queue::Place one(1), two(2), three(3);
  q.add(one, t0);
  q.remove(one);
  CHECK(q.waiting() == 0);
  CHECK_FALSE(q.next());
  q.add(two, t0);
  q.next();
  q.add(two, t0);
  q.remove(two);
  CHECK_FALSE(two.wants());
  CHECK_FALSE(q.done(two));
  CHECK(q.busy() == 0);
  q.remove(two);  // once more does no harm
  q.add(one, t0 + 1ms);
  const auto e = q.next();
  REQUIRE(e);
  CHECK(e->since == t0 + 1ms);
  CHECK_FALSE(q.next());
  q.done(one);

  std::array<Queue::Place*, 3> all{&one, &two, &three};
  for (Queue::Place* gone : all) {
    for (Queue::Place* place : all) q.add(*place, t0);
    q.remove(*gone);
    CHECK(q.waiting() == 2);
    for (Queue::Place* place : all) {
      if (place == gone) continue;
      const auto next = q.next();
      REQUIRE(next);
      CHECK(next->place == place);
      q.done(*place);
    }
    CHECK_FALSE(q.next());
    CHECK(q.waiting() == 0);
  }
}
