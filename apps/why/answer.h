// What becomes of a request, step by step: listener, filter chain, virtual host, route, cluster, endpoints, each with the line it came from.
// Found by the proxy's own models and router over a World. HTTP filters are named, not run: one that answers or re-routes is not foreseen.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/why/request.h"
#include "apps/why/world.h"
#include "base/doc.h"

namespace fairlead::why {

struct Step {
  std::string step;    // "listener", "filter chain", "virtual host", "route", "cluster", "endpoint", "answer"
  std::string what;
  std::string place;   // "routes.yaml:12"; empty: nowhere of its own
  std::string object;  // "HTTPRoute default/app: spec.rules[0].matches[0]"
};

struct Near {
  std::string route, match;  // `prefix "/api"`
  std::vector<std::string> unmet;  // empty: shadowed by the route that was taken
  std::string place, object;
};

struct Share {
  std::string cluster;
  uint64_t weight = 0, of = 0;
  bool known = true;  // there is such a cluster here
};

struct Answer {
  enum class Kind : uint8_t {
    Forwarded,    // to a cluster
    Redirect, Direct,
    NotFound,     // 404: no virtual host, no route
    Refused,      // by the connection manager, or for want of the cluster
    Tcp,          // a chain without HTTP
    NoConnection  // no listener, no chain, the wrong protocol: the client gets no HTTP answer
  };
  Kind kind = Kind::NoConnection;
  uint32_t status = 0;  // that the proxy answers with; 0: the upstream's, or none
  std::string summary;  // one line: "forwarded to a as GET /items", "redirect 301 to https://…"
  std::vector<Step> steps;
  std::vector<Near> near;
  std::vector<std::string> notes;
  std::string listener, virtual_host, route;  // names; empty: not reached
  std::vector<Share> shares;                  // of the clusters it is forwarded to; one in all but weighted routes
  std::string location, body;
  std::string method, path, host;             // as the upstream gets them
  std::vector<std::pair<std::string, std::string>> request_headers;   // of a forwarded request, as the upstream gets them
  std::vector<std::pair<std::string, std::string>> response_headers;  // that the route adds

  // Whether two answers are the same to a client and its backends, whatever their places and endpoints.
  bool same(const Answer& other) const;
};

// `most_near`: how many routes that nearly matched are told of.
Answer explain(World& world, const Request& request, size_t most_near = 5);

// {request, answer, kind, status, steps: [{step, what, from, object}], near: [{route, match, unmet, from, object}], listener, virtual_host, route,
//  clusters: [{name, weight, of}], location, body, upstream: {method, path, host, headers}, response_headers, notes}
doc::Value to_doc(const Request& request, const Answer& answer);
std::string_view kind_name(Answer::Kind kind);  // "forwarded", "redirect", "direct", "not found", "refused", "tcp", "no connection"

}  // namespace fairlead::why
