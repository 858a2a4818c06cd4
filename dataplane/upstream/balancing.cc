// Conversions between config/ and lb/, and the building of hash tables; see balancing.h.
#include "dataplane/upstream/balancing.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/log.h"
#include "dataplane/upstream/membership.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::upstream {
namespace {

absl::StatusOr<net::Address> socket_address(const config::Address& address) {
  if (address.kind == config::Address::Kind::Pipe) return net::Address::from_unix(address.path);
  return net::Address::from_ip(address.host, address.port);
}

// Numbers the localities of one priority's hosts and rewrites their `locality`, which until then is the position in the configuration.
void order_localities(const std::vector<config::Locality>& configured, std::span<FlatEndpoint> hosts, const LocalZone& local, bool first, FlatEndpoints& out) {
  using Key = std::pair<bool, LocalZone::Locality>;  // false sorts first: this proxy's own
  std::map<Key, std::pair<const config::Locality*, uint32_t>> places;
  const auto key_of = [&](const config::Locality& l) {
    LocalZone::Locality name{l.region, l.zone, l.sub_zone};
    const bool own = local.locality && *local.locality == name;
    return Key{!own, std::move(name)};
  };
  for (const FlatEndpoint& host : hosts) places[key_of(configured[host.locality])] = {};
  // A locality that is listed twice is one; its last weight counts.
  for (const config::Locality& l : configured) {
    const auto place = places.find(key_of(l));
    if (place == places.end()) continue;
    if (place->second.first == nullptr || l.weight != 0) place->second.first = &l;
  }
  if (first && !places.empty()) out.own_first = !places.begin()->first.first;
  for (auto& [key, place] : places) {
    place.second = static_cast<uint32_t>(out.localities.size());
    out.localities.push_back(place.first);
    out.locality_weights.push_back(place.first->weight);
  }
  for (FlatEndpoint& host : hosts) host.locality = places.at(key_of(configured[host.locality])).second;
}

// Envoy's consistent hashing key: metadata envoy.lb hash_key, else hostname or address.
std::string_view hash_key(const FlatEndpoint& host, bool use_hostname) {
  if (const auto& metadata = host.endpoint->metadata) {
    if (const auto lb = metadata->filter_metadata().find("envoy.lb"); lb != metadata->filter_metadata().end()) {
      const auto key = lb->second.fields().find("hash_key");
      if (key != lb->second.fields().end() && !key->second.string_value().empty()) return key->second.string_value();
    }
  }
  return use_hostname ? host.endpoint->hostname : host.name;
}

double setting(const matching::Runtime* runtime, std::string_view key, double configured) {
  return runtime == nullptr || key.empty() ? configured : runtime->number(key, configured);
}

// Envoy 1.40 rounds percentages to whole ones.
uint32_t percent(double value) { return static_cast<uint32_t>(std::lround(std::clamp(value, 0.0, 100.0))); }

std::shared_ptr<const HashTables> build_tables(SharedCluster& cluster, const config::EndpointSet* set, const LocalZone& local, const matching::Runtime* runtime) {
  const config::ClusterConfig& config = *cluster.config;
  const config::LoadBalancing& lb = config.lb;
  const FlatEndpoints flat = flatten(config, set, local);
  std::vector<HashHost> hosts;
  hosts.reserve(flat.hosts.size());
  for (const FlatEndpoint& host : flat.hosts) {
    const uint32_t flags = cluster.health ? cluster.health->host(host.name, !(host.endpoint->check && host.endpoint->check->disabled))->flags.load(std::memory_order_relaxed) : 0;
    hosts.push_back({.key = hash_key(host, lb.use_hostname_for_hashing),
                     .weight = std::max(1u, host.endpoint->weight),
                     .priority = host.priority,
                     .locality = host.locality,
                     .health = health_in(health_of(*host.endpoint), flags),
                     .excluded = (flags & (kPendingCheck | kExcludedByAnswer)) != 0});
  }
  HashOptions options;
  options.kind = lb.policy == config::LoadBalancing::Policy::Maglev ? HashOptions::Kind::Maglev : HashOptions::Kind::Ring;
  options.function = lb.hash_function == config::LoadBalancing::HashFunction::Murmur2 ? HashOptions::Function::Murmur2 : HashOptions::Function::XxHash;
  options.minimum_ring_size = lb.minimum_ring_size;
  options.maximum_ring_size = lb.maximum_ring_size;
  options.table_size = lb.table_size;
  options.balance_percent = lb.hash_balance_factor;
  options.locality_weighted = lb.locality_weighted;
  const HostSelector::Options shares = selector_options(lb, set, runtime);
  return HashTables::build(hosts, options,
                           {.overprovisioning_percent = shares.overprovisioning_percent,
                            .panic_percent = shares.panic_percent,
                            .weighted_health = shares.weighted_health,
                            .locality_weights = flat.locality_weights});
}

}  // namespace

