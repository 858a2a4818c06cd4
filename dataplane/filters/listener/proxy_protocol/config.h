// Which PROXY protocol headers a listener takes, and what of them it keeps. Pure; also linked by the control plane.
#pragma once

#include <map>
#include <string>

#include "dataplane/config/registry.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::listener::proxy_protocol {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";

enum class Stat : uint32_t { not_found_disallowed, not_found_allowed, first_histogram };
extern const stats::StatSet kStats;  // proxy_proto.[<stat_prefix>.]
enum class VersionStat : uint32_t { found, disallowed, error, first_histogram };
extern const stats::StatSet kVersionStats;  // proxy_proto.[<stat_prefix>.]versions.v1. and v2.

struct Config final : config::FilterConfig {
  // Where a TLV goes: dynamic metadata.
  struct Target {
    std::string metadata_namespace, key;
    bool base64 = false;
  };
  std::map<uint8_t, Target> rules;  // by type
  bool allow_without = false;       // streams without a header pass
  bool v1 = true, v2 = true;
  std::string stat_prefix;
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::listener::proxy_protocol
