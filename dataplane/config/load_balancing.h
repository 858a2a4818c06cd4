// LoadBalancing: how a cluster's hosts are picked, whichever of lb_policy and load_balancing_policy said so. Part of ClusterConfig; immutable.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace fairlead::config {

struct LoadBalancing {
  enum class Policy : uint8_t { RoundRobin, LeastRequest, Random, RingHash, Maglev };
  enum class HashFunction : uint8_t { XxHash, Murmur2 };

  Policy policy = Policy::RoundRobin;

  // Least request.
  uint32_t choice_count = 2;           // Envoy 1.40: 2
  double active_request_bias = 1.0;    // Envoy 1.40: 1.0
  std::string active_request_bias_key;  // of the runtime, which may set another
  bool full_scan = false;              // Envoy 1.40: N_CHOICES

  // Round robin and least request.
  struct SlowStart {
    std::chrono::milliseconds window{0};  // 0: off
    double aggression = 1.0;              // Envoy 1.40: 1.0
    std::string aggression_key;
    double min_weight_percent = 10.0;     // Envoy 1.40: 10 %
  };
  SlowStart slow_start;

  // Ring hash and Maglev.
  uint64_t minimum_ring_size = 1024;             // Envoy 1.40: 1024
  uint64_t maximum_ring_size = 8 * 1024 * 1024;  // Envoy 1.40: 8 Mi
  HashFunction hash_function = HashFunction::XxHash;
  uint64_t table_size = 65537;                   // Envoy 1.40: 65537
  bool use_hostname_for_hashing = false;
  uint32_t hash_balance_factor = 0;              // percent; 0: hosts may get any load

  // All.
  double healthy_panic_threshold = 50.0;  // Envoy 1.40: 50 %
  bool fail_traffic_on_panic = false;     // not for hash policies
  bool locality_weighted = false;
  uint8_t override_statuses = 0x23;       // bit per HealthStatus. Envoy 1.40: UNKNOWN, HEALTHY, DEGRADED

  // Zone-aware routing, when the bootstrap names a local cluster. Not for hash policies, nor where localities have weights to be chosen by.
  struct Zone {
    double routing_enabled = 100.0;     // Envoy 1.40: 100 %
    uint64_t min_cluster_size = 6;      // Envoy 1.40: 6
    std::optional<uint32_t> force_local_min;  // force_local_zone.min_size; force_locality_direct_routing: 1
    bool by_weight = false;             // locality_basis: HEALTHY_HOSTS_WEIGHT
  };
  Zone zone;

  bool hashes() const { return policy == Policy::RingHash || policy == Policy::Maglev; }
  bool zone_aware() const { return !hashes(); }
};

}  // namespace fairlead::config
