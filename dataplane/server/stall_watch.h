// The watchdog: sees threads that do not come back to their event loop in time, counts them as Envoy does, and takes down where each was then: its
// stack goes to the log and to /stalls.
// A thread of its own looks ten times a second, or as often as the shortest timeout asks for, whether a loop has turned since. One that has not is
// sent a job, which wakes it where it merely slept: a busy loop is not disturbed at all.
// Owned by the server; the watched loops outlive it. recent() and counts() from any thread.
#pragma once

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/config/overload.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::server {

class StallWatch {
 public:
  struct Stall {
    std::string thread;
    std::chrono::system_clock::time_point began;  // when it was last seen to turn
    std::chrono::milliseconds lasted{0};          // so far, or altogether
    bool over = false;
    std::vector<std::string> frames;              // innermost first, as of its first notice; empty: the thread did not answer
  };
  struct Counts {
    uint64_t misses = 0, mega_misses = 0;
  };

  StallWatch() = default;
  ~StallWatch();
  StallWatch(const StallWatch&) = delete;

  // Before start(). The loop runs already, or will.
  void watch(std::string name, net::EventLoop& loop, const config::WatchdogConfig& limits);
  void start();
  void stop();

  std::vector<Stall> recent() const;     // the latest 32, newest first
  Counts counts(size_t watched) const;   // in the order of watch()
  // What is known of the threads and of their stalls, as JSON: of /stalls.
  std::string to_json() const;

  // The calling thread's stack, or that of another; symbols as far as the binary has them. Empty when it does not answer within `patience`.
  static std::vector<std::string> stack_of(pthread_t thread, std::chrono::milliseconds patience);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    std::string name;
    net::EventLoop* loop;
    config::WatchdogConfig limits;
    std::chrono::milliseconds kill{0};      // with its jitter
    std::shared_ptr<std::atomic<pthread_t>> thread;  // 0: it has not turned yet
    uint64_t turns = 0;
    Clock::time_point seen;                 // to have turned
    bool asked = false;                     // a job is on its way to it
    bool missed = false, mega_missed = false;
    Counts counts;                          // under mutex_
  };
  void run();
  void look(Clock::time_point now);
  void look_at(Watched& watched, Clock::time_point now);
  void ask(Watched& watched);
  void note(Watched& watched, std::chrono::milliseconds away);
  void note_over(Watched& watched, Clock::time_point now);
  void end_process_if_due(Clock::time_point now) const;

  std::vector<Watched> watched_;
  std::chrono::milliseconds interval_{100};
  Clock::time_point next_log_{};
  mutable std::mutex mutex_;  // stalls_, counts and stop_
  std::condition_variable wake_;
  bool stop_ = false;
  std::vector<Stall> stalls_;  // oldest first
  std::thread thread_;
};

}  // namespace fairlead::server
