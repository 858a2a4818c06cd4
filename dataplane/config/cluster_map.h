// The clusters of a snapshot by name. A copy shares what has not changed since: names are spread over shards, and a change copies only the
// shard that it is in, so that a snapshot of 10,000 clusters that changes one of them costs some dozens of entries.
// Changed on the main thread alone, before the snapshot is published; read by any thread afterwards.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>
#include <absl/hash/hash.h>

#include "dataplane/config/cluster.h"

namespace fairlead::config {

struct ClusterEntry {
  std::shared_ptr<const ClusterConfig> config;
  std::shared_ptr<const EndpointSet> endpoints;  // current; null: none known yet
  bool warm = false;
};

class ClusterMap {
  using Shard = absl::flat_hash_map<std::string, ClusterEntry>;
  static constexpr size_t kShards = 256;
  using Shards = std::array<std::shared_ptr<Shard>, kShards>;

 public:
  // Null when there is none.
  const ClusterEntry* find(std::string_view name) const {
    const Shard* shard = shards_[shard_of(name)].get();
    if (shard == nullptr) return nullptr;
    const auto it = shard->find(name);
    return it == shard->end() ? nullptr : &it->second;
  }
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  ClusterEntry& operator[](const std::string& name) {
    const auto [it, fresh] = own(shard_of(name)).try_emplace(name);
    size_ += fresh ? 1 : 0;
    return it->second;
  }
  void erase(std::string_view name) {
    if (!contains(name)) return;
    Shard& shard = own(shard_of(name));
    shard.erase(shard.find(name));
    --size_;
  }
  void clear() { *this = ClusterMap(); }

  class Iterator {
   public:
    Iterator(const Shards& shards, size_t at) : shards_(&shards), at_(at) { enter(); }
    const Shard::value_type& operator*() const { return *inner_; }
    Iterator& operator++() {
      if (++inner_ == (*shards_)[at_]->cend()) {
        ++at_;
        enter();
      }
      return *this;
    }
    bool operator==(const Iterator& other) const { return at_ == other.at_ && (at_ == kShards || inner_ == other.inner_); }

   private:
    void enter() {
      while (at_ < kShards && ((*shards_)[at_] == nullptr || (*shards_)[at_]->empty())) ++at_;
      if (at_ < kShards) inner_ = (*shards_)[at_]->cbegin();
    }
    const Shards* shards_;
    size_t at_;
    Shard::const_iterator inner_;
  };
  // In no order.
  Iterator begin() const { return {shards_, 0}; }
  Iterator end() const { return {shards_, kShards}; }

 private:
  static size_t shard_of(std::string_view name) { return absl::Hash<std::string_view>{}(name) >> 56; }  // the bits that a shard's own table uses last
  Shard& own(size_t n) {
    std::shared_ptr<Shard>& shard = shards_[n];
    if (shard == nullptr) {
      shard = std::make_shared<Shard>();
    } else if (shard.use_count() > 1) {
      shard = std::make_shared<Shard>(*shard);
    }
    return *shard;
  }

  Shards shards_;
  size_t size_ = 0;
};

}  // namespace fairlead::config
