// Publication of snapshots: the main thread hands every worker the same immutable snapshot and keeps it until no worker uses it.
// A worker gets a shared_ptr of its own (its own control block, so no counter is shared between threads); when the worker's last
// stream on that snapshot is gone, the pointer's deleter posts back and the publisher lets go. The request path reads a plain pointer.
// Main thread. Invariant: snapshots, and what only they hold (route tables of RDS, the runtime), are freed on the main thread. Listeners,
// clusters and endpoint sets are not: connections and hosts of workers hold them too, and the last holder frees them, on any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "dataplane/config/snapshot.h"

namespace fairlead::server {

class Publisher {
 public:
  using SnapshotPtr = std::shared_ptr<const config::Snapshot>;
  using Deliver = std::function<void(uint32_t worker, SnapshotPtr snapshot)>;
  using Post = std::function<void(std::function<void()>)>;
  // `deliver` brings a snapshot to a worker; `post` runs a job on the main thread, from any thread.
  Publisher(uint32_t workers, Deliver deliver, Post post);
  ~Publisher();

  void publish(SnapshotPtr snapshot);
  const SnapshotPtr& current() const { return current_; }
  size_t held() const { return held_.size(); }  // snapshots that some worker may still use, the current one included

 private:
  struct Held { SnapshotPtr snapshot; uint32_t users; };
  void released(uint64_t epoch);
  const uint32_t workers_;
  Deliver deliver_;
  Post post_;
  SnapshotPtr current_;
  std::map<uint64_t, Held> held_;
  std::shared_ptr<Publisher*> self_;  // null inside once destroyed: late releases find nobody
};

}  // namespace fairlead::server
