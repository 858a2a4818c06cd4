// Which host an attempt goes to: what the request and its retry policy bring to the cluster's pick, and what earlier attempts leave for later ones.
// One per request with the router, on the stream's worker. Hosts of earlier attempts are only compared, as they may be gone.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/container/inlined_vector.h>

#include "dataplane/filters/http/router/lazy.h"
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
  // Of policies with predicates alone.
  struct Past {
    absl::InlinedVector<const upstream::LbHost*, 2> tried;
    // previous_priorities: those of the attempts so far, those left out, and the shares without them.
    absl::InlinedVector<uint32_t, 4> priorities;
    std::vector<bool> excluded;
    std::optional<upstream::PriorityLoad> load;
  };
  upstream::Host* pick_again(upstream::Cluster& cluster, const fairlead::router::RetryPolicy& policy, upstream::PickContext& context);
  static void leave_priorities(Past& past, const upstream::PriorityLoad& load, uint32_t frequency);

  Lazy<Past> past_;
};

}  // namespace fairlead::filters::router
