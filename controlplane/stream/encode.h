// Responses as bytes: a short head of the stream's own (version, nonce, names), then the shared frames of the resources,
// which are never serialised again. Pure; any thread. What comes out parses as DiscoveryResponse or
// DeltaDiscoveryResponse; field order is free in protobuf, and ours is head first.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "controlplane/stream/session.h"

namespace fairlead::cpstream {

struct WireMessage {
  std::string head;
  std::vector<ResourcePtr> shared;  // one frame each, in order, after the head
  bool delta = false;

  std::string_view frame(size_t i) const { return delta ? shared[i]->delta_frame : shared[i]->sotw_frame; }
  size_t size() const;
  std::string flatten() const;  // one string: for tests and small messages
};

// `control_plane`: the control_plane.identifier (rule 25); empty leaves it out.
WireMessage encode_sotw(Response response, std::string_view control_plane = {});
WireMessage encode_delta(Response response, std::string_view control_plane = {});

}  // namespace fairlead::cpstream
