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

constexpr Capability kOfRoutes[] = {
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

std::vector<snapshot::Unfit> lacking_clients(const resources::Resource& resource) {
  std::vector<snapshot::Unfit> out;
  v3::RouteConfiguration table;
  const std::string_view body = resource.body();
  if (resource.type != resources::Type::kRoute || !table.ParseFromArray(body.data(), static_cast<int>(body.size()))) return out;
  for (const Capability& c : kOfRoutes) {
    const auto first = [&]() -> std::string {
      for (int h = 0; h < table.virtual_hosts_size(); ++h) {
        for (int r = 0; r < table.virtual_hosts(h).routes_size(); ++r) {
          if (c.used(table.virtual_hosts(h).routes(r))) return absl::StrCat("virtual_hosts[", h, "].routes[", r, "].", c.field);
        }
      }
      return "";
    }();
    if (!first.empty()) out.push_back({nullptr, "envoy", "", c.since, absl::StrCat(first, ": Envoy knows it since ", c.since, "; before, ", c.otherwise)});
  }
  return out;
}

}  // namespace fairlead::pipeline
