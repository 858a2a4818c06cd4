// What load balancing knows of a host: weight, health and how much it has in flight. The worker's Host derives from it; tests use it bare.
// Owned by the worker's cluster; policies keep plain pointers and are rebuilt whenever the set of hosts or a weight or health changes.
#pragma once

#include <cstdint>

namespace fairlead::upstream {

enum class Health : uint8_t { kHealthy, kDegraded, kUnhealthy };

struct LbHost {
  uint32_t weight = 1;           // >= 1
  uint32_t priority = 0;         // 0 is tried first
  uint32_t locality = 0;         // position among all localities of the cluster
  Health health = Health::kHealthy;
  uint32_t active_requests = 0;  // of this worker
};

}  // namespace fairlead::upstream
