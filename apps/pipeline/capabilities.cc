// See capabilities.h.
#include "apps/pipeline/capabilities.h"

#include <absl/strings/str_cat.h>

#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::pipeline {
namespace {

namespace v3 = envoy::config::route::v3;

struct Capability {
  const char* field;
  const char* since;  // of Envoy
  const char* otherwise;  // what an older one makes of it
  bool (*used)(const v3::Route& route);
};

constexpr Capability kOfRoutes[kCapabilities] = {
    // Envoy's release notes of 1.22.0: "added path_separated_prefix"
    {"match.path_separated_prefix", "1.22", "it would take the route as one without a path matcher and refuse the table", [](const v3::Route& r) { return r.match().has_path_separated_prefix(); }},
    // Envoy's release notes of 1.20.0: "added string_match in the header matcher"
    {"match.headers.string_match", "1.20", "it would ask for the header's presence alone, whatever its value",
     [](const v3::Route& r) {
       for (const auto& header : r.match().headers()) {
         if (header.has_string_match()) return true;
       }
       return false;
     }},
};

}  // namespace

uint32_t capabilities_used(const v3::Route& route) {
  uint32_t out = 0;
  for (size_t c = 0; c < kCapabilities; ++c) out |= static_cast<uint32_t>(kOfRoutes[c].used(route)) << c;
  return out;
}

std::vector<snapshot::Unfit> lacking_clients(const FirstUses& uses) {
  std::vector<snapshot::Unfit> out;
  for (size_t c = 0; c < kCapabilities; ++c) {
    const Capability& lacked = kOfRoutes[c];
    if (uses.places[c].host < 0) continue;
    out.push_back({nullptr, "envoy", "", lacked.since,
                   absl::StrCat("virtual_hosts[", uses.places[c].host, "].routes[", uses.places[c].route, "].", lacked.field, ": Envoy knows it since ", lacked.since, "; before, ", lacked.otherwise)});
  }
  return out;
}

}  // namespace fairlead::pipeline
