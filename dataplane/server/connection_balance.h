// ConnectionBalance: exact_balance of a listener. Each connection goes to the worker that has the fewest of them, whichever the kernel woke: few
// long connections, as of HTTP/2 clients, are spread evenly. They count from accept() until they have gone.
// Made on the main thread, shared by all workers and by the forms of the listener. Its lock is taken when a connection comes and when it goes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "dataplane/net/address.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::server {

class ConnectionBalance {
 public:
  // Takes an accepted descriptor on the worker's thread; false: it is not wanted there any more, and is closed here.
  using Take = std::function<bool(int fd, const net::Address& remote)>;

  // The worker takes connections from now on, until leave(). On its thread. Once more: what it said before is replaced, its connections still count.
  void join(uint32_t worker, net::EventLoop& loop, Take take);
  void leave(uint32_t worker);
  // Counts one more connection of the worker that has the fewest: `here` if it is among them. True: it is another, and gets the descriptor.
  static bool pass_on(const std::shared_ptr<ConnectionBalance>& balance, uint32_t here, int fd, const net::Address& remote);
  void came(uint32_t worker);  // from another listener
  void gone(uint32_t worker);
  uint64_t of(uint32_t worker) const;

 private:
  struct Worker {
    net::EventLoop* loop = nullptr;
    std::shared_ptr<const Take> take;  // null: it has left
    uint64_t open = 0;
  };
  mutable std::mutex mutex_;
  std::map<uint32_t, Worker> workers_;
};

}  // namespace fairlead::server
