// Lets a body through at a steady rate: keeps what comes and hands on, sixteen times a second, what the rate allows.
// Owned by a filter, one stream, one worker.
#pragma once

#include <cstdint>
#include <functional>

#include "dataplane/net/buffer.h"
#include "dataplane/net/timer.h"

namespace fairlead::filters::fault {

class RateLimiter {
 public:
  // `send` hands bytes on (all of them; `end` with the last); it may end the stream.
  RateLimiter(net::TimerWheel& timers, uint64_t bytes_per_second, std::function<void(net::Buffer&, bool end)> send);
  // Takes the bytes. `end`: these are the last.
  void add(net::Buffer& data, bool end);
  size_t held() const { return held_.size(); }
  bool done() const { return ended_ && held_.empty(); }
  void stop() { timer_.disarm(); }

 private:
  static constexpr uint32_t kTicksPerSecond = 16;  // Envoy 1.40: 63 ms
  void release();

  net::Timer timer_;
  std::function<void(net::Buffer&, bool)> send_;
  uint64_t per_tick_;
  uint64_t tokens_;
  net::Buffer held_;
  bool ended_ = false;
};

}  // namespace fairlead::filters::fault
