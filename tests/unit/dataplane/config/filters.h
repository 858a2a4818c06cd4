// A registry with a terminal router filter and a harmless one before it, for tests of configurations.
#pragma once

#include "dataplane/config/registry.h"

namespace fairlead::test {

inline const config::Registry& filters() {
  static const auto* registry = [] {
    struct Plain : config::FilterConfig {};
    const auto parse = [](const google::protobuf::Any&) -> absl::StatusOr<std::shared_ptr<const config::FilterConfig>> {
      return std::make_shared<const Plain>();
    };
    auto* made = new config::Registry;
    made->add({"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "envoy.filters.http.router", true, parse, "", {}});
    made->add({"type.googleapis.com/google.protobuf.Struct", "test.plain", false, parse, "", {}});
    return made;
  }();
  return *registry;
}

}  // namespace fairlead::test
