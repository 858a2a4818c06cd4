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

// A filter of accepted sockets (tls_inspector) or of connections (tcp_proxy). Its configuration's problems are told apart by `field`.
struct ListenerFilterType {
  std::string type_url;
  std::string canonical;  // "envoy.filters.listener.tls_inspector"
  std::function<absl::StatusOr<std::shared_ptr<const FilterConfig>>(const google::protobuf::Any&, const std::string& field)> parse;
  bool udp = false;  // of a UDP listener's datagrams: those have only such, and no others have them
};

struct NetworkFilterType {
  std::string type_url;
  std::string canonical;  // "envoy.filters.network.tcp_proxy"
  bool terminal = false;
  std::function<absl::StatusOr<std::shared_ptr<const FilterConfig>>(const google::protobuf::Any&, const std::string& field)> parse;
};

class Registry {
 public:
  void add(HttpFilterType type);
  void add(ListenerFilterType type);
  void add(NetworkFilterType type);
  const ListenerFilterType* listener_filter(std::string_view type_url) const;
  const NetworkFilterType* network_filter(std::string_view type_url) const;
  const HttpFilterType* http_filter(std::string_view type_url) const;
  const HttpFilterType* http_filter_by_per_route(std::string_view type_url) const;
  std::vector<std::string> type_urls() const;  // of every kind, sorted; those of per-route messages too

  // The process's registry: filled before any configuration is read.
  static Registry& global();

 private:
  std::map<std::string, HttpFilterType, std::less<>> http_filters_;  // stable addresses: models keep pointers
  absl::flat_hash_map<std::string, std::string> per_route_;
  std::map<std::string, ListenerFilterType, std::less<>> listener_filters_;
  std::map<std::string, NetworkFilterType, std::less<>> network_filters_;
};

}  // namespace fairlead::config
