// A load-balancing policy over one list of hosts (the healthy, degraded or all hosts of a priority), and the policies that need nothing but
// the list: round robin, least request and random. Each is rebuilt when the list changes; a pick allocates nothing.
// Runs on one worker, owned by the worker's cluster. Hosts outlive the policy.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/upstream/lb/host.h"

namespace fairlead::upstream {

class Random;

// What a request brings to a pick.
struct PickContext {
  std::optional<uint64_t> hash;  // from the route's hash_policy
};

class Policy {
 public:
  virtual ~Policy() = default;
  // nullptr only if the list is empty. Every call moves the policy on: calling again is how a retry gets another host.
  virtual LbHost* pick(const PickContext& context) = 0;
};

struct LeastRequestOptions {
  uint32_t choice_count = 2;         // Envoy 1.40: LeastRequestLbConfig.choice_count
  double active_request_bias = 1.0;  // Envoy 1.40: LeastRequestLbConfig.active_request_bias
};

// Equal weights: a cursor with a random start. Unequal: earliest deadline first.
std::unique_ptr<Policy> make_round_robin(std::vector<LbHost*> hosts, Random& random);
// Equal weights: the least busy of `choice_count` random hosts. Unequal: earliest deadline first over weight / (active + 1)^bias.
std::unique_ptr<Policy> make_least_request(std::vector<LbHost*> hosts, const LeastRequestOptions& options, Random& random);
// Weights are ignored, as in Envoy.
std::unique_ptr<Policy> make_random(std::vector<LbHost*> hosts, Random& random);

}  // namespace fairlead::upstream
