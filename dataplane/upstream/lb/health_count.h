// Counts hosts into the health of their priority. Private to the room: the selector and the hash tables must count alike.
#pragma once

#include "dataplane/upstream/lb/host.h"
#include "dataplane/upstream/lb/priority_load.h"

namespace fairlead::upstream {

inline void count_host(PriorityHealth& priority, Health health, bool excluded, uint32_t weight, bool weighted) {
  if (excluded) {
    ++priority.excluded;
    return;
  }
  const uint64_t counted = weighted ? weight : 0;
  ++priority.hosts;
  priority.weight += counted;
  if (health == Health::kHealthy) {
    ++priority.healthy;
    priority.healthy_weight += counted;
  } else if (health == Health::kDegraded) {
    ++priority.degraded;
    priority.degraded_weight += counted;
  }
}

}  // namespace fairlead::upstream
