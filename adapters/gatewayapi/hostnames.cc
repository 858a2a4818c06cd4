// Intersection of hostnames. See hostnames.h.
#include "adapters/gatewayapi/hostnames.h"

#include <set>

#include "absl/strings/match.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// "*.example.com" covers "a.example.com", "a.b.example.com" and "*.a.example.com".
bool below(std::string_view name, std::string_view wildcard) {
  return absl::StartsWith(wildcard, "*.") && absl::EndsWith(name, wildcard.substr(1)) && name.size() > wildcard.size() - 1;
}

}  // namespace

std::optional<std::string> intersect(std::string_view a, std::string_view b) {
  if (a.empty() || a == b) return std::string(b);
  if (b.empty() || below(a, b)) return std::string(a);
  if (below(b, a)) return std::string(b);
  return std::nullopt;
}

std::vector<std::string> route_hostnames(std::string_view listener, const std::vector<std::string>& route) {
  std::set<std::string> result;
  if (route.empty()) {
    result.insert(listener.empty() ? "*" : std::string(listener));
  }
  for (const std::string& name : route) {
    if (std::optional<std::string> both = intersect(listener, name)) result.insert(*both);
  }
  return {result.begin(), result.end()};
}

}  // namespace fairlead::adapters::gatewayapi
