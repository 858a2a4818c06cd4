// See rate_limiter.h.
#include "dataplane/filters/http/fault/rate_limiter.h"

#include <algorithm>

namespace fairlead::filters::fault {

RateLimiter::RateLimiter(net::TimerWheel& timers, uint64_t bytes_per_second, std::function<void(net::Buffer&, bool)> send)
    : timer_(timers,
             [this] {
               tokens_ = per_tick_;
               release();
             }),
      send_(std::move(send)),
      per_tick_(std::max<uint64_t>(bytes_per_second / kTicksPerSecond, 1)),
      tokens_(per_tick_) {}

void RateLimiter::add(net::Buffer& data, bool end) {
  held_.append(data);
  ended_ = ended_ || end;
  if (!timer_.armed()) release();
}

void RateLimiter::release() {
  const size_t n = std::min<uint64_t>(tokens_, held_.size());
  tokens_ -= n;
  net::Buffer part;
  held_.move_to(part, n);
  const bool last = ended_ && held_.empty();
  // The tokens of this tick count until it is over, also when nothing waits.
  if (!last && (tokens_ < per_tick_ || !held_.empty())) timer_.arm(std::chrono::milliseconds(1000 / kTicksPerSecond));
  if (n != 0 || last) send_(part, last);
}

}  // namespace fairlead::filters::fault
