// Why a route does not take a request, and which routes nearly did: for people and their tools, never on a request's way. Walks the compiled
// table one route after the other, as its configuration reads; what match() chooses is always the first that misses nothing.
// Pure; any thread. A table of ten thousand routes takes a few milliseconds.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "dataplane/router/route_table.h"

namespace fairlead::router {

// Everything the route asks for that the request lacks, its path first: `path "/api" (it is "/apj")`. Empty: the route takes the request,
// unless one before it does.
std::vector<std::string> unmet(const Route& route, const http::HeaderMap& headers, const RequestFacts& facts);

// A route that was not chosen, though not much was missing.
struct NearMiss {
  const Route* route = nullptr;
  std::vector<std::string> unmet;  // empty: it would take the request, had none before it
  uint32_t distance = 0;           // how far it is from matching, to sort by
};

// Of the virtual host of `match`, nearest first, `most` at most. Routes that have nothing in common with the request are left out, unless
// there is no other and nothing matched.
std::vector<NearMiss> near_misses(const Match& match, const http::HeaderMap& headers, const RequestFacts& facts, size_t most);

// Domains of the table, nearest to the authority first, `most` at most.
std::vector<std::string_view> near_domains(const RouteTable& table, std::string_view authority, size_t most);

}  // namespace fairlead::router
