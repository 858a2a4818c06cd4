// See frame_cache.h.
#include "controlplane/serve/frame_cache.h"

#include <algorithm>
#include <memory>

namespace fairlead::serve {

using resources::ResourcePtr;

net::Buffer FrameCache::bytes_of(const cpstream::WireMessage& message, size_t* made) {
  net::Buffer out(message.head);
  size_t unused = 0;
  size_t& own = made != nullptr ? *made : unused;
  own = message.head.size();
  if (message.timed) {  // few and small
    for (size_t i = 0; i < message.shared.size(); ++i) {
      out.append(message.frame(i));
      own += message.frame(i).size();
    }
    return out;
  }
  const bool longer = message.shared.size() >= kBundle;
  if (const net::Buffer* joined = longer ? bundle(message, own) : nullptr) {
    out.append(joined->share());
    return out;
  }
  const size_t copied = longer ? kLinked : kCopied;
  for (size_t i = 0; i < message.shared.size(); ++i) {
    const std::string_view frame_bytes = message.frame(i);
    if (frame_bytes.size() <= copied) {
      out.append(frame_bytes);
      own += frame_bytes.size();
    } else {
      out.append(frame(message.shared[i], message.delta).share());
    }
  }
  return out;
}

const net::Buffer& FrameCache::frame(const ResourcePtr& resource, bool delta) {
  if (auto found = frames_.find({resource.get(), delta}); found != frames_.end()) return found->second.bytes;
  const std::string& bytes = delta ? resource->delta_frame : resource->sotw_frame();
  if (frame_bytes_ + bytes.size() > sweep_at_) sweep();
  frame_bytes_ += bytes.size();
  Frame& made = frames_[{resource.get(), delta}];
  made.resource = resource;
  made.bytes.append_external(std::shared_ptr<const std::string>(resource, &bytes));
  return made.bytes;
}

// Lets go of what is not in use any more: held by this cache alone, twice for each form it has been sent in.
void FrameCache::sweep() {
  frame_bytes_ = 0;
  for (auto it = frames_.begin(); it != frames_.end();) {
    const bool both = frames_.contains({it->first.resource, !it->first.delta});
    if (it->second.resource.use_count() <= (both ? 4 : 2)) {
      frames_.erase({it->first.resource, !it->first.delta});
      it = frames_.erase(it);
    } else {
      frame_bytes_ += it->second.bytes.size();
      ++it;
    }
  }
  sweep_at_ = frame_bytes_ * 2 + kSlack;
}

// A crowd whose members all want something else would otherwise hold a copy each of what they have in common until it is sent.
const net::Buffer* FrameCache::bundle(const cpstream::WireMessage& message, size_t& own) {
  size_t hash = message.delta;
  for (const ResourcePtr& r : message.shared) hash = hash * 0x9e3779b97f4a7c15u + reinterpret_cast<uintptr_t>(r.get());
  for (auto it = bundles_.begin(); it != bundles_.end(); ++it) {
    if (it->hash == hash && it->delta == message.delta && it->resources == message.shared) {
      if (it != bundles_.begin()) std::rotate(bundles_.begin(), it, it + 1);
      return &bundles_.front().bytes;
    }
  }
  size_t size = 0;
  for (size_t i = 0; i < message.shared.size(); ++i) size += message.frame(i).size();
  // Small frames cannot be linked, and in one block they leave no holes behind that others' small things keep open.
  const bool linkable = size > message.shared.size() * kLinked;
  if (linkable && std::find(seen_.begin(), seen_.end(), hash) == seen_.end()) {
    seen_[next_seen_++ % kSeen] = hash;
    return nullptr;
  }
  auto bytes = std::make_shared<std::string>();
  bytes->reserve(size);
  for (size_t i = 0; i < message.shared.size(); ++i) bytes->append(message.frame(i));
  bundle_bytes_ += size;
  own += size;
  Bundle made{hash, message.delta, message.shared, {}};
  made.bytes.append_external(std::move(bytes));
  bundles_.insert(bundles_.begin(), std::move(made));
  while (bundles_.size() > kBundles || (bundle_bytes_ > kBundleBytes && bundles_.size() > 1)) {
    bundle_bytes_ -= bundles_.back().bytes.size();
    bundles_.pop_back();
  }
  return &bundles_.front().bytes;
}

}  // namespace fairlead::serve
