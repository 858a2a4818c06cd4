// The heap behind EdfSchedule.
#include "dataplane/upstream/lb/edf_schedule.h"

#include <algorithm>

namespace fairlead::upstream {

void EdfSchedule::add(uint32_t index, double weight) { push(index, weight); }

void EdfSchedule::push(uint32_t index, double weight) {
  heap_.push_back({now_ + 1.0 / weight, order_++, index});
  std::push_heap(heap_.begin(), heap_.end(), later);
}

EdfSchedule::Entry EdfSchedule::pop() {
  std::pop_heap(heap_.begin(), heap_.end(), later);
  const Entry entry = heap_.back();
  heap_.pop_back();
  now_ = entry.deadline;
  return entry;
}

}  // namespace fairlead::upstream
