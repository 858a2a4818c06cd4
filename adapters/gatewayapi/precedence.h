// Which of two matches is tried first. Pure; the order of Gateway API (HTTPRouteRule.matches), complete: no two
// different matches tie. The API leaves the place of regular expressions open: here they come after exact paths and
// before prefixes, longer ones first, so that a catch-all prefix does not hide them.
#pragma once

#include <chrono>
#include <string>

#include "controlplane/intent/intent.h"

namespace fairlead::adapters::gatewayapi {

// A route of the intent with what decides its place among others of its hostname.
struct RankedRoute {
  intent::Route route;
  std::chrono::sys_seconds created{};
  std::string object;  // "ns/name"
  size_t rule = 0;
  size_t match = 0;
};

bool tried_before(const RankedRoute& a, const RankedRoute& b);

}  // namespace fairlead::adapters::gatewayapi
