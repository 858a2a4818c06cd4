// A route's hash_policy: which part of a request decides its host behind ring hash and Maglev, or its weighted cluster. Envoy 1.40's numbers to
// the bit, so that both send a client to the same host. Pure: built on the main thread, evaluated on any worker; hash_request allocates
// only where a header is rewritten.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <absl/functional/function_ref.h>

#include "dataplane/router/route.h"

namespace fairlead::router {

// For a cookie with a ttl that the request lacks: the value that the client is about to be given; empty: none.
using NewCookie = absl::FunctionRef<std::string_view(const HashMethod& cookie)>;

// `source_ip`: the client's, without a port; empty: it has none. Nullopt: nothing of what the policy looks at is there.
std::optional<uint64_t> hash_request(const std::vector<HashMethod>& policy, const http::HeaderMap& headers, std::string_view source_ip, NewCookie new_cookie);

// `name="value"; Max-Age=60; Path=/; HttpOnly`: `attributes` is "; Path=/"; no Max-Age without a ttl or with one of 0.
std::string set_cookie(std::string_view name, std::string_view value, std::optional<std::chrono::seconds> ttl, std::string_view attributes);

}  // namespace fairlead::router
