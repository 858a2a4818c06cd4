// lb_policy, common_lb_config and load_balancing_policy → LoadBalancing; see cluster_lb.h.
#include "dataplane/config/cluster_lb.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "dataplane/config/fields.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb.h"
#include "envoy/extensions/load_balancing_policies/maglev/v3/maglev.pb.h"
#include "envoy/extensions/load_balancing_policies/random/v3/random.pb.h"
#include "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb.h"
#include "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb.h"

namespace fairlead::config {
namespace cluster_v3 = envoy::config::cluster::v3;
namespace lb = envoy::extensions::load_balancing_policies;
namespace {

bool is_prime(uint64_t n) {
  if (n < 2) return false;
  for (uint64_t d = 2; d * d <= n; ++d) {
    if (n % d == 0) return false;
  }
  return true;
}

// The deprecated Cluster.SlowStartConfig and the extensions' one have the same fields.
template <typename T>
void read_slow_start(const T& proto, LoadBalancing& out) {
  if (!proto.has_slow_start_config()) return;
  const auto& slow_start = proto.slow_start_config();
  out.slow_start.window = ms(slow_start.slow_start_window());
  if (slow_start.has_aggression()) {
    out.slow_start.aggression = slow_start.aggression().default_value();
    out.slow_start.aggression_key = slow_start.aggression().runtime_key();
  }
  if (slow_start.has_min_weight_percent()) out.slow_start.min_weight_percent = slow_start.min_weight_percent().value();
}

template <typename T>
void read_least_request(const T& proto, LoadBalancing& out) {
  if (proto.has_choice_count()) out.choice_count = proto.choice_count().value();
  if (proto.has_active_request_bias()) {
    out.active_request_bias = proto.active_request_bias().default_value();
    out.active_request_bias_key = proto.active_request_bias().runtime_key();
  }
  read_slow_start(proto, out);
}

void read_zone(const lb::common::v3::LocalityLbConfig::ZoneAwareLbConfig& proto, LoadBalancing& out) {
  if (proto.has_routing_enabled()) out.zone.routing_enabled = proto.routing_enabled().value();
  if (proto.has_min_cluster_size()) out.zone.min_cluster_size = proto.min_cluster_size().value();
  out.fail_traffic_on_panic = proto.fail_traffic_on_panic();
  // Envoy 1.40: force_local_zone supersedes force_locality_direct_routing
  if (proto.force_locality_direct_routing()) out.zone.force_local_min = 1;
  if (proto.has_force_local_zone()) out.zone.force_local_min = proto.force_local_zone().has_min_size() ? proto.force_local_zone().min_size().value() : 1;
  out.zone.by_weight = proto.locality_basis() == lb::common::v3::LocalityLbConfig::ZoneAwareLbConfig::HEALTHY_HOSTS_WEIGHT;
}

template <typename T>
void read_locality(const T& proto, LoadBalancing& out) {
  out.locality_weighted = proto.locality_lb_config().has_locality_weighted_lb_config();
  if (proto.locality_lb_config().has_zone_aware_lb_config()) read_zone(proto.locality_lb_config().zone_aware_lb_config(), out);
}

void check_ring(const LoadBalancing& out, const std::string& field, ErrorList& errors) {
  if (out.minimum_ring_size > out.maximum_ring_size) {
    errors.add(field, absl::StrCat("ring hash: minimum_ring_size (", out.minimum_ring_size, ") > maximum_ring_size (", out.maximum_ring_size, ")"));
  }
}

void check_maglev(const LoadBalancing& out, const std::string& field, ErrorList& errors) {
  if (!is_prime(out.table_size)) errors.add(absl::StrCat(field, ".table_size"), absl::StrCat("The table size of maglev must be prime number (", out.table_size, ")"));
}

template <typename T>
void read_consistent(const T& proto, LoadBalancing& out) {
  out.use_hostname_for_hashing = proto.use_hostname_for_hashing();
  if (proto.has_hash_balance_factor()) out.hash_balance_factor = proto.hash_balance_factor().value();
}

// Envoy 1.40: only names that DNS resolved are hostnames to the older field; the extensions take them from any endpoint.
void check_hostname(const cluster_v3::Cluster& proto, const LoadBalancing& out, ErrorList& errors) {
  if (!out.use_hostname_for_hashing || proto.type() == cluster_v3::Cluster::STRICT_DNS) return;
  const char* type = proto.type() == cluster_v3::Cluster::EDS ? "eds" : proto.type() == cluster_v3::Cluster::LOGICAL_DNS ? "logical_dns" : "static";
  errors.add("common_lb_config.consistent_hashing_lb_config.use_hostname_for_hashing",
             absl::StrCat("Cannot use hostname for consistent hashing loadbalancing for cluster of type: 'envoy.cluster.", type, "'"));
}

template <typename T>
void read_ring_size(const T& proto, LoadBalancing& out) {
  if (proto.has_minimum_ring_size()) out.minimum_ring_size = proto.minimum_ring_size().value();
  if (proto.has_maximum_ring_size()) out.maximum_ring_size = proto.maximum_ring_size().value();
}

void read(const lb::round_robin::v3::RoundRobin& proto, const std::string&, LoadBalancing& out, ErrorList&) {
  out.policy = LoadBalancing::Policy::RoundRobin;
  read_slow_start(proto, out);
  read_locality(proto, out);
}

void read(const lb::least_request::v3::LeastRequest& proto, const std::string&, LoadBalancing& out, ErrorList&) {
  out.policy = LoadBalancing::Policy::LeastRequest;
  read_least_request(proto, out);
  read_locality(proto, out);
  out.full_scan = proto.selection_method() == lb::least_request::v3::LeastRequest::FULL_SCAN;
}

void read(const lb::random::v3::Random& proto, const std::string&, LoadBalancing& out, ErrorList&) {
  out.policy = LoadBalancing::Policy::Random;
  read_locality(proto, out);
}

void read(const lb::ring_hash::v3::RingHash& proto, const std::string& field, LoadBalancing& out, ErrorList& errors) {
  out.policy = LoadBalancing::Policy::RingHash;
  read_ring_size(proto, out);
  if (proto.hash_function() == lb::ring_hash::v3::RingHash::MURMUR_HASH_2) out.hash_function = LoadBalancing::HashFunction::Murmur2;
  out.locality_weighted = proto.has_locality_weighted_lb_config();
  // Envoy 1.40: consistent_hashing_lb_config, when set, counts instead of the older fields beside it
  if (proto.has_consistent_hashing_lb_config()) {
    read_consistent(proto.consistent_hashing_lb_config(), out);
  } else {
    read_consistent(proto, out);
  }
  check_ring(out, field, errors);
}

void read(const lb::maglev::v3::Maglev& proto, const std::string& field, LoadBalancing& out, ErrorList& errors) {
  out.policy = LoadBalancing::Policy::Maglev;
  if (proto.has_table_size()) out.table_size = proto.table_size().value();
  read_consistent(proto.consistent_hashing_lb_config(), out);
  out.locality_weighted = proto.has_locality_weighted_lb_config();
  check_maglev(out, field, errors);
}

// True when `any` is a T: it has then been read, or the error noted.
template <typename T>
bool read_if(const google::protobuf::Any& any, const std::string& field, LoadBalancing& out, ErrorList& errors) {
  if (!any.Is<T>()) return false;
  auto policy = unpack_as<T>(any, field);
  if (errors.check(policy)) read(*policy, field, out, errors);
  return true;
}

// The first policy of the list that this proxy has; the others are not even looked at.
void parse_policy_list(const cluster_v3::LoadBalancingPolicy& proto, ClusterConfig& out, ErrorList& errors) {
  std::vector<std::string> names;
  for (int i = 0; i < proto.policies_size(); ++i) {
    const auto& extension = proto.policies(i).typed_extension_config();
    const auto& any = extension.typed_config();
    const std::string field = absl::StrCat("load_balancing_policy.policies[", i, "].typed_extension_config.typed_config");
    if (read_if<lb::round_robin::v3::RoundRobin>(any, field, out.lb, errors) || read_if<lb::least_request::v3::LeastRequest>(any, field, out.lb, errors) ||
        read_if<lb::random::v3::Random>(any, field, out.lb, errors) || read_if<lb::ring_hash::v3::RingHash>(any, field, out.lb, errors) ||
        read_if<lb::maglev::v3::Maglev>(any, field, out.lb, errors)) {
      return;
    }
    names.push_back(extension.name());
  }
  errors.add("load_balancing_policy", absl::StrCat("cluster: didn't find a registered load balancer factory implementation for cluster: '", out.name, "' with names from [",
                                                   absl::StrJoin(names, ", "), "]"));
}

void parse_legacy(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  const auto& common = proto.common_lb_config();
  out.lb.locality_weighted = common.has_locality_weighted_lb_config();
  if (common.has_zone_aware_lb_config()) {
    const auto& zone = common.zone_aware_lb_config();
    if (zone.has_routing_enabled()) out.lb.zone.routing_enabled = zone.routing_enabled().value();
    if (zone.has_min_cluster_size()) out.lb.zone.min_cluster_size = zone.min_cluster_size().value();
    out.lb.fail_traffic_on_panic = zone.fail_traffic_on_panic();
  }
  read_consistent(common.consistent_hashing_lb_config(), out.lb);
  check_hostname(proto, out.lb, errors);
  switch (proto.lb_policy()) {
    case cluster_v3::Cluster::ROUND_ROBIN:
      out.lb.policy = LoadBalancing::Policy::RoundRobin;
      read_slow_start(proto.round_robin_lb_config(), out.lb);
      break;
    case cluster_v3::Cluster::LEAST_REQUEST:
      out.lb.policy = LoadBalancing::Policy::LeastRequest;
      read_least_request(proto.least_request_lb_config(), out.lb);
      break;
    case cluster_v3::Cluster::RANDOM: out.lb.policy = LoadBalancing::Policy::Random; break;
    case cluster_v3::Cluster::RING_HASH:
      out.lb.policy = LoadBalancing::Policy::RingHash;
      read_ring_size(proto.ring_hash_lb_config(), out.lb);
      if (proto.ring_hash_lb_config().hash_function() == cluster_v3::Cluster::RingHashLbConfig::MURMUR_HASH_2) out.lb.hash_function = LoadBalancing::HashFunction::Murmur2;
      check_ring(out.lb, "ring_hash_lb_config", errors);
      break;
    case cluster_v3::Cluster::MAGLEV:
      out.lb.policy = LoadBalancing::Policy::Maglev;
      if (proto.maglev_lb_config().has_table_size()) out.lb.table_size = proto.maglev_lb_config().table_size().value();
      check_maglev(out.lb, "maglev_lb_config", errors);
      break;
    case cluster_v3::Cluster::CLUSTER_PROVIDED:
      errors.add("lb_policy", absl::StrCat("cluster manager: cluster provided LB specified but cluster '", out.name, "' did not provide one. Check cluster documentation. (CLUSTER_PROVIDED)"));
      break;
    default: errors.add("lb_policy", absl::StrCat("not supported: ", cluster_v3::Cluster::LbPolicy_Name(proto.lb_policy())));
  }
}

}  // namespace

void parse_lb(const cluster_v3::Cluster& proto, ClusterConfig& out, ErrorList& errors) {
  const auto& common = proto.common_lb_config();
  if (common.has_healthy_panic_threshold()) out.lb.healthy_panic_threshold = common.healthy_panic_threshold().value();
  out.close_connections_on_host_set_change = common.close_connections_on_host_set_change();
  if (common.has_override_host_status()) {
    out.lb.override_statuses = 0;
    for (int status : common.override_host_status().statuses()) out.lb.override_statuses |= static_cast<uint8_t>(1u << status);
  }
  if (out.original_dst) return;  // the request says which host
  if (!proto.has_load_balancing_policy() && proto.lb_policy() != cluster_v3::Cluster::LOAD_BALANCING_POLICY_CONFIG) return parse_legacy(proto, out, errors);
  if (!proto.has_load_balancing_policy()) return errors.add("load_balancing_policy", "cluster: field load_balancing_policy need to be set");
  if (common.locality_config_specifier_case() != cluster_v3::Cluster::CommonLbConfig::LOCALITY_CONFIG_SPECIFIER_NOT_SET || common.has_consistent_hashing_lb_config()) {
    errors.add("common_lb_config",
               "cluster: load_balancing_policy cannot be combined with partial fields (zone_aware_lb_config, locality_weighted_lb_config, "
               "consistent_hashing_lb_config) of common_lb_config");
  }
  parse_policy_list(proto.load_balancing_policy(), out, errors);
}

}  // namespace fairlead::config
