// Timers of one event loop: a hierarchical wheel, 4 levels of 256 slots, the lowest 1 ms wide (reach: 49 days).
// Arming stores the deadline; a later deadline leaves the timer in its old slot and it is queued again only when that slot
// comes up, so re-arming an idle timeout on every byte costs one store. A timer never fires early and up to 1 ms late.
// Owned by the EventLoop; every call on its thread. The wheel has no clock: advance() is told the time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

namespace fairlead::net {

using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

class TimerWheel;

// Intrusive: arming allocates nothing (a callback that captures only `this` does not either). Destroying disarms.
class Timer {
 public:
  Timer(TimerWheel& wheel, std::function<void()> callback) : wheel_(wheel), callback_(std::move(callback)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void arm(Duration after);  // from the wheel's current time; re-arms when armed
  void arm_at(TimePoint deadline);
  void disarm();
  bool armed() const { return armed_; }
  TimePoint deadline() const { return deadline_; }

 private:
  friend class TimerWheel;
  TimerWheel& wheel_;
  std::function<void()> callback_;
  TimePoint deadline_{};
  uint64_t queued_tick_ = 0;  // the tick at which its slot comes up
  Timer* prev_ = nullptr;
  Timer* next_ = nullptr;
  bool armed_ = false;
  bool queued_ = false;  // a disarmed timer leaves its slot at once
};

class TimerWheel {
 public:
  explicit TimerWheel(TimePoint now);
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  // Fires everything due at `now`. Callbacks may arm, disarm and destroy any timer.
  void advance(TimePoint now);
  // When advance() next has something to do; TimePoint::max() when nothing is armed. May be earlier than the first deadline.
  TimePoint next_wake() const;
  TimePoint now() const { return now_; }
  size_t queued() const { return queued_; }

 private:
  friend class Timer;
  static constexpr int kLevels = 4;
  static constexpr int kBits = 8;
  static constexpr int kSlots = 1 << kBits;

  uint64_t tick_of(TimePoint t) const;  // rounds up
  void queue(Timer& t);
  void unlink(Timer& t);
  void run_slot(int level, int slot);
  uint64_t next_tick() const;

  struct Level {
    Timer* slots[kSlots] = {};
    uint64_t used[kSlots / 64] = {};
  };
  TimePoint origin_;
  TimePoint now_;
  uint64_t tick_ = 0;  // ticks up to and including this one have run
  size_t queued_ = 0;
  Timer* running_ = nullptr;  // what remains of the slot being run
  Level levels_[kLevels];
};

}  // namespace fairlead::net
