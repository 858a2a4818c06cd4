// Publication and retirement of snapshots.
#include "dataplane/server/publisher.h"

namespace fairlead::server {

Publisher::Publisher(uint32_t workers, Deliver deliver, Post post)
    : workers_(workers), deliver_(std::move(deliver)), post_(std::move(post)), self_(std::make_shared<Publisher*>(this)) {}

Publisher::~Publisher() { *self_ = nullptr; }

void Publisher::publish(SnapshotPtr snapshot) {
  const uint64_t epoch = snapshot->epoch;
  const uint64_t before = current_ != nullptr ? current_->epoch : 0;
  current_ = snapshot;
  held_.emplace(epoch, Held{snapshot, workers_});
  for (uint32_t i = 0; i < workers_; ++i) {
    auto release = [post = post_, self = self_, epoch](const config::Snapshot*) {
      post([self, epoch] {
        if (*self != nullptr) (*self)->released(epoch);
      });
    };
    deliver_(i, SnapshotPtr(snapshot.get(), std::move(release)));
  }
  if (auto it = held_.find(before); it != held_.end() && it->second.users == 0) held_.erase(it);
}

void Publisher::released(uint64_t epoch) {
  auto it = held_.find(epoch);
  if (it == held_.end()) return;
  if (--it->second.users == 0 && it->second.snapshot != current_) held_.erase(it);
}

}  // namespace fairlead::server
