// http_inspector has nothing to configure; its statistics. Pure; also linked by the control plane.
#pragma once

#include "dataplane/config/registry.h"
#include "dataplane/stats/registry.h"

namespace fairlead::filters::listener::http_inspector {

inline constexpr char kTypeUrl[] = "type.googleapis.com/envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";

enum class Stat : uint32_t { read_error, http10_found, http11_found, http2_found, http_not_found, first_histogram };
extern const stats::StatSet kStats;  // http_inspector.

void register_config(config::Registry& registry);

}  // namespace fairlead::filters::listener::http_inspector
