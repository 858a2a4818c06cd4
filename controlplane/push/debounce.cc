// Deadlines of bursts.
#include "controlplane/push/debounce.h"

#include <algorithm>

namespace fairlead::push {

void Debouncer::note(MonotonicTime now) {
  if (!first_) first_ = now;
  last_ = now;
}

std::optional<MonotonicTime> Debouncer::due() const {
  if (!first_) return std::nullopt;
  return std::min<MonotonicTime>(*last_ + quiet_, *first_ + max_);
}

bool Debouncer::take(MonotonicTime now) {
  const auto at = due();
  if (!at || now < *at) return false;
  first_.reset();
  last_.reset();
  return true;
}

void FastPath::note(MonotonicTime now) {
  if (due_) return;
  due_ = last_taken_ ? std::max<MonotonicTime>(now, *last_taken_ + interval_) : now;
}

bool FastPath::take(MonotonicTime now) {
  if (!due_ || now < *due_) return false;
  due_.reset();
  last_taken_ = now;
  return true;
}

}  // namespace fairlead::push
