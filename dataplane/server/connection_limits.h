// How many connections are open over all workers, and how many there may be. A connection counts from accept() until it has gone, the time under
// listener filters included. Made on the main thread, counted by all workers: the relaxed atomics are the only thing they share.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "dataplane/stats/cells.h"

namespace fairlead::server {

// Of one listener; its forms share it.
struct ConnectionCount {
  std::atomic<uint64_t> open{0};
};

// Of all listeners.
struct GlobalConnections {
  ConnectionCount count;
  // The overload manager's: connections of listeners that ignore it are not counted then. None: the runtime may have one, which counts them all.
  std::optional<uint64_t> limit;
  stats::Counter refused;  // with `limit`: those who were over it
};

// False, and nothing is counted, once there are `limit`.
inline bool take_place(ConnectionCount& count, std::optional<uint64_t> limit) {
  const uint64_t before = count.open.fetch_add(1, std::memory_order_relaxed);
  if (!limit || before < *limit) return true;
  count.open.fetch_sub(1, std::memory_order_relaxed);
  return false;
}
inline void leave_place(ConnectionCount& count) { count.open.fetch_sub(1, std::memory_order_relaxed); }

}  // namespace fairlead::server
