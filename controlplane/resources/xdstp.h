// Names of the form xdstp://AUTHORITY/TYPE/ID?KEY=VALUE&…: the same resource whatever the order of its context parameters. Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fairlead::resources {

inline bool is_xdstp(std::string_view name) { return name.starts_with("xdstp:"); }

// The one way to write it, with parameters in order. Nothing: it is no such name (no type or id, a parameter twice or without a key, a broken escape,
// a fragment, which is for clients alone).
std::optional<std::string> canonical_xdstp(std::string_view name);
// The message type it names, "envoy.config.cluster.v3.Cluster"; empty when it is not such a name.
std::string_view type_in_xdstp(std::string_view name);

// "xdstp://a/T/some/*?k=v": all resources right below "some/" with these parameters.
bool is_glob(std::string_view name);
// Which glob a canonical name belongs to; empty when it is not such a name.
std::string glob_of(std::string_view name);

}  // namespace fairlead::resources
