// Hostnames of listeners and routes. Pure. "" means every host; "*.example.com" every name below example.com, at any
// depth, but not example.com itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::adapters::gatewayapi {

// The names that both cover, as one hostname; nothing when there are none.
std::optional<std::string> intersect(std::string_view a, std::string_view b);

// The hostnames a route has on a listener: each of the route's that meets the listener's, cut down to it. No hostname
// on either side gives "*". Sorted, without duplicates; empty when nothing meets.
std::vector<std::string> route_hostnames(std::string_view listener, const std::vector<std::string>& route);

}  // namespace fairlead::adapters::gatewayapi
