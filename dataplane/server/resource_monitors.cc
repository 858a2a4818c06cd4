// See resource_monitors.h.
#include "dataplane/server/resource_monitors.h"

#include <malloc.h>

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status.h"

namespace fairlead::server {
namespace {

using Kind = config::ResourceMonitor::Kind;

// What has been allocated and not freed. Envoy 1.40 asks its allocator for the same: what that holds back for later does not count.
double heap_in_use(uint64_t limit) {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd) / static_cast<double>(limit);
}

absl::StatusOr<double> read_pressure(const std::string& path) {
  FL_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  double pressure = 0;
  if (!absl::SimpleAtod(text, &pressure)) return absl::InvalidArgumentError(absl::StrCat(path, ": failed to parse injected resource pressure"));
  if (!(pressure >= 0 && pressure <= 1)) return absl::OutOfRangeError(absl::StrCat(path, ": pressure out of range"));
  return pressure;
}

// A number, or "max" for none.
absl::StatusOr<std::optional<uint64_t>> read_bytes(const std::string& path) {
  FL_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  const std::string_view value = absl::StripAsciiWhitespace(text);
  uint64_t bytes = 0;
  if (value == "max") return std::optional<uint64_t>();
  if (!absl::SimpleAtoi(value, &bytes)) return absl::InvalidArgumentError(absl::StrCat(path, ": not a number (", value, ")"));
  return std::optional<uint64_t>(bytes);
}

// Version 2's files, else version 1's. The limit is read each time: it may be changed under a running process.
absl::StatusOr<Measure> cgroup_monitor(uint64_t own_limit, const std::string& root) {
  std::string used = absl::StrCat(root, "/memory.current"), most = absl::StrCat(root, "/memory.max");
  if (!read_file(used).ok()) {
    used = absl::StrCat(root, "/memory/memory.usage_in_bytes");
    most = absl::StrCat(root, "/memory/memory.limit_in_bytes");
  }
  if (!read_file(used).ok()) return absl::NotFoundError(absl::StrCat("No supported cgroup memory implementation found (below ", root, ")"));
  return Measure([used, most, own_limit]() -> absl::StatusOr<double> {
    FL_ASSIGN_OR_RETURN(const std::optional<uint64_t> now, read_bytes(used));
    FL_ASSIGN_OR_RETURN(std::optional<uint64_t> limit, read_bytes(most));
    if (own_limit != 0) limit = std::min(limit.value_or(own_limit), own_limit);
    if (!limit || !now) return 0.0;
    return *limit == 0 ? 1.0 : static_cast<double>(*now) / static_cast<double>(*limit);
  });
}

}  // namespace

absl::StatusOr<Measure> make_monitor(const config::ResourceMonitor& monitor, const std::string& cgroup_root) {
  switch (monitor.kind) {
    case Kind::FixedHeap: return Measure([limit = monitor.limit]() -> absl::StatusOr<double> { return heap_in_use(limit); });
    case Kind::CgroupMemory: return cgroup_monitor(monitor.limit, cgroup_root);
    case Kind::InjectedResource: return Measure([path = monitor.file_name] { return read_pressure(path); });
    case Kind::DownstreamConnections: break;
  }
  return Measure();
}

}  // namespace fairlead::server
