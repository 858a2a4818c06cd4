// The registry of extensions: which type URL is parsed by whom. Filters register a pure parse function at start-up
// (filters/<name>/config.cc), so config/ knows none of them by name. Main thread while registering, read-only afterwards.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/statusor.h>

#include "dataplane/router/route.h"

namespace google::protobuf {
class Any;
}

namespace fairlead::config {

// The parsed, immutable configuration of one HTTP filter; each filter derives its own.
struct FilterConfig {
  virtual ~FilterConfig() = default;
};

struct HttpFilterType {
  std::string type_url;   // "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
  std::string canonical;  // "envoy.filters.http.router"
  bool terminal = false;
  std::function<absl::StatusOr<std::shared_ptr<const FilterConfig>>(const google::protobuf::Any&)> parse;
  // Optional: typed_per_filter_config of this filter, by the type URL of its per-route message.
  std::string per_route_type_url;
  std::function<absl::StatusOr<std::shared_ptr<const router::PerFilterConfig>>(const google::protobuf::Any&)> parse_per_route;
};

class Registry {
 public:
  void add(HttpFilterType type);
  const HttpFilterType* http_filter(std::string_view type_url) const;
  const HttpFilterType* http_filter_by_per_route(std::string_view type_url) const;
  std::vector<std::string> type_urls() const;  // sorted; those of per-route messages too

  // The process's registry: filled before any configuration is read.
  static Registry& global();

 private:
  std::map<std::string, HttpFilterType, std::less<>> http_filters_;  // stable addresses: models keep pointers
  absl::flat_hash_map<std::string, std::string> per_route_;
};

}  // namespace fairlead::config
