// Whether a list of hosts needs weights at all; most do not, and the unweighted policies are O(1).
#pragma once

#include <algorithm>
#include <vector>

#include "dataplane/upstream/lb/host.h"

namespace fairlead::upstream {

inline bool equal_weights(const std::vector<LbHost*>& hosts) {
  return std::all_of(hosts.begin(), hosts.end(), [&](const LbHost* h) { return h->weight == hosts.front()->weight; });
}

}  // namespace fairlead::upstream
