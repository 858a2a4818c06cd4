// RDS resources and inline routes: validated, checked for support and compiled. Main thread; pure.
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include "dataplane/config/hcm.h"
#include "dataplane/config/support.h"

namespace fairlead::config {

// A table that came by RDS. Errors are "route configuration 'x': field.path: what (value)", all at once.
absl::StatusOr<std::shared_ptr<const router::RouteTable>> parse_route_table(const envoy::config::route::v3::RouteConfiguration& proto,
                                                                            const HcmOptions& options = {},
                                                                            SupportFindings* findings = nullptr);

}  // namespace fairlead::config
