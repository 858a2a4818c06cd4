// Resources' bytes as gRPC slices, made once and shared by all streams: a push to a thousand streams then costs a thousand
// reference counts. Owned by the serving thread; the slices go to gRPC's threads and outlive the caches.
// Invariant: what nobody else holds any more is let go of before it adds up to kSlack bytes beyond what is in use.
#pragma once

#include <cstddef>
#include <unordered_map>
#include <utility>
#include <vector>

#include <grpcpp/support/slice.h>

#include "controlplane/resources/resource.h"

namespace fairlead::serve {

// One resource's frame, in SotW or delta form.
class SliceCache {
 public:
  static constexpr size_t kSlack = 16 << 20;

  grpc::Slice get(const resources::ResourcePtr& resource, bool delta);
  size_t size() const { return slices_.size(); }

 private:
  using Key = std::pair<const resources::Resource*, bool>;
  struct Hash {
    size_t operator()(const Key& k) const { return std::hash<const void*>()(k.first) * 2 + k.second; }
  };
  struct Entry {
    const resources::ResourcePtr* held = nullptr;  // lives as long as `slice` or a copy of it
    grpc::Slice slice;
  };
  void sweep();

  std::unordered_map<Key, Entry, Hash> slices_;
  size_t bytes_ = 0;
  size_t sweep_at_ = kSlack;
};

// The frames of a long response as one slice, shared by all streams that get the same one: after a (re)connect that is most of them.
// A thousand slices a message would also leave gRPC with slice tables of 100 KB in every stream, for good.
class BundleCache {
 public:
  static constexpr size_t kWorthIt = 8;      // resources in a response
  static constexpr size_t kEntries = 16;     // scopes times types in a storm of connects; least recently used goes
  static constexpr size_t kBytes = 64 << 20;  // and above this, but for the latest

  grpc::Slice get(const std::vector<resources::ResourcePtr>& resources, bool delta);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    size_t hash;
    bool delta;
    std::vector<resources::ResourcePtr> resources;  // held, so that their addresses mean them
    grpc::Slice slice;
  };
  std::vector<Entry> entries_;
  size_t bytes_ = 0;
};

}  // namespace fairlead::serve