FlatEndpoints flatten(const config::ClusterConfig& cluster, const config::EndpointSet* set, const LocalZone& local) {
  FlatEndpoints out;
  if (set == nullptr) return out;
  out.hosts.reserve(set->size());
  std::set<std::string> seen;
  for (uint32_t priority = 0; priority < set->priorities.size(); ++priority) {
    const std::vector<config::Locality>& localities = set->priorities[priority];
    const size_t begin = out.hosts.size();
    seen.clear();
    for (uint32_t place = 0; place < localities.size(); ++place) {
      for (const config::Endpoint& endpoint : localities[place].endpoints) {
        auto address = socket_address(endpoint.address);
        if (!address.ok()) {
          FL_LOG(warning, "upstream", "cluster '", cluster.name, "': endpoint ", endpoint.address.text(), ": ", address.status().message());
          continue;
        }
        std::string name = address->to_string();
        if (!seen.insert(name).second) continue;
        out.hosts.push_back({&endpoint, *std::move(address), std::move(name), priority, place});
      }
    }
    order_localities(localities, std::span(out.hosts).subspan(begin), local, priority == 0, out);
  }
  return out;
}

Health health_of(const config::Endpoint& endpoint) {
  if (endpoint.health == config::HealthStatus::Degraded) return Health::kDegraded;
  return endpoint.usable() ? Health::kHealthy : Health::kUnhealthy;
}

PolicyOptions policy_options(const config::LoadBalancing& lb, const matching::Runtime* runtime) {
  PolicyOptions out;
  if (lb.policy == config::LoadBalancing::Policy::LeastRequest) out.kind = PolicyOptions::Kind::LeastRequest;
  if (lb.policy == config::LoadBalancing::Policy::Random) out.kind = PolicyOptions::Kind::Random;
  const double bias = setting(runtime, lb.active_request_bias_key, lb.active_request_bias);
  const double aggression = setting(runtime, lb.slow_start.aggression_key, lb.slow_start.aggression);
  // Envoy 1.40: what cannot be a bias or an aggression is 1.0
  out.least_request = {lb.choice_count, bias >= 0 ? bias : 1.0, lb.full_scan};
  out.slow_start = {lb.slow_start.window, aggression > 0 ? aggression : 1.0, lb.slow_start.min_weight_percent / 100.0};
  return out;
}

ZoneOptions zone_options(const config::LoadBalancing& lb, const matching::Runtime* runtime) {
  return {.routing_percent = percent(setting(runtime, "upstream.zone_routing.enabled", lb.zone.routing_enabled)),
          .min_cluster_size = static_cast<uint64_t>(setting(runtime, "upstream.zone_routing.min_cluster_size", static_cast<double>(lb.zone.min_cluster_size))),
          .force_local_min = lb.zone.force_local_min,
          .by_weight = lb.zone.by_weight};
}

HostSelector::Options selector_options(const config::LoadBalancing& lb, const config::EndpointSet* set, const matching::Runtime* runtime) {
  HostSelector::Options out;
  if (set != nullptr) out.overprovisioning_percent = set->overprovisioning_factor;
  out.panic_percent = percent(setting(runtime, "upstream.healthy_panic_threshold", lb.healthy_panic_threshold));
  out.fail_in_panic = lb.fail_traffic_on_panic;
  out.weighted_health = set != nullptr && set->weighted_priority_health;
  out.override_statuses = lb.override_statuses;
  return out;
}

std::shared_ptr<const HashTables> hash_tables(SharedCluster& cluster, const std::shared_ptr<const config::EndpointSet>& set, const LocalZone& local,
                                              const matching::Runtime* runtime) {
  if (!cluster.config->lb.hashes()) return nullptr;
  if (set == nullptr) return build_tables(cluster, nullptr, local, runtime);
  return cluster.hash_tables(set, [&] { return build_tables(cluster, set.get(), local, runtime); });
}

void prepare(const config::Snapshot& snapshot, SharedClusters& shared) {
  const auto follow = [&](const std::string& name, const config::ClusterEntry* entry) {
    if (entry == nullptr || !entry->config->lb.hashes()) return shared.let_go(name);
    const auto cluster = shared.get(entry->config);
    tell_tables(*cluster, *hash_tables(*cluster, entry->endpoints, shared.local_zone(), snapshot.runtime.get()), shared.main_cells());
    shared.keep(name, cluster);
  };
  if (snapshot.changed_clusters.has_value()) {
    for (const std::string& name : *snapshot.changed_clusters) follow(name, snapshot.cluster(name));
    return;
  }
  shared.let_all_go();
  for (const auto& [name, entry] : snapshot.clusters) follow(name, &entry);
}

}  // namespace fairlead::upstream
