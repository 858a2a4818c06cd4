// Lists of changes to headers, as the header_mutation filter and early header mutation have them: additions, removals by name and by pattern,
// one after the other. Built on the main thread, immutable.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "dataplane/matching/matchers.h"
#include "dataplane/router/header_ops.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace envoy::config::common::mutation_rules::v3 {
class HeaderMutation;
}

namespace fairlead::router {

// One change: `ops` holds a single removal or addition, or everything whose name matches goes.
struct HeaderChange {
  HeaderOps ops;
  std::optional<matching::StringMatcher> remove_matching;
};
using HeaderChanges = std::vector<HeaderChange>;

// What is wrong goes to `errors`, under `field`.
HeaderChanges parse_header_changes(const google::protobuf::RepeatedPtrField<envoy::config::common::mutation_rules::v3::HeaderMutation>& protos, const std::string& field, ErrorList& errors);
// In order, each seeing what the ones before it left. Pseudo-headers and the host are never removed by pattern.
void apply(const HeaderChanges& changes, http::HeaderMap& headers, const format::FormatContext& context);

}  // namespace fairlead::router
