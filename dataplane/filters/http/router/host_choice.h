// Which host an attempt goes to: what the request and its retry policy bring to the cluster's pick, and what earlier attempts leave for later ones.
// One per request with the router, on the stream's worker. Hosts of earlier attempts are only compared, as they may be gone.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "dataplane/router/route.h"
#include "dataplane/upstream/lb/pick_context.h"
#include "dataplane/upstream/lb/priority_load.h"

namespace fairlead::upstream {
class Cluster;
class Host;
}

namespace fairlead::filters::router {

class HostChoice {
 public:
  // `policy` may be null; `retry`: an earlier attempt has had its host, so the policy's wishes count. `context` holds what the request wishes.
  // Null: the cluster has none.
  upstream::Host* pick(upstream::Cluster& cluster, const fairlead::router::RetryPolicy* policy, upstream::PickContext context, bool retry);

 private:
  upstream::Host* pick_again(upstream::Cluster& cluster, const fairlead::router::RetryPolicy& policy, upstream::PickContext& context);
  void leave_priorities(const upstream::PriorityLoad& load, uint32_t frequency);

  absl::InlinedVector<const upstream::LbHost*, 2> tried_;
  // previous_priorities: those of the attempts so far, those left out, and the shares without them.
  absl::InlinedVector<uint32_t, 4> priorities_;
  std::vector<bool> excluded_;
  std::optional<upstream::PriorityLoad> load_;
};

}  // namespace fairlead::filters::router
