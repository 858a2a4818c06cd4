// Publication and retirement of snapshots.
#include "dataplane/server/publisher.h"

#include <algorithm>

namespace fairlead::server {

Publisher::Publisher(uint32_t workers, Deliver deliver, std::function<void(uint64_t)> retired)
    : deliver_(std::move(deliver)), retired_(std::move(retired)), at_(workers, 0) {}

void Publisher::publish(std::shared_ptr<const config::Snapshot> snapshot) {
  current_ = snapshot;
  held_.push_back(snapshot);
  for (uint32_t i = 0; i < at_.size(); ++i) deliver_(i, snapshot);
}

uint64_t Publisher::oldest_in_use() const { return at_.empty() ? 0 : *std::min_element(at_.begin(), at_.end()); }

void Publisher::acknowledged(uint32_t worker, uint64_t epoch) {
  at_[worker] = std::max(at_[worker], epoch);
  const uint64_t oldest = oldest_in_use();
  while (held_.size() > 1 && held_.front()->epoch < oldest) {
    const uint64_t gone = held_.front()->epoch;
    held_.pop_front();
    if (retired_) retired_(gone);
  }
}

}  // namespace fairlead::server
