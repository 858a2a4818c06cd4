// Redirects that the proxy follows itself: whether a policy lets a response lead elsewhere, and the request that goes there. Pure functions
// on workers; the order of the checks and the texts are Envoy 1.40's (Router::convertRequestHeadersForInternalRedirect).
#pragma once

#include <optional>
#include <string_view>

#include "dataplane/http/header_map.h"
#include "dataplane/router/route.h"

namespace fairlead::router {

// Where a Location leads. Views into it; `path` includes the query.
struct RedirectTarget {
  std::string_view scheme, authority, path;
  bool https() const;
};

// Only absolute URLs, as in Envoy. The path of one without any is "/"; a fragment is left out.
std::optional<RedirectTarget> parse_location(std::string_view location);

// What one request has been through; lives in its arena, names in its route table.
struct RedirectHistory {
  struct Step {
    std::string_view from, to;
    const Step* next;
  };
  uint32_t followed = 0;
  const Step* steps = nullptr;  // targets that previous_routes has seen
};

// False: the policy does not follow responses of that status.
bool follows(const InternalRedirectPolicy& policy, uint32_t status);

// What stands against following, as far as the Location alone tells.
enum class RedirectObstacle : uint8_t { None, BadLocation, UnsafeScheme, TooMany };
RedirectObstacle find_obstacle(const InternalRedirectPolicy& policy, std::string_view location, bool from_https, const RedirectHistory& history, RedirectTarget& target);

// The request's new scheme, authority and path, and the headers of the response that the policy copies.
void point_to(const RedirectTarget& target, const InternalRedirectPolicy& policy, const http::HeaderMap& response, http::HeaderMap& request);

// The policy's predicates: whether a route of name `from` may lead to one of name `to`. Remembers it, where the policy asks for that.
bool may_lead_to(const InternalRedirectPolicy& policy, std::string_view from, std::string_view to, bool from_https, bool to_https, RedirectHistory& history, http::Arena& arena);

}  // namespace fairlead::router
