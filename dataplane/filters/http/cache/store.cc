// See store.h.
#include "dataplane/filters/http/cache/store.h"

#include <absl/hash/hash.h>

#include <algorithm>

#include "base/log.h"

namespace fairlead::filters::cache {
namespace {

bool same_variant(const Response& response, const http::HeaderMap& request) {
  return std::all_of(response.vary.begin(), response.vary.end(), [&](const auto& field) { return request.joined(field.first).value_or(std::string_view()) == field.second; });
}

}  // namespace

size_t Response::bytes() const {
  size_t out = sizeof(Response) + body->size();
  for (const Head* part : {&head, &trailers, &vary}) {
    for (const auto& [name, value] : *part) out += sizeof(Head::value_type) + name.size() + value.size();
  }
  return out;
}

Store& Store::global() {
  static Store* store = new Store;  // workers may still run while the process ends
  return *store;
}

Store::Shard& Store::shard(std::string_view key) { return shards_[absl::HashOf(key) % kShards]; }

ResponsePtr Store::find(std::string_view key, const http::HeaderMap& request) {
  Shard& s = shard(key);
  std::vector<ResponsePtr> variants;
  {
    const std::lock_guard lock(s.mutex);
    const auto it = s.by_key.find(key);
    if (it == s.by_key.end()) return nullptr;
    s.entries.splice(s.entries.begin(), s.entries, it->second);
    if (it->second->variants.size() == 1 && it->second->variants[0]->vary.empty()) return it->second->variants[0];
    variants = it->second->variants;
  }
  for (auto response = variants.rbegin(); response != variants.rend(); ++response) {
    if (same_variant(**response, request)) return *response;
  }
  return nullptr;
}

void Store::insert(std::string key, ResponsePtr response) {
  const size_t added = response->bytes();
  const int64_t now = response->came;
  const size_t fixed = sizeof(Entry) + key.size() + 64;
  if (added + fixed > shard_bytes_) return erase(key);
  ResponsePtr replaced;
  std::list<Entry> gone;
  Shard& s = shard(key);
  std::unique_lock lock(s.mutex);
  auto it = s.by_key.find(key);
  if (it == s.by_key.end()) {
    s.entries.push_front({std::move(key), {}, fixed});
    s.bytes += fixed;
    it = s.by_key.emplace(s.entries.front().key, s.entries.begin()).first;
  } else {
    s.entries.splice(s.entries.begin(), s.entries, it->second);
  }
  Entry& entry = *it->second;
  auto& variants = entry.variants;
  auto old = std::find_if(variants.begin(), variants.end(), [&](const auto& one) { return one->vary == response->vary; });
  if (old == variants.end() && variants.size() >= kMaxVariants) old = variants.begin();
  if (old != variants.end()) {
    replaced = std::move(*old);
    variants.erase(old);
    entry.bytes -= replaced->bytes();
    s.bytes -= replaced->bytes();
  }
  variants.push_back(std::move(response));
  entry.bytes += added;
  s.bytes += added;
  while (s.bytes > shard_bytes_) {  // a key whose variants do not fit goes as a whole, the new one with it
    Entry& last = s.entries.back();
    s.bytes -= last.bytes;
    s.by_key.erase(last.key);
    gone.splice(gone.begin(), s.entries, std::prev(s.entries.end()));
  }
  lock.unlock();  // `gone` and `replaced` are destroyed outside of it
  if (gone.empty()) return;
  uint64_t evicted = 0;
  for (const Entry& one : gone) evicted += one.variants.size();
  tell_evicted(evicted, now);
}

// At most a line a minute: a store that is full evicts with every response.
void Store::tell_evicted(uint64_t evicted, int64_t now) {
  const uint64_t all = evicted_.fetch_add(evicted, std::memory_order_relaxed) + evicted;
  int64_t told = told_.load(std::memory_order_relaxed);
  if (now < told + kSecondsBetweenLines) return;
  if (!told_.compare_exchange_strong(told, now, std::memory_order_relaxed)) return;  // another worker says it
  FL_LOG(info, "cache", "the cache is full (", shard_bytes_ * kShards >> 20, " MiB): ", all, " responses have made room for others since the start");
}

void Store::erase(std::string_view key) {
  std::list<Entry> gone;
  Shard& s = shard(key);
  const std::lock_guard lock(s.mutex);
  const auto it = s.by_key.find(key);
  if (it == s.by_key.end()) return;
  const auto entry = it->second;
  s.bytes -= entry->bytes;
  s.by_key.erase(it);
  gone.splice(gone.begin(), s.entries, entry);
}

size_t Store::bytes() const {
  size_t out = 0;
  for (const Shard& s : shards_) {
    const std::lock_guard lock(s.mutex);
    out += s.bytes;
  }
  return out;
}

bool Store::begin_filling(size_t bytes) {
  if (filling_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= kMaxFilling) return true;
  end_filling(bytes);
  return false;
}

}  // namespace fairlead::filters::cache
