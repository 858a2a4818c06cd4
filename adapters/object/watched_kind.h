// Which kinds of objects a vocabulary reads, for sources that have to ask for them by kind (kubernetes). Plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"

namespace fairlead::adapters {

struct WatchedKind {
  std::string group;   // "" for the core group
  std::string plural;  // "httproutes"
  std::string kind;
  std::vector<std::string> versions;  // in order of preference: the first one that the server has is read
  bool optional = false;              // of a CRD, which may be missing and come later
  bool cluster_scoped = false;
  std::string field_selector;              // only such objects are asked for: "type=kubernetes.io/tls"
  std::string label_selector = {};         // and such: "app=web"
  bool (*keep)(const Object&) = nullptr;   // only such objects go further than the source; null: all do
};

// Kubernetes' own rule for the names of resources: "HTTPRoute" -> "httproutes", "GatewayClass" -> "gatewayclasses", "TLSPolicy" -> "tlspolicies".
std::string plural_of(std::string_view kind);

}  // namespace fairlead::adapters
