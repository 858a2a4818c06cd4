// Clocks: the machine's and one that tests move by hand.
// Readable from any thread.
// Invariant: monotonic() never goes back.
#include "base/clock.h"

namespace fairlead {

RealClock& RealClock::instance() {
  static RealClock clock;
  return clock;
}

SimulatedClock::SimulatedClock(SystemTime start)
    : monotonic_ns_(std::chrono::nanoseconds(std::chrono::hours(1)).count()),
      system_ns_(std::chrono::duration_cast<std::chrono::nanoseconds>(start.time_since_epoch()).count()) {}

MonotonicTime SimulatedClock::monotonic() const {
  return MonotonicTime(std::chrono::nanoseconds(monotonic_ns_.load(std::memory_order_acquire)));
}

SystemTime SimulatedClock::system() const {
  return SystemTime(std::chrono::nanoseconds(system_ns_.load(std::memory_order_acquire)));
}

void SimulatedClock::advance(std::chrono::nanoseconds by) {
  if (by.count() <= 0) return;
  monotonic_ns_.fetch_add(by.count(), std::memory_order_acq_rel);
  system_ns_.fetch_add(by.count(), std::memory_order_acq_rel);
}

void SimulatedClock::set_system(SystemTime to) {
  system_ns_.store(std::chrono::duration_cast<std::chrono::nanoseconds>(to.time_since_epoch()).count(),
                   std::memory_order_release);
}

}  // namespace fairlead
