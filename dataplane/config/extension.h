// HTTP filters that get their configuration by extension config discovery (ECDS): what a connection manager says of such a filter, and what the
// control plane sends for it. Immutable, shared by pointer. Parsing is pure; main thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/address.h"
#include "dataplane/config/registry.h"

namespace envoy::config::core::v3 {
class ExtensionConfigSource;
class TypedExtensionConfig;
}

namespace fairlead::config {

struct FilterDiscovery {
  std::string name;                // of the filter, and of the resource
  std::string key;                 // the name and a hash of the source: filters with equal keys share one subscription
  ConfigSource source;
  bool without_warming = false;    // the listener does not wait for an answer: the default serves until then
  std::vector<std::string> types;  // allowed messages, sorted: "envoy.extensions.filters.http.fault.v3.HTTPFault"
  bool last = false;               // of its chain
  const HttpFilterType* default_type = nullptr;
  std::shared_ptr<const FilterConfig> default_config;  // null: requests get 500 while there is no configuration

  // Whether a configuration of that type may stand here; else Envoy's words.
  absl::Status admits(const HttpFilterType& type) const;
};

struct ExtensionConfig {
  std::string name;
  const HttpFilterType* type = nullptr;
  std::shared_ptr<const FilterConfig> config;
  uint64_t content_hash = 0;  // of the filter's message
};

// A terminal filter stands last and only there. Envoy 1.40's words.
absl::Status check_terminal(const std::string& name, const HttpFilterType& type, bool last);

// `field` starts every error: "….http_filters[0]".
absl::StatusOr<std::shared_ptr<const FilterDiscovery>> parse_filter_discovery(const envoy::config::core::v3::ExtensionConfigSource& proto, const std::string& name, bool last,
                                                                              const std::string& field, const Registry& registry);
absl::StatusOr<std::shared_ptr<const ExtensionConfig>> parse_extension(const envoy::config::core::v3::TypedExtensionConfig& proto, const Registry& registry);

}  // namespace fairlead::config
