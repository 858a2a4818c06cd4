// What the rules of HTTPRoutes and GRPCRoutes have in common. Private to the room.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "adapters/gatewayapi/schema.h"
#include "adapters/gatewayapi/schema_filters.h"
#include "base/doc_reader.h"

namespace fairlead::adapters::gatewayapi {

// Headers or query parameters. Of equivalent names only the first counts.
std::vector<intent::ValueMatch> read_values(doc::Object& o, std::string_view key, bool headers, ErrorList& errors);

// name, filters, backendRefs and sessionPersistence.
void read_rule(doc::Object& o, ErrorList& errors, const FilterContext& context, Rule& rule);

// spec.rules, of which `one` reads each.
void read_rules(doc::Object& spec, ErrorList& errors, const Object& object, HttpRoute& route, Rule (*one)(const doc::Reader&, ErrorList&, const Object&));

}  // namespace fairlead::adapters::gatewayapi
