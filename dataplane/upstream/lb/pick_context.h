// What a request brings to a pick. Plain data on the caller's stack: filled by the router for each attempt, read by the selector, kept by nobody.
// Everything is optional: `pick({})` is a first attempt without hash, session or retry policy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/clock.h"
#include "dataplane/upstream/lb/host.h"

namespace fairlead::upstream {

class PriorityLoad;

// A condition under which a retry wants another host than the one picked.
class HostPredicate {
 public:
  virtual ~HostPredicate() = default;
  virtual bool rejects(const LbHost& host) const = 0;
};

// envoy.retry_host_predicates.previous_hosts: those of the earlier attempts, which the caller keeps.
class PreviousHosts final : public HostPredicate {
 public:
  explicit PreviousHosts(std::span<const LbHost* const> tried) : tried_(tried) {}
  bool rejects(const LbHost& host) const override { return std::find(tried_.begin(), tried_.end(), &host) != tried_.end(); }

 private:
  std::span<const LbHost* const> tried_;
};

// envoy.retry_host_predicates.omit_canary_hosts
class OmitCanaryHosts final : public HostPredicate {
 public:
  bool rejects(const LbHost& host) const override { return host.canary; }
};

struct PickContext {
  // From the route's hash_policy. Without one, ring hash and Maglev pick at random; other policies do not look at it.
  std::optional<uint64_t> hash;

  // A host named by session persistence, "10.0.0.1:80"; taken while its status is among the cluster's override statuses, whatever its
  // priority. `strict`: otherwise no host at all instead of the policy's.
  std::string_view override_host;
  bool strict_override = false;

  // A retry's wishes: while any predicate rejects the host, pick again, at most `selection_retries` times; the last one is taken.
  std::span<const HostPredicate* const> predicates;
  uint32_t selection_retries = 0;  // RetryPolicy.host_selection_retry_max_attempts (Envoy 1.40: 1)

  // Shares of the priorities instead of the cluster's own (previous_priorities): see PriorityLoad::without. Hash policies keep theirs.
  const PriorityLoad* priorities = nullptr;

  // Set by the cluster when a policy needs it.
  MonotonicTime now{};

  bool rejects(const LbHost& host) const {
    return std::any_of(predicates.begin(), predicates.end(), [&](const HostPredicate* p) { return p->rejects(host); });
  }
};

}  // namespace fairlead::upstream
