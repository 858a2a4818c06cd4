// One entry of spec.resources: document -> checked message -> resource. Private to the room; pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "adapters/object/object.h"
#include "base/doc_reader.h"
#include "controlplane/resources/resource.h"

namespace fairlead::adapters::xds {

// Type and name as far as they can be told, also of a resource that is bad otherwise.
struct ResourceIdentity {
  std::optional<resources::Type> type;
  std::string name;
  bool known() const { return type && !name.empty(); }
};

// Null when bad; what is wrong is appended to `out` with file, line and path.
resources::ResourcePtr read_resource(const doc::Reader& entry, const Object& owner, const std::string& version,
                                     ResourceIdentity& identity, std::vector<Diagnostic>& out);

}  // namespace fairlead::adapters::xds
