// See registry.h.
#include "dataplane/config/registry.h"

#include <algorithm>

namespace fairlead::config {

void Registry::add(HttpFilterType type) {
  if (!type.per_route_type_url.empty()) per_route_[type.per_route_type_url] = type.type_url;
  const std::string key = type.type_url;
  http_filters_[key] = std::move(type);
}

const HttpFilterType* Registry::http_filter(std::string_view type_url) const {
  const auto it = http_filters_.find(type_url);
  return it == http_filters_.end() ? nullptr : &it->second;
}

const HttpFilterType* Registry::http_filter_by_per_route(std::string_view type_url) const {
  const auto it = per_route_.find(type_url);
  return it == per_route_.end() ? nullptr : http_filter(it->second);
}

std::vector<std::string> Registry::type_urls() const {
  std::vector<std::string> urls;
  for (const auto& [url, type] : http_filters_) urls.push_back(url);
  std::sort(urls.begin(), urls.end());
  return urls;
}

Registry& Registry::global() {
  static auto* registry = new Registry;
  return *registry;
}

}  // namespace fairlead::config
