// A load-balancing policy over one list of hosts (the healthy, degraded or all hosts of a priority or of one of its localities), and the
// policies that need nothing but the list: round robin, least request and random. Rebuilt when the list changes; a pick allocates nothing.
// Runs on one worker, owned by the worker's cluster. Hosts outlive the policy. Ring hash and Maglev are tables: see hash_table.h.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/upstream/lb/host.h"
#include "dataplane/upstream/lb/pick_context.h"
#include "dataplane/upstream/lb/slow_start.h"

namespace fairlead::upstream {

class Random;

class Policy {
 public:
  virtual ~Policy() = default;
  // nullptr only if the list is empty. Every call moves the policy on: calling again is how a retry gets another host.
  virtual LbHost* pick(const PickContext& context) = 0;
};

struct LeastRequestOptions {
  uint32_t choice_count = 2;         // Envoy 1.40: LeastRequestLbConfig.choice_count
  double active_request_bias = 1.0;  // Envoy 1.40: LeastRequestLbConfig.active_request_bias
  bool full_scan = false;            // Envoy 1.40: N_CHOICES, LeastRequest.selection_method; a full scan is O(n)
};

// Which policy, with what it needs.
struct PolicyOptions {
  enum class Kind : uint8_t { RoundRobin, LeastRequest, Random };
  Kind kind = Kind::RoundRobin;
  LeastRequestOptions least_request;
  SlowStart slow_start;  // round robin and least request
};

// `now` decides which hosts are still in slow start; without slow start it does not matter.
//  round robin    equal weights: a cursor with a random start; unequal: earliest deadline first
//  least request  equal weights: the least busy of `choice_count` random hosts, or of all; unequal: earliest deadline first over
//                 weight / (active + 1)^bias
//  random         any; weights are ignored, as in Envoy
std::unique_ptr<Policy> make_policy(const PolicyOptions& options, std::vector<LbHost*> hosts, Random& random, MonotonicTime now = {});

// Private to the room: the makers behind make_policy.
std::unique_ptr<Policy> make_round_robin(std::vector<LbHost*> hosts, Random& random, const SlowStart& slow_start, MonotonicTime now);
std::unique_ptr<Policy> make_least_request(std::vector<LbHost*> hosts, const LeastRequestOptions& options, Random& random, const SlowStart& slow_start,
                                           MonotonicTime now);
std::unique_ptr<Policy> make_random(std::vector<LbHost*> hosts, Random& random);

}  // namespace fairlead::upstream
