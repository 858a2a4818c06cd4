// Kept responses, shared by all workers and listeners of the process, up to a bound; the least recently used go first.
// Any thread. Sharded by key; under a shard's lock only pointers move: responses are immutable, shared by reference count, and destroyed
// outside of it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/filters/http/cache/rules.h"

namespace fairlead::filters::cache {

struct Response {
  Head head;
  Head trailers;
  std::shared_ptr<const std::string> body = std::make_shared<const std::string>();
  std::vector<std::pair<std::string, std::string>> vary;  // name, and the value that the request had; sorted
  int64_t age = 0;        // when it came
  int64_t came = 0;       // when that was
  size_t bytes() const;
};
using ResponsePtr = std::shared_ptr<const Response>;

class Store {
 public:
  static constexpr size_t kShards = 8;
  static constexpr size_t kBytes = size_t{128} << 20;         // in all; Envoy 1.40: no bound
  static constexpr size_t kMaxBodyBytes = size_t{8} << 20;    // of one response
  static constexpr size_t kMaxVariants = 32;                  // of one key; a new one takes the place of the oldest
  static constexpr size_t kMaxFilling = size_t{64} << 20;     // in bodies that are still coming, of all streams

  explicit Store(size_t bytes = kBytes) : shard_bytes_(bytes / kShards) {}
  static Store& global();

  // The response whose variant this request asks for; null: none.
  ResponsePtr find(std::string_view key, const http::HeaderMap& request);
  // Takes the place of the response of the same variant. One larger than a shard is dropped.
  void insert(std::string key, ResponsePtr response);
  void erase(std::string_view key);  // with all variants
  size_t bytes() const;
  uint64_t evicted() const { return evicted_.load(std::memory_order_relaxed); }  // responses that had to go for others, ever

  // Room for bytes of a body on its way; false: there is none.
  bool begin_filling(size_t bytes);
  void end_filling(size_t bytes) { filling_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  struct Entry {
    std::string key;
    std::vector<ResponsePtr> variants;  // oldest first
    size_t bytes = 0;
  };
  struct alignas(64) Shard {
    mutable std::mutex mutex;
    std::list<Entry> entries;  // the most recently used first
    absl::flat_hash_map<std::string_view, std::list<Entry>::iterator> by_key;  // the keys are the entries' own
    size_t bytes = 0;
  };
  Shard& shard(std::string_view key);
  void tell_evicted(uint64_t evicted, int64_t now);

  const size_t shard_bytes_;
  std::array<Shard, kShards> shards_;
  std::atomic<size_t> filling_{0};
  std::atomic<uint64_t> evicted_{0};
  static constexpr int64_t kSecondsBetweenLines = 60;
  std::atomic<int64_t> told_{-kSecondsBetweenLines};  // when a line last said so, seconds since 1970
};

}  // namespace fairlead::filters::cache
