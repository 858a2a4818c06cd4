// Which of two matches is tried first. Pure; the order of Gateway API (HTTPRouteRule.matches), complete: no two
// different matches tie. The API leaves the place of regular expressions open: here they come after exact paths and
// before prefixes, longer ones first, so that a catch-all prefix does not hide them. Matches of GRPCRoutes go by service and method
// instead (GRPCRouteRule.matches), which may be expressions: exact names come first. The two kinds never share a hostname.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "adapters/gatewayapi/schema.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters::gatewayapi {

// A route of the intent with what decides its place among others of its hostname.
struct RankedRoute {
  intent::Route route;
  std::chrono::sys_seconds created{};
  std::string object;  // "ns/name"
  size_t rule = 0;
  size_t match = 0;
  std::optional<GrpcMethod> grpc;  // of a GRPCRoute
};

using RankedPtr = std::shared_ptr<const RankedRoute>;  // of all hostnames and listeners that have it one

bool tried_before(const RankedRoute& a, const RankedRoute& b);

}  // namespace fairlead::adapters::gatewayapi
