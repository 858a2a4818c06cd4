// The access control of connections: rules that are enforced, and rules that are only watched. Pure; also linked by the control plane.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "dataplane/config/registry.h"
#include "dataplane/filters/network/rbac/rules.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::network::rbac {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC";

enum class Stat : uint32_t { allowed, denied, first_histogram };
extern const stats::StatSet kStats;  // <stat_prefix>.rbac.
enum class ShadowStat : uint32_t { shadow_allowed, shadow_denied, first_histogram };
extern const stats::StatSet kShadowStats;  // <stat_prefix>.rbac.<shadow_rules_stat_prefix>

struct Config final : config::FilterConfig {
  std::string stat_prefix;
  std::string shadow_prefix;
  std::optional<Rules> rules, shadow;  // unset: everything passes
  bool continuous = false;
  std::chrono::milliseconds delay{0};  // before a denied connection is closed
};

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::network::rbac
