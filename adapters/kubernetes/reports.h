// What replicas that do not lead tell the leader: what their own proxies said, as a short text in an annotation of the Lease, so that a Gateway whose
// proxies are connected elsewhere is spoken of truly. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "adapters/kubernetes/verdicts.h"

namespace fairlead::adapters::kubernetes {

// Of all replicas together an object may carry 256 KiB of annotations.
inline constexpr size_t kMostReport = 32 << 10;

// One line of JSON; empty: there are neither proxies nor refusals. Beyond kMostReport refusals are left out.
std::string to_report(const Verdicts& verdicts);
absl::StatusOr<Verdicts> from_report(std::string_view report);

// Adds what another replica says to our own: proxies add up, and those elsewhere are done when they are done with the very configuration that we have.
void add_report(Verdicts& own, const Verdicts& other);

}  // namespace fairlead::adapters::kubernetes
