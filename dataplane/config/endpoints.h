// EndpointSet: a ClusterLoadAssignment as an immutable model: priorities → localities → endpoints. Comes from the cluster itself or
// from EDS; resolved DNS clusters get theirs from upstream/. Shared by all workers of an epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "dataplane/config/address.h"
#include "dataplane/config/support.h"

namespace envoy::config::core::v3 {
class Metadata;
}
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace fairlead::config {

enum class HealthStatus : uint8_t { Unknown, Healthy, Unhealthy, Draining, Timeout, Degraded };

// Where and whether an endpoint is checked, if not at its own address.
struct EndpointCheck {
  std::optional<Address> address;
  uint16_t port = 0;     // 0: the endpoint's
  std::string hostname;  // the host header; empty: the check's own
  bool disabled = false;
};

struct Endpoint {
  Address address;
  std::vector<Address> additional;  // of the same endpoint: connects to `address` and these are raced
  std::string hostname;
  uint32_t weight = 1;  // Envoy 1.40: 1 when unset
  HealthStatus health = HealthStatus::Unknown;
  std::optional<EndpointCheck> check;
  std::shared_ptr<const envoy::config::core::v3::Metadata> metadata;

  // Envoy 1.40: UNKNOWN counts as healthy; DRAINING and TIMEOUT as unhealthy.
  bool usable() const { return health == HealthStatus::Unknown || health == HealthStatus::Healthy || health == HealthStatus::Degraded; }
};

struct Locality {
  std::string region, zone, sub_zone;
  uint32_t weight = 0;  // 0: unset
  std::vector<Endpoint> endpoints;
};

// A share of requests that is answered 503 before any host is picked (Policy.drop_overloads).
struct DropOverload {
  std::string category;
  uint32_t per_million = 0;
};

struct EndpointSet {
  std::string cluster_name;
  std::vector<std::vector<Locality>> priorities;  // index = priority, contiguous from 0
  uint32_t overprovisioning_factor = 140;         // Envoy 1.40: 140 %
  bool weighted_priority_health = false;
  std::optional<DropOverload> drop_overload;      // Envoy 1.40 takes one category
  uint64_t content_hash = 0;

  size_t size() const;  // endpoints of all priorities
};

// Validates, checks support and builds; errors name the cluster and the field path.
absl::StatusOr<std::shared_ptr<const EndpointSet>> parse_endpoints(const envoy::config::endpoint::v3::ClusterLoadAssignment& proto,
                                                                   SupportFindings* findings = nullptr);

// Only builds. `dns_names_allowed`: hosts may be names (STRICT_DNS, LOGICAL_DNS). `field` starts every path.
absl::StatusOr<std::shared_ptr<const EndpointSet>> build_endpoints(const envoy::config::endpoint::v3::ClusterLoadAssignment& proto,
                                                                   bool dns_names_allowed, const std::string& field);

}  // namespace fairlead::config
