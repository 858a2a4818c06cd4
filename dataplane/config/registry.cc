// See registry.h.
#include "dataplane/config/registry.h"

#include <algorithm>

#include "base/descriptors.h"

namespace fairlead::config {

// What stands before the last slash of a type URL says where to look for the type, not which it is.
void Registry::add(HttpFilterType type) {
  if (!type.per_route_type_url.empty()) per_route_[type_name(type.per_route_type_url)] = type.type_url;
  const std::string key(type_name(type.type_url));
  http_filters_[key] = std::move(type);
}

const HttpFilterType* Registry::http_filter(std::string_view type_url) const {
  const auto it = http_filters_.find(type_name(type_url));
  return it == http_filters_.end() ? nullptr : &it->second;
}

const HttpFilterType* Registry::http_filter_by_per_route(std::string_view type_url) const {
  const auto it = per_route_.find(type_name(type_url));
  return it == per_route_.end() ? nullptr : http_filter(it->second);
}

void Registry::add(ListenerFilterType type) {
  const std::string key(type_name(type.type_url));
  listener_filters_[key] = std::move(type);
}

void Registry::add(NetworkFilterType type) {
  const std::string key(type_name(type.type_url));
  network_filters_[key] = std::move(type);
}

const ListenerFilterType* Registry::listener_filter(std::string_view type_url) const {
  const auto it = listener_filters_.find(type_name(type_url));
  return it == listener_filters_.end() ? nullptr : &it->second;
}

const NetworkFilterType* Registry::network_filter(std::string_view type_url) const {
  const auto it = network_filters_.find(type_name(type_url));
  return it == network_filters_.end() ? nullptr : &it->second;
}

std::vector<std::string> Registry::type_urls() const {
  std::vector<std::string> urls;
  for (const auto& [name, type] : listener_filters_) urls.push_back(type.type_url);
  for (const auto& [name, type] : network_filters_) urls.push_back(type.type_url);
  for (const auto& [name, type] : http_filters_) {
    urls.push_back(type.type_url);
    if (!type.per_route_type_url.empty()) urls.push_back(type.per_route_type_url);
  }
  std::sort(urls.begin(), urls.end());
  return urls;
}

Registry& Registry::global() {
  static auto* registry = new Registry;
  return *registry;
}

}  // namespace fairlead::config
