// Responses' bytes as buffers over shared blocks, made once: a push to a thousand streams then costs a thousand plain reference counts.
// Owned by the serving thread, which also sends them; what clients have still to take outlives the cache.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/stream/encode.h"
#include "dataplane/net/buffer.h"

namespace fairlead::serve {

class FrameCache {
 public:
  static constexpr size_t kSlack = 16 << 20;     // of single frames that nobody else may hold any more
  static constexpr size_t kCopied = 2048;        // frames up to here are copied into the message: cheaper than a block of their own
  static constexpr size_t kLinked = 512;         // in a long response, whose frames many others hold too; net::Buffer links no smaller ones
  static constexpr size_t kBundle = 8;           // resources in a response: from there on its frames are joined, large ones once two streams have got the same
  static constexpr size_t kSeen = 64;            // long responses that may be such
  static constexpr size_t kBundles = 16;         // scopes times types in a storm of connects; least recently used goes
  static constexpr size_t kBundleBytes = 64 << 20;  // and above this, but for the latest

  // The message as it leaves. `own` becomes what of it was made for it, and is shared with nobody yet.
  net::Buffer bytes_of(const cpstream::WireMessage& message, size_t* own = nullptr);
  size_t frames() const { return frames_.size(); }
  size_t bundles() const { return bundles_.size(); }

 private:
  struct Frame {
    resources::ResourcePtr resource;  // held: its address is the key
    net::Buffer bytes;
  };
  struct Key {
    const resources::Resource* resource;
    bool delta;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& k) const { return std::hash<const void*>()(k.resource) * 2 + k.delta; }
  };
  // The frames of a long response, shared by all streams that get the same one: after a (re)connect that is most of them.
  struct Bundle {
    size_t hash;
    bool delta;
    std::vector<resources::ResourcePtr> resources;  // held, so that their addresses mean them
    net::Buffer bytes;
  };
  const net::Buffer& frame(const resources::ResourcePtr& resource, bool delta);
  const net::Buffer* bundle(const cpstream::WireMessage& message, size_t& own);  // null: this is the first of its kind
  void sweep();

  std::unordered_map<Key, Frame, Hash> frames_;
  size_t frame_bytes_ = 0;
  size_t sweep_at_ = kSlack;
  std::vector<Bundle> bundles_;
  size_t bundle_bytes_ = 0;
  std::array<size_t, kSeen> seen_{};  // hashes; the oldest goes
  size_t next_seen_ = 0;
};

}  // namespace fairlead::serve
