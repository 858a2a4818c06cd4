// ClusterLoadAssignment → EndpointSet; see endpoints.h.
#include "dataplane/config/endpoints.h"

#include <limits>

#include <absl/strings/str_cat.h>

#include "dataplane/config/fields.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"

namespace fairlead::config {
namespace {

HealthStatus health_of(envoy::config::core::v3::HealthStatus status) {
  switch (status) {
    case envoy::config::core::v3::HEALTHY: return HealthStatus::Healthy;
    case envoy::config::core::v3::UNHEALTHY: return HealthStatus::Unhealthy;
    case envoy::config::core::v3::DRAINING: return HealthStatus::Draining;
    case envoy::config::core::v3::TIMEOUT: return HealthStatus::Timeout;
    case envoy::config::core::v3::DEGRADED: return HealthStatus::Degraded;
    default: return HealthStatus::Unknown;
  }
}

absl::StatusOr<Address> endpoint_address(const envoy::config::core::v3::Address& proto, bool dns_names_allowed, const std::string& field) {
  FL_ASSIGN_OR_RETURN(Address address, parse_address(proto, field));
  if (!dns_names_allowed && address.kind == Address::Kind::Socket && !address.is_ip()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": malformed IP address: ", address.host,
                                                   ". Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'"));
  }
  return address;
}

absl::StatusOr<Endpoint> build_endpoint(const envoy::config::endpoint::v3::LbEndpoint& proto, bool dns_names_allowed, const std::string& field) {
  if (!proto.has_endpoint()) return absl::InvalidArgumentError(absl::StrCat(field, ".host_identifier: endpoint must be set"));
  Endpoint endpoint;
  FL_ASSIGN_OR_RETURN(endpoint.address, endpoint_address(proto.endpoint().address(), dns_names_allowed, field + ".endpoint.address"));
  // Envoy 1.40: of the endpoints of DNS clusters nobody reads them
  for (int i = 0; i < proto.endpoint().additional_addresses_size() && !dns_names_allowed; ++i) {
    FL_ASSIGN_OR_RETURN(endpoint.additional.emplace_back(), endpoint_address(proto.endpoint().additional_addresses(i).address(), false, absl::StrCat(field, ".endpoint.additional_addresses[", i, "].address")));
  }
  endpoint.hostname = proto.endpoint().hostname();
  if (proto.endpoint().has_health_check_config()) {
    const auto& check = proto.endpoint().health_check_config();
    EndpointCheck& out = endpoint.check.emplace();
    if (check.has_address()) {
      FL_ASSIGN_OR_RETURN(out.address.emplace(), endpoint_address(check.address(), dns_names_allowed, field + ".endpoint.health_check_config.address"));
    }
    out.port = static_cast<uint16_t>(check.port_value());
    out.hostname = check.hostname();
    out.disabled = check.disable_active_health_check();
  }
  if (proto.has_load_balancing_weight()) endpoint.weight = proto.load_balancing_weight().value();
  endpoint.health = health_of(proto.health_status());
  if (proto.has_metadata()) endpoint.metadata = std::make_shared<const envoy::config::core::v3::Metadata>(proto.metadata());
  return endpoint;
}

absl::StatusOr<std::optional<DropOverload>> build_drop_overload(const envoy::config::endpoint::v3::ClusterLoadAssignment::Policy& proto, const std::string& field) {
  if (proto.drop_overloads_size() == 0) return std::nullopt;
  if (proto.drop_overloads_size() > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": Cluster drop_overloads config has ", proto.drop_overloads_size(), " categories. Envoy only support one."));
  }
  const auto& percentage = proto.drop_overloads(0).drop_percentage();
  uint64_t denominator = 100;
  if (percentage.denominator() == envoy::type::v3::FractionalPercent::TEN_THOUSAND) denominator = 10'000;
  if (percentage.denominator() == envoy::type::v3::FractionalPercent::MILLION) denominator = 1'000'000;
  if (percentage.numerator() > denominator) {
    return absl::InvalidArgumentError(absl::StrCat(field, "[0].drop_percentage: above 1 (", percentage.numerator(), " / ", denominator, ")"));
  }
  return DropOverload{proto.drop_overloads(0).category(), static_cast<uint32_t>(1'000'000 / denominator * percentage.numerator())};
}

}  // namespace

size_t EndpointSet::size() const {
  size_t count = 0;
  for (const auto& localities : priorities) {
    for (const Locality& locality : localities) count += locality.endpoints.size();
  }
  return count;
}

absl::StatusOr<std::shared_ptr<const EndpointSet>> build_endpoints(const envoy::config::endpoint::v3::ClusterLoadAssignment& proto,
                                                                   bool dns_names_allowed, const std::string& field) {
  auto set = std::make_shared<EndpointSet>();
  ErrorList errors(8);
  set->cluster_name = proto.cluster_name();
  set->content_hash = hash_of(proto);
  if (proto.policy().has_overprovisioning_factor()) set->overprovisioning_factor = proto.policy().overprovisioning_factor().value();
  set->weighted_priority_health = proto.policy().weighted_priority_health();
  auto drop = build_drop_overload(proto.policy(), field + "policy.drop_overloads");
  if (errors.check(drop)) set->drop_overload = std::move(*drop);
  std::vector<uint64_t> locality_weights;
  for (int i = 0; i < proto.endpoints_size(); ++i) {
    const auto& group = proto.endpoints(i);
    const std::string place = absl::StrCat(field, "endpoints[", i, "]");
    if (group.priority() > 128) {  // Envoy 1.40, LocalityLbEndpoints.priority
      errors.add(place + ".priority", absl::StrCat("above 128 (", group.priority(), ")"));
      continue;
    }
    if (set->priorities.size() <= group.priority()) {
      set->priorities.resize(group.priority() + 1);
      locality_weights.resize(group.priority() + 1);
    }
    Locality locality;
    locality.region = group.locality().region();
    locality.zone = group.locality().zone();
    locality.sub_zone = group.locality().sub_zone();
    locality.weight = group.load_balancing_weight().value();
    locality_weights[group.priority()] += locality.weight;
    uint64_t weights = 0;
    for (int k = 0; k < group.lb_endpoints_size(); ++k) {
      auto endpoint = build_endpoint(group.lb_endpoints(k), dns_names_allowed, absl::StrCat(place, ".lb_endpoints[", k, "]"));
      if (!errors.check(endpoint)) continue;
      weights += endpoint->weight;
      locality.endpoints.push_back(std::move(*endpoint));
    }
    constexpr uint64_t most = std::numeric_limits<uint32_t>::max();
    if (weights > most) errors.add(place, absl::StrCat("The sum of weights of all endpoints in the locality exceeds ", most));
    if (locality_weights[group.priority()] > most) {
      errors.add(place, absl::StrCat("The sum of weights of all localities at the same priority exceeds ", most));
    }
    set->priorities[group.priority()].push_back(std::move(locality));
  }
  if (!errors.empty()) return errors.status();
  return std::shared_ptr<const EndpointSet>(std::move(set));
}

absl::StatusOr<std::shared_ptr<const EndpointSet>> parse_endpoints(const envoy::config::endpoint::v3::ClusterLoadAssignment& proto,
                                                                   SupportFindings* findings) {
  const std::string place = absl::StrCat("endpoints of '", proto.cluster_name(), "'");
  FL_RETURN_IF_ERROR(prefix(place, admit(proto, findings)));
  auto set = build_endpoints(proto, false, "");
  if (!set.ok()) return prefix(place, set.status());
  return set;
}

}  // namespace fairlead::config
