// When to plan and when to push: gathers a burst of changes into one. Pure; time is passed in.
// Owned by the pipeline's thread.
#pragma once

#include <chrono>
#include <optional>

#include "base/clock.h"

namespace fairlead::push {

// Full changes: due once nothing was noted for `quiet`, at latest `max` after the first.
class Debouncer {
 public:
  explicit Debouncer(std::chrono::milliseconds quiet = std::chrono::milliseconds(100),
                     std::chrono::milliseconds max = std::chrono::milliseconds(1000))
      : quiet_(quiet), max_(max) {}
  void note(MonotonicTime now);
  std::optional<MonotonicTime> due() const;  // nothing noted: nothing due
  // True when due; what was noted is taken.
  bool take(MonotonicTime now);

 private:
  std::chrono::milliseconds quiet_, max_;
  std::optional<MonotonicTime> first_, last_;
};

// Endpoint changes: at once when the last push is `interval` old, else when it will be. Never waits longer.
class FastPath {
 public:
  explicit FastPath(std::chrono::milliseconds interval = std::chrono::milliseconds(20)) : interval_(interval) {}
  void note(MonotonicTime now);
  std::optional<MonotonicTime> due() const { return due_; }
  bool take(MonotonicTime now);

 private:
  std::chrono::milliseconds interval_;
  std::optional<MonotonicTime> due_, last_taken_;
};

}  // namespace fairlead::push
