// Responses as bytes: a short head of the stream's own (version, nonce, names), then the shared frames of the resources,
// which are never serialised again. Pure; any thread. What comes out parses as DiscoveryResponse or
// DeltaDiscoveryResponse; field order is free in protobuf, and ours is head first.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/stream/session.h"

namespace fairlead::cpstream {

struct WireMessage {
  std::string head;
  std::vector<ResourcePtr> shared;  // one frame each, in order, after the head
  bool delta = false;
  bool timed = false, beat = false;  // as in Response

  std::string_view frame(size_t i) const {
    const resources::Resource& r = *shared[i];
    if (!timed || !r.timed) return delta ? r.delta_frame : r.sotw_frame();
    if (beat) return delta ? r.timed->delta_beat : r.timed->sotw_beat;
    return delta ? r.timed->delta : r.timed->sotw;
  }
  size_t size() const;
  std::string flatten() const;  // one string: for tests and small messages
};

// Makes the messages of one server: what all of a type have in common is put together once.
class Encoder {
 public:
  // `control_plane`: the control_plane.identifier (rule 25); empty leaves it out.
  explicit Encoder(std::string_view control_plane = {});
  WireMessage sotw(Response response) const;
  WireMessage delta(Response response) const;

 private:
  using Common = std::array<std::string, resources::kTypeCount>;  // of each type: its URL, and who sends it
  static WireMessage message(Response& response, const Common& common, bool delta);
  Common sotw_, delta_;
};

}  // namespace fairlead::cpstream
