// Time as a dependency: code that waits or stamps takes a Clock, so that tests drive it by hand.
// RealClock may be read from any thread; SimulatedClock likewise (its state is atomic), and is moved by one test thread.
// Invariant: monotonic() never goes back.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace fairlead {

using MonotonicTime = std::chrono::steady_clock::time_point;
using SystemTime = std::chrono::system_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime monotonic() const = 0;
  virtual SystemTime system() const = 0;
};

class RealClock final : public Clock {
 public:
  MonotonicTime monotonic() const override { return std::chrono::steady_clock::now(); }
  SystemTime system() const override { return std::chrono::system_clock::now(); }
  static RealClock& instance();
};

// Starts at monotonic 1 h and at the given system time (default 2020-01-01T00:00:00Z); moves only when told.
class SimulatedClock final : public Clock {
 public:
  static constexpr SystemTime default_start{std::chrono::seconds(1577836800)};
  explicit SimulatedClock(SystemTime start = default_start);

  MonotonicTime monotonic() const override;
  SystemTime system() const override;
  void advance(std::chrono::nanoseconds by);  // both times; a negative step is ignored
  void set_system(SystemTime to);             // a step of the wall clock alone, as NTP may do

 private:
  std::atomic<std::int64_t> monotonic_ns_;
  std::atomic<std::int64_t> system_ns_;
};

}  // namespace fairlead
