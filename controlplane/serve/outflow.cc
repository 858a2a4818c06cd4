// See outflow.h.
#include "controlplane/serve/outflow.h"

namespace fairlead::serve {

bool Outflow::counts(const Place& place) const {
  const auto at = counts_.find(place.id);
  return at != counts_.end() && at->second.ticket == place.ticket;
}

void Outflow::skip_gone() {
  while (!line_.empty() && !counts(line_.front())) line_.pop_front();
}

void Outflow::sent(Id id, size_t bytes, MonotonicTime now) {
  if (bytes == 0) return;
  bytes_ += bytes;
  const auto [count, fresh] = counts_.try_emplace(id, Count{0, tickets_});
  count->second.bytes += bytes;
  if (!fresh) return;
  skip_gone();
  line_.push_back({id, tickets_++, now});
}

void Outflow::written(Id id) {
  const auto at = counts_.find(id);
  if (at == counts_.end()) return;
  bytes_ -= at->second.bytes;
  counts_.erase(at);
}

bool Outflow::full(MonotonicTime now) {
  if (bytes_ < options_.most_bytes) return false;
  for (skip_gone(); !line_.empty() && now - line_.front().since >= options_.patience; skip_gone()) written(line_.front().id);
  return bytes_ >= options_.most_bytes;
}

std::optional<MonotonicTime> Outflow::deadline() const {
  if (bytes_ < options_.most_bytes || line_.empty()) return std::nullopt;
  return line_.front().since + options_.patience;  // or sooner than need be, if that one has gone
}

}  // namespace fairlead::serve
