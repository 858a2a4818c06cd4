// The header mutation filter's configuration: lists of changes to headers, trailers and query parameters. Pure; also linked by the control plane.
#pragma once

#include <string>
#include <vector>

#include "dataplane/config/registry.h"
#include "dataplane/router/header_changes.h"

namespace fairlead::filters::header_mutation {

using fairlead::router::apply;
using fairlead::router::HeaderChanges;

struct QueryChange {
  std::string remove;  // not empty: parameters of this name go
  std::string key;     // not empty: this one is added or replaced
  format::Formatter value;
  fairlead::router::AppendAction action = fairlead::router::AppendAction::AppendIfExistsOrAdd;
};

struct Mutations {
  HeaderChanges request, response, request_trailers, response_trailers;
  std::vector<QueryChange> query;
};

struct Config final : config::FilterConfig {
  Mutations mutations;
  bool most_specific_wins = false;
};

struct RouteConfig final : fairlead::router::PerFilterConfig {
  Mutations mutations;
};

// The path with its query changed: parameters sorted by name, untouched ones byte for byte as they came. `path` has a query or gets one.
std::string change_query(std::string_view path, const std::vector<const std::vector<QueryChange>*>& changes, const format::FormatContext& context);

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::header_mutation
