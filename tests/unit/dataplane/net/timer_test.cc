// The timer wheel under a made-up clock.
#include "dataplane/net/timer.h"

#include <catch2/catch.hpp>

#include <memory>
#include <random>
#include <vector>

using namespace fairlead::net;
using namespace std::chrono_literals;

namespace {
const TimePoint kStart{std::chrono::hours(100)};
}

TEST_CASE("a timer fires once, not early and at most a millisecond late", "[timer]") {
  for (auto after : {0ms, 1ms, 2ms, 255ms, 256ms, 257ms, 1000ms, 65535ms, 65536ms, 70000ms, 3600000ms, 20000000ms}) {
    TimerWheel wheel(kStart);
    int fired = 0;
    Timer timer(wheel, [&] { ++fired; });
    timer.arm(after);
    wheel.advance(kStart + after - 1us);
    CHECK(fired == 0);
    wheel.advance(kStart + after + 1ms);
    CHECK(fired == 1);
    CHECK_FALSE(timer.armed());
    wheel.advance(kStart + after + 10h);
    CHECK(fired == 1);
  }
}

TEST_CASE("a deadline beyond the wheel's reach still holds", "[timer]") {
  TimerWheel wheel(kStart);
  int fired = 0;
  Timer timer(wheel, [&] { ++fired; });
  timer.arm(100 * 24h);
  for (int day = 1; day < 100; ++day) wheel.advance(kStart + day * 24h);
  CHECK(fired == 0);
  wheel.advance(kStart + 100 * 24h + 1ms);
  CHECK(fired == 1);
}

TEST_CASE("re-arming later is lazy, re-arming earlier is exact", "[timer]") {
  TimerWheel wheel(kStart);
  int fired = 0;
  Timer timer(wheel, [&] { ++fired; });
  timer.arm(100ms);
  for (int i = 1; i <= 50; ++i) {
    wheel.advance(kStart + i * 10ms);
    timer.arm(100ms);
  }
  CHECK(fired == 0);
  wheel.advance(kStart + 599ms);
  CHECK(fired == 0);
  wheel.advance(kStart + 601ms);
  CHECK(fired == 1);
  timer.arm(1h);
  timer.arm(5ms);
  wheel.advance(kStart + 607ms);
  CHECK(fired == 2);
}

TEST_CASE("callbacks may arm, disarm and destroy timers", "[timer]") {
  TimerWheel wheel(kStart);
  std::vector<int> order;
  auto victim = std::make_unique<Timer>(wheel, [&] { order.push_back(99); });
  Timer other(wheel, [&] { order.push_back(2); });
  Timer killer(wheel, [&] {
    order.push_back(1);
    victim.reset();
    other.disarm();
    killer.arm(10ms);
  });
  killer.arm(5ms);
  wheel.advance(kStart + 4ms);
  victim->arm(50ms);
  other.arm(50ms);
  wheel.advance(kStart + 6ms);
  CHECK(order == std::vector<int>{1});
  killer.disarm();
  wheel.advance(kStart + 1s);
  CHECK(order == std::vector<int>{1});
  CHECK(wheel.queued() == 0);
  CHECK(wheel.next_wake() == TimePoint::max());
}

TEST_CASE("a timer that destroys itself in its callback is fine", "[timer]") {
  TimerWheel wheel(kStart);
  bool fired = false;
  struct Owner {
    std::unique_ptr<Timer> timer;
  };
  auto owner = std::make_unique<Owner>();
  owner->timer = std::make_unique<Timer>(wheel, [&] { fired = true; });
  owner->timer->arm(1ms);
  wheel.advance(kStart + 2ms);
  CHECK(fired);
}

TEST_CASE("next_wake is never later than the first deadline", "[timer]") {
  std::mt19937 random(3);
  TimerWheel wheel(kStart);
  std::vector<std::unique_ptr<Timer>> timers;
  TimePoint now = kStart;
  size_t fired = 0;
  for (int i = 0; i < 400; ++i) {
    timers.push_back(std::make_unique<Timer>(wheel, [&fired, &now, &timers, i] {
      ++fired;
      CHECK(timers[static_cast<size_t>(i)]->deadline() <= now);
      CHECK(now - timers[static_cast<size_t>(i)]->deadline() <= 1ms);
    }));
    timers.back()->arm(std::chrono::milliseconds(random() % 300000));
  }
  while (wheel.queued() != 0) {
    TimePoint wake = wheel.next_wake();
    for (auto& t : timers) {
      if (t->armed()) REQUIRE(wake <= t->deadline() + 1ms);
    }
    now = wake;
    wheel.advance(now);
  }
  CHECK(fired == 400);
}
