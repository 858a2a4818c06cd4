// See admission.h.
#include "controlplane/serve/admission.h"

#include <algorithm>

namespace fairlead::serve {

void Admission::refill(MonotonicTime now) {
  if (refilled_) tokens_ += std::chrono::duration<double>(now - *refilled_).count() * options_.per_second;
  tokens_ = std::min<double>(tokens_, options_.per_second);
  refilled_ = now;
}

void Admission::skip_gone() {
  while (!line_.empty() && !waiting_.contains(line_.front().id)) line_.pop_front();
}

Admission::Entry Admission::arrive(Id id, MonotonicTime now) {
  if (options_.per_second == 0) return Entry::kNow;
  refill(now);
  if (waiting_.empty() && tokens_ >= 1) {
    tokens_ -= 1;
    return Entry::kNow;
  }
  // its turn would come too late
  const auto most = static_cast<double>(options_.per_second) * std::chrono::duration<double>(options_.patience).count();
  if (static_cast<double>(waiting_.size()) >= most) return Entry::kRefused;
  waiting_.insert(id);
  line_.push_back({id, now});
  return Entry::kWait;
}

void Admission::leave(Id id) {
  waiting_.erase(id);
  skip_gone();
  if (line_.size() > 2 * waiting_.size() + 1'000) std::erase_if(line_, [this](const Place& p) { return !waiting_.contains(p.id); });
}

std::optional<Admission::Called> Admission::next(MonotonicTime now) {
  if (waiting_.empty()) return std::nullopt;
  refill(now);
  skip_gone();
  const Place first = line_.front();
  const bool too_late = now - first.since >= options_.patience;
  if (!too_late && tokens_ < 1) return std::nullopt;
  if (!too_late) tokens_ -= 1;
  line_.pop_front();
  waiting_.erase(first.id);
  return Called{first.id, too_late};
}

std::optional<MonotonicTime> Admission::deadline() const {
  if (waiting_.empty()) return std::nullopt;
  const double short_of = std::max(0.0, 1 - tokens_);
  const auto wait = std::chrono::duration_cast<MonotonicTime::duration>(std::chrono::duration<double>(short_of / options_.per_second)) + MonotonicTime::duration(1);
  return std::min(*refilled_ + wait, line_.front().since + options_.patience);
}

}  // namespace fairlead::serve
