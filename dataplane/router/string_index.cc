// See string_index.h.
#include "dataplane/router/string_index.h"

#include <bit>
#include <cstring>

namespace fairlead::router {

void StringIndex::finish() {
  if (pending_.empty()) return;
  const size_t count = std::bit_ceil(pending_.size());
  mask_ = count - 1;
  // Entries by bucket, within one in the order of adding.
  std::vector<uint32_t> bucket_of(pending_.size()), begin(count + 1), order(pending_.size());
  size_t words = 0;
  for (size_t i = 0; i < pending_.size(); ++i) {
    bucket_of[i] = static_cast<uint32_t>(absl::HashOf(pending_[i].first) & mask_);
    ++begin[bucket_of[i] + 1];
    words += 2 + words_of(pending_[i].first.size());
  }
  for (size_t b = 0; b < count; ++b) begin[b + 1] += begin[b];
  std::vector<uint32_t> next(begin.begin(), begin.end() - 1);
  for (uint32_t i = 0; i < pending_.size(); ++i) order[next[bucket_of[i]]++] = i;

  words_.reserve(words);
  buckets_.reserve(count + 1);
  std::vector<uint32_t> values;
  constexpr uint32_t taken = UINT32_MAX;
  for (size_t b = 0; b < count; ++b) {
    buckets_.push_back(static_cast<uint32_t>(words_.size()));
    for (size_t i = begin[b]; i < begin[b + 1]; ++i) {
      if (order[i] == taken) continue;
      const std::string_view key = pending_[order[i]].first;
      values.clear();
      for (size_t k = i; k < begin[b + 1]; ++k) {
        if (order[k] == taken || pending_[order[k]].first != key) continue;
        values.push_back(pending_[order[k]].second);
        order[k] = taken;
      }
      const bool several = values.size() > 1;
      words_.push_back(static_cast<uint32_t>(key.size() << 1) | (several ? 1 : 0));
      if (several) words_.push_back(static_cast<uint32_t>(values.size()));
      words_.insert(words_.end(), values.begin(), values.end());
      const size_t at = words_.size();
      words_.resize(at + words_of(key.size()));
      if (!key.empty()) std::memcpy(words_.data() + at, key.data(), key.size());
    }
  }
  buckets_.push_back(static_cast<uint32_t>(words_.size()));
  words_.shrink_to_fit();
  pending_ = {};
}

}  // namespace fairlead::router
