// Reading a list of filters. Private to the room.
#pragma once

#include <vector>

#include "adapters/gatewayapi/schema.h"
#include "base/doc_reader.h"

namespace fairlead::adapters::gatewayapi {

struct FilterContext {
  const Object& owner;
  bool on_backend = false;        // backendRefs[].filters instead of the rule's
  bool one_prefix_match = false;  // the rule has exactly one match, and its path type is PathPrefix
  bool grpc = false;              // of a GRPCRoute
};

Filters read_filters(const std::vector<doc::Reader>& list, ErrorList& errors, const FilterContext& context);

}  // namespace fairlead::adapters::gatewayapi
