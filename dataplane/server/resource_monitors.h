// What the overload manager measures: each monitor is a function that says how much of a resource is in use, from 0 to 1 and, where it is more than
// there should be, beyond. Main thread.
#pragma once

#include <functional>

#include "absl/status/statusor.h"
#include "dataplane/config/overload.h"

namespace fairlead::server {

using Measure = std::function<absl::StatusOr<double>()>;

// Empty for DownstreamConnections, which the server counts itself. Errors: the resource cannot be measured on this machine.
// `cgroup_root`: "/sys/fs/cgroup", or a test's own.
absl::StatusOr<Measure> make_monitor(const config::ResourceMonitor& monitor, const std::string& cgroup_root = "/sys/fs/cgroup");

}  // namespace fairlead::server
