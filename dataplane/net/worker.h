// A thread that runs an EventLoop. Connections, their codecs, timers and pools live and die on one worker.
// Owned by the main thread, which starts, posts to, stops and joins it.
#pragma once

#include <functional>
#include <string>
#include <thread>

#include "dataplane/net/event_loop.h"

namespace fairlead::net {

class Worker {
 public:
  Worker(unsigned index, std::string name);
  ~Worker();  // stop() and join()

  void start();
  void stop();  // asks the loop to end and joins
  void post(std::function<void()> job) { loop_.post(std::move(job)); }
  // Runs `job` on the worker and waits for it. Not from the worker itself; the worker must be started.
  void run_and_wait(std::function<void()> job);

  EventLoop& loop() { return loop_; }
  unsigned index() const { return index_; }

 private:
  unsigned index_;
  EventLoop loop_;
  std::thread thread_;
};

}  // namespace fairlead::net
