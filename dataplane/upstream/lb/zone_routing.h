// Zone-aware routing: how much of this proxy's traffic stays in its own locality, and where the rest goes. Compares the share of healthy hosts
// per locality in the upstream cluster with that of the cluster this proxy belongs to. Pure; computed when either changes, a pick is one draw
// and a scan over localities. Only priority 0 is routed so.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fairlead::upstream {

class Random;

struct ZoneOptions {
  uint32_t routing_percent = 100;               // Envoy 1.40: 100 %, ZoneAwareLbConfig.routing_enabled
  uint64_t min_cluster_size = 6;                // Envoy 1.40: 6, ZoneAwareLbConfig.min_cluster_size
  std::optional<uint32_t> force_local_min;      // force_local_zone.min_size, or 1 with force_locality_direct_routing
  bool by_weight = false;                       // locality_basis HEALTHY_HOSTS_WEIGHT

  bool operator==(const ZoneOptions&) const = default;
};

// What is known of the cluster this proxy belongs to (ClusterManager.local_cluster_name).
struct LocalZones {
  size_t localities = 0;           // with hosts
  bool own_has_hosts = false;      // this proxy's own locality is among them
  bool panic = false;              // by the upstream cluster's threshold
  uint64_t total = 0;              // healthy hosts, or their weight
  std::vector<uint64_t> shares;    // of that, per locality of the upstream cluster's priority 0, in its order
};

// The upstream cluster's priority 0: localities that have hosts, this proxy's own first if it is among them.
struct UpstreamZones {
  bool own_first = false;
  size_t healthy_hosts = 0;
  size_t own_healthy_hosts = 0;
  std::vector<uint64_t> shares;    // healthy hosts per locality, or their weight
};

class ZoneRouting {
 public:
  enum class Mode : uint8_t { Off, Direct, Residual };
  enum class Why : uint8_t { None, TooFewLocalities, LocalClusterNotOk, ClusterTooSmall };
  enum class Outcome : uint8_t { AllDirectly, Sampled, CrossZone, NoCapacityLeft };  // the statistic lb_zone_… of the pick

  static ZoneRouting compute(const ZoneOptions& options, const LocalZones& local, const UpstreamZones& upstream);

  Mode mode() const { return mode_; }
  Why why_off() const { return why_; }
  uint64_t local_percent() const { return local_percent_; }  // of 10,000; Residual only
  // Position of a locality; only while the mode is not Off.
  uint32_t pick(Random& random, Outcome& outcome) const;

 private:
  Mode mode_ = Mode::Off;
  Why why_ = Why::None;
  uint64_t local_percent_ = 0;
  std::vector<uint64_t> residual_;  // running sums of capacity left, per locality
};

}  // namespace fairlead::upstream
