// The trailer section behind a last chunk (room-private): waits for its end, then reads it. Pure; both sessions use it.
#pragma once

#include "dataplane/http/arena.h"
#include "dataplane/http/h1/head.h"
#include "dataplane/net/buffer.h"

namespace fairlead::h1 {

struct TrailerSection {
  bool complete = false;
  Verdict verdict;
  size_t bytes = 0;                      // taken from the input
  http::HeaderMap* trailers = nullptr;   // in the arena; null when there were none
};

// `scanned` is kept by the caller between calls, 0 at first.
TrailerSection take_trailers(net::Buffer& in, const Settings& settings, size_t& scanned, http::Arena& arena);

}  // namespace fairlead::h1
