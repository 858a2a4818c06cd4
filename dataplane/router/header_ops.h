// Header operations of one configuration level (weighted cluster, route, virtual host or route table): what to remove and
// what to add, with values rendered by formatters. Compiled on the main thread, applied on workers; immutable.
// Within a level removals come first; levels are applied by RouteTable's helpers in Envoy's order.
#pragma once

#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/format/formatter.h"

namespace google::protobuf {
template <typename T>
class RepeatedPtrField;
}
namespace envoy::config::core::v3 {
class HeaderValueOption;
}

namespace fairlead::router {

enum class AppendAction : uint8_t { AppendIfExistsOrAdd, AddIfAbsent, OverwriteIfExistsOrAdd, OverwriteIfExists };

struct HeaderAdd {
  std::string name;  // lower case
  format::Formatter value;
  AppendAction action = AppendAction::AppendIfExistsOrAdd;  // Envoy 1.40, HeaderValueOption.append_action
  bool keep_empty = false;
};

struct HeaderOps {
  std::vector<HeaderAdd> add;
  std::vector<std::string> remove;  // lower case

  bool empty() const { return add.empty() && remove.empty(); }
  void apply(http::HeaderMap& headers, const format::FormatContext& context) const;

  // Field paths in errors start with `path`, e.g. "request_headers_to_add[2]".
  static absl::StatusOr<HeaderOps> compile(const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
                                           const google::protobuf::RepeatedPtrField<std::string>& remove, const std::string& path);
};

}  // namespace fairlead::router
