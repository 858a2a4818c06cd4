// Intersection of hostnames. See hostnames.h.
#include "adapters/gatewayapi/hostnames.h"

#include <algorithm>

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
  std::vector<std::string> result;
  if (route.empty()) result.emplace_back(listener.empty() ? "*" : listener);
  for (const std::string& name : route) {
    if (std::optional<std::string> both = intersect(listener, name)) result.push_back(*std::move(both));
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

}  // namespace fairlead::adapters::gatewayapi
