#include "controlplane/serve/slice_cache.h"

#include <algorithm>
#include <string>

namespace fairlead::serve {

using resources::ResourcePtr;

grpc::Slice SliceCache::get(const ResourcePtr& resource, bool delta) {
  if (auto found = slices_.find({resource.get(), delta}); found != slices_.end()) return found->second.slice;
  const std::string& frame = delta ? resource->delta_frame : resource->sotw_frame;
  if (bytes_ + frame.size() > sweep_at_) sweep();
  auto* held = new ResourcePtr(resource);
  grpc::Slice slice(const_cast<char*>(frame.data()), frame.size(), [](void* p) { delete static_cast<ResourcePtr*>(p); }, held);
  bytes_ += frame.size();
  return slices_.emplace(std::pair(resource.get(), delta), Entry{held, std::move(slice)}).first->second.slice;
}

// Drops what only this cache (one slice, or one for each form) still holds.
void SliceCache::sweep() {
  bytes_ = 0;
  for (auto it = slices_.begin(); it != slices_.end();) {
    const long own = 1 + slices_.contains({it->first.first, !it->first.second});
    if (it->second.held->use_count() <= own) {
      slices_.erase({it->first.first, !it->first.second});
      it = slices_.erase(it);
    } else {
      bytes_ += it->second.slice.size();
      ++it;
    }
  }
  sweep_at_ = bytes_ * 2 + kSlack;
}

grpc::Slice BundleCache::get(const std::vector<ResourcePtr>& resources, bool delta) {
  size_t hash = delta;
  for (const ResourcePtr& r : resources) hash = hash * 0x9e3779b97f4a7c15u + reinterpret_cast<uintptr_t>(r.get());
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    if (it->hash == hash && it->delta == delta && it->resources == resources) {
      if (it != entries_.begin()) std::rotate(entries_.begin(), it, it + 1);
      return entries_.front().slice;
    }
  }
  auto* bytes = new std::string;
  for (const ResourcePtr& r : resources) *bytes += delta ? r->delta_frame : r->sotw_frame;
  bytes_ += bytes->size();
  grpc::Slice slice(bytes->data(), bytes->size(), [](void* p) { delete static_cast<std::string*>(p); }, bytes);
  entries_.insert(entries_.begin(), Entry{hash, delta, resources, std::move(slice)});
  while (entries_.size() > kEntries || (bytes_ > kBytes && entries_.size() > 1)) {
    bytes_ -= entries_.back().slice.size();
    entries_.pop_back();
  }
  return entries_.front().slice;
}

}  // namespace fairlead::serve
