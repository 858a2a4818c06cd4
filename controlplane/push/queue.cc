// The line of streams. A removed stream's place is skipped when it comes up.
#include "controlplane/push/queue.h"

namespace fairlead::push {

void Queue::line_up(StreamId id, Stream& s) {
  s.in_line = true;
  s.ticket = ++tickets_;
  line_.push_back({id, s.ticket});
  ++line_live_;
}

void Queue::add(StreamId id, MonotonicTime now) {
  Stream& s = streams_[id];
  if (s.wishes++ == 0) s.since = now;
  if (!s.in_line && !s.busy) line_up(id, s);
}

std::optional<Queue::Entry> Queue::next() {
  while (!line_.empty()) {
    const Place place = line_.front();
    line_.pop_front();
    auto at = streams_.find(place.stream);
    if (at == streams_.end() || !at->second.in_line || at->second.ticket != place.ticket) continue;
    Stream& s = at->second;
    Entry entry{place.stream, s.since, s.wishes};
    s.in_line = false;
    s.wishes = 0;
    s.busy = true;
    --line_live_;
    ++busy_;
    return entry;
  }
  return std::nullopt;
}

bool Queue::done(StreamId id) {
  auto at = streams_.find(id);
  if (at == streams_.end() || !at->second.busy) return false;
  at->second.busy = false;
  --busy_;
  if (at->second.wishes > 0) {
    line_up(id, at->second);
    return true;
  }
  streams_.erase(at);
  return false;
}

bool Queue::wants(StreamId id) const {
  const auto at = streams_.find(id);
  return at != streams_.end() && at->second.wishes > 0;
}

void Queue::remove(StreamId id) {
  auto at = streams_.find(id);
  if (at == streams_.end()) return;
  if (at->second.in_line) --line_live_;
  if (at->second.busy) --busy_;
  streams_.erase(at);
}

}  // namespace fairlead::push
