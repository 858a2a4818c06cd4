// The line is a list through the places.
#include "controlplane/push/queue.h"

namespace fairlead::push {

void Queue::line_up(Place& place) {
  place.in_line_ = true;
  place.ahead_ = last_;
  place.behind_ = nullptr;
  (last_ ? last_->behind_ : first_) = &place;
  last_ = &place;
  ++waiting_;
}

void Queue::step_out(Place& place) {
  (place.ahead_ ? place.ahead_->behind_ : first_) = place.behind_;
  (place.behind_ ? place.behind_->ahead_ : last_) = place.ahead_;
  place.in_line_ = false;
  --waiting_;
}

void Queue::add(Place& place, MonotonicTime now) {
  if (place.wishes_++ == 0) place.since_ = now;
  if (!place.in_line_ && !place.busy_) line_up(place);
}

std::optional<Queue::Entry> Queue::next() {
  if (!first_) return std::nullopt;
  Place& place = *first_;
  step_out(place);
  const Entry entry{&place, place.since_, place.wishes_};
  place.wishes_ = 0;
  place.busy_ = true;
  ++busy_;
  return entry;
}

bool Queue::done(Place& place) {
  if (!place.busy_) return false;
  place.busy_ = false;
  --busy_;
  if (place.wishes_ > 0) line_up(place);
  return place.in_line_;
}

void Queue::remove(Place& place) {
  if (place.in_line_) step_out(place);
  if (place.busy_) --busy_;
  place.busy_ = false;
  place.wishes_ = 0;
}

}  // namespace fairlead::push
