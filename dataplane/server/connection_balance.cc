// See connection_balance.h.
#include "dataplane/server/connection_balance.h"

#include <unistd.h>

#include <utility>

namespace fairlead::server {

void ConnectionBalance::join(uint32_t worker, net::EventLoop& loop, Take take) {
  std::lock_guard lock(mutex_);
  Worker& joined = workers_[worker];
  joined.loop = &loop;
  joined.take = std::make_shared<const Take>(std::move(take));
}

void ConnectionBalance::leave(uint32_t worker) {
  std::lock_guard lock(mutex_);
  workers_[worker].take.reset();
}

bool ConnectionBalance::pass_on(const std::shared_ptr<ConnectionBalance>& balance, uint32_t here, int fd, const net::Address& remote) {
  std::lock_guard lock(balance->mutex_);
  auto fewest = balance->workers_.find(here);
  if (fewest == balance->workers_.end()) return false;
  for (auto it = balance->workers_.begin(); it != balance->workers_.end(); ++it)
    if (it->second.take != nullptr && it->second.open < fewest->second.open) fewest = it;
  ++fewest->second.open;
  if (fewest->first == here) return false;
  // under the lock: the loop is there as long as its worker has not left
  fewest->second.loop->post([balance, worker = fewest->first, take = fewest->second.take, fd, remote] {
    if ((*take)(fd, remote)) return;
    ::close(fd);
    balance->gone(worker);
  });
  return true;
}

void ConnectionBalance::came(uint32_t worker) {
  std::lock_guard lock(mutex_);
  ++workers_[worker].open;
}

void ConnectionBalance::gone(uint32_t worker) {
  std::lock_guard lock(mutex_);
  if (uint64_t& open = workers_[worker].open; open > 0) --open;
}

uint64_t ConnectionBalance::of(uint32_t worker) const {
  std::lock_guard lock(mutex_);
  const auto it = workers_.find(worker);
  return it == workers_.end() ? 0 : it->second.open;
}

}  // namespace fairlead::server
