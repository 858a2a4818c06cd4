// Publication of snapshots: the main thread hands every worker the same immutable snapshot through its inbox and keeps it until the
// last worker has said that it has moved on to a newer one. The request path reads a plain pointer: no reference count, no lock.
// Main thread, except acknowledged(), which any worker's post calls on main.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "dataplane/config/snapshot.h"

namespace fairlead::server {

class Publisher {
 public:
  // `deliver(worker, snapshot)` must bring the snapshot to the worker and, once the worker has left the one before, have
  // acknowledged(worker, snapshot->epoch) called on the main thread.
  using Deliver = std::function<void(uint32_t worker, std::shared_ptr<const config::Snapshot> snapshot)>;
  // `retired`: called after a snapshot was freed because no worker uses it.
  Publisher(uint32_t workers, Deliver deliver, std::function<void(uint64_t epoch)> retired = nullptr);

  void publish(std::shared_ptr<const config::Snapshot> snapshot);
  void acknowledged(uint32_t worker, uint64_t epoch);

  const std::shared_ptr<const config::Snapshot>& current() const { return current_; }
  size_t held() const { return held_.size(); }          // snapshots that some worker may still use
  uint64_t oldest_in_use() const;                       // the lowest epoch acknowledged by any worker

 private:
  Deliver deliver_;
  std::function<void(uint64_t)> retired_;
  std::vector<uint64_t> at_;  // per worker: epoch acknowledged
  std::shared_ptr<const config::Snapshot> current_;
  std::deque<std::shared_ptr<const config::Snapshot>> held_;  // ascending epochs, the current one last
};

}  // namespace fairlead::server
