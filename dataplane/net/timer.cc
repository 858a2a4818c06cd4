// Hierarchical timer wheel (timer.h). Tick t is due once now >= origin + t ms. Level l holds timers whose tick shares all but the
// lowest 8*(l+1) bits with the current tick; when a level's slot comes up its timers move down, or fire at level 0.
#include "dataplane/net/timer.h"

#include <algorithm>
#include <bit>

namespace fairlead::net {

namespace {
constexpr uint64_t kReach = (uint64_t{1} << 32) - 1;  // ticks ahead that the 4 levels cover
}

void Timer::arm(Duration after) { arm_at(wheel_.now() + std::max(after, Duration::zero())); }

void Timer::arm_at(TimePoint deadline) {
  deadline_ = deadline;
  armed_ = true;
  if (queued_) {
    if (wheel_.tick_of(deadline) >= queued_tick_) return;  // looked at again when its slot comes up
    wheel_.unlink(*this);
  }
  wheel_.queue(*this);
}

void Timer::disarm() {
  armed_ = false;
  if (queued_) wheel_.unlink(*this);
}

TimerWheel::TimerWheel(TimePoint now) : origin_(now), now_(now) {}

TimerWheel::~TimerWheel() {
  for (Level& level : levels_) {
    for (Timer* t : level.slots) {
      for (; t != nullptr; t = t->next_) t->queued_ = t->armed_ = false;
    }
  }
}

uint64_t TimerWheel::tick_of(TimePoint t) const {
  if (t <= origin_) return 0;
  auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(t - origin_).count();
  return (static_cast<uint64_t>(ns) + 999'999) / 1'000'000;
}

void TimerWheel::queue(Timer& t) {
  uint64_t tick = std::max(tick_of(t.deadline_), tick_ + 1);
  tick = std::min(tick, tick_ + kReach);  // farther deadlines are looked at again when the reach ends
  uint64_t differing = tick ^ tick_;
  int level = 0;
  while (level < kLevels - 1 && (differing >> (kBits * (level + 1))) != 0) ++level;
  if ((differing >> (kBits * kLevels)) != 0) {  // beyond the top level's wrap: looked at again when that comes
    tick = (tick_ | kReach) + 1;
    level = kLevels - 1;
  }
  int slot = static_cast<int>((tick >> (kBits * level)) & (kSlots - 1));
  t.queued_tick_ = (tick >> (kBits * level)) << (kBits * level);
  Level& l = levels_[level];
  t.prev_ = nullptr;
  t.next_ = l.slots[slot];
  if (t.next_ != nullptr) t.next_->prev_ = &t;
  l.slots[slot] = &t;
  l.used[slot / 64] |= uint64_t{1} << (slot % 64);
  t.queued_ = true;
  ++queued_;
}

void TimerWheel::unlink(Timer& t) {
  if (t.next_ != nullptr) t.next_->prev_ = t.prev_;
  if (t.prev_ != nullptr) {
    t.prev_->next_ = t.next_;
  } else if (running_ == &t) {
    running_ = t.next_;
  } else {
    for (int level = 0; level < kLevels; ++level) {  // the head of one of at most 4 slots
      int slot = static_cast<int>((t.queued_tick_ >> (kBits * level)) & (kSlots - 1));
      Level& l = levels_[level];
      if (l.slots[slot] == &t) {
        l.slots[slot] = t.next_;
        if (t.next_ == nullptr) l.used[slot / 64] &= ~(uint64_t{1} << (slot % 64));
        break;
      }
    }
  }
  t.prev_ = t.next_ = nullptr;
  t.queued_ = false;
  --queued_;
}

void TimerWheel::run_slot(int level, int slot) {
  Level& l = levels_[level];
  running_ = l.slots[slot];
  l.slots[slot] = nullptr;
  l.used[slot / 64] &= ~(uint64_t{1} << (slot % 64));
  while (running_ != nullptr) {
    Timer* t = running_;
    unlink(*t);
    if (tick_of(t->deadline_) > tick_) {
      queue(*t);
    } else {
      t->armed_ = false;
      t->callback_();  // may destroy t
    }
  }
}

uint64_t TimerWheel::next_tick() const {
  // At each level, the first used slot after the current one; the lowest level with one holds the earliest tick.
  for (int level = 0; level < kLevels; ++level) {
    int current = static_cast<int>((tick_ >> (kBits * level)) & (kSlots - 1));
    for (int word = (current + 1) / 64; current + 1 < kSlots && word < kSlots / 64; ++word) {
      uint64_t bits = levels_[level].used[word];
      if (word == (current + 1) / 64) bits &= ~uint64_t{0} << ((current + 1) % 64);
      if (bits == 0) continue;
      uint64_t slot = static_cast<uint64_t>(word * 64 + std::countr_zero(bits));
      uint64_t above = tick_ >> (kBits * (level + 1)) << (kBits * (level + 1));
      return above | (slot << (kBits * level));
    }
  }
  return (tick_ | kReach) + 1;  // only timers beyond the wrap are left
}

void TimerWheel::advance(TimePoint now) {
  now_ = std::max(now_, now);
  if (queued_ == 0) {
    tick_ = std::max(tick_, static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now_ - origin_).count()));
    return;
  }
  uint64_t target = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now_ - origin_).count());
  while (tick_ < target) {
    uint64_t next = queued_ == 0 ? UINT64_MAX : next_tick();
    if (next > target) {
      tick_ = target;
      return;
    }
    uint64_t before = tick_;
    tick_ = next;
    uint64_t crossed = before ^ tick_;
    for (int level = kLevels - 1; level >= 0; --level) {  // higher levels first: their timers may belong to this very tick
      if ((crossed >> (kBits * level)) == 0) continue;
      run_slot(level, static_cast<int>((tick_ >> (kBits * level)) & (kSlots - 1)));
    }
  }
}

TimePoint TimerWheel::next_wake() const {
  if (queued_ == 0) return TimePoint::max();
  return origin_ + std::chrono::milliseconds(next_tick());
}

}  // namespace fairlead::net
