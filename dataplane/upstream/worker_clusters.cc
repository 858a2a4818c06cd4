// Applies snapshots to a worker's clusters; see worker_clusters.h.
#include "dataplane/upstream/worker_clusters.h"

#include <unordered_map>

#include "base/log.h"

namespace fairlead::upstream {
namespace {

using stats::ClusterStat;

PolicyFactory policy_factory(const config::ClusterConfig& config) {
  switch (config.lb_policy) {
    case config::ClusterConfig::LbPolicy::LeastRequest:
      return [options = LeastRequestOptions{config.least_request_choices, config.active_request_bias}](std::vector<LbHost*> hosts, Random& random) {
        return make_least_request(std::move(hosts), options, random);
      };
    case config::ClusterConfig::LbPolicy::Random: return make_random;
    case config::ClusterConfig::LbPolicy::RoundRobin: break;
  }
  return make_round_robin;
}

absl::StatusOr<net::Address> socket_address(const config::Address& address) {
  if (address.kind == config::Address::Kind::Pipe) return net::Address::from_unix(address.path);
  return net::Address::from_ip(address.host, address.port);
}

}  // namespace

Cluster::Cluster(WorkerEnv& env, std::shared_ptr<SharedCluster> shared)
    : env_(env), shared_(std::move(shared)), selector_(policy_factory(*shared_->config), env.random) {}

Cluster::~Cluster() { remove(); }

Host* Cluster::pick(const PickContext& context) {
  const HostSelector::Picked picked = selector_.pick(context);
  if (picked.panic) env_.cells.add(shared_->stats, ClusterStat::lb_healthy_panic);
  return static_cast<Host*>(picked.host);
}

bool Cluster::set_endpoints(std::shared_ptr<const config::EndpointSet> endpoints) {
  endpoints_ = std::move(endpoints);
  // Hosts are the same host while address and priority stay; a duplicate address within a priority counts once, as in Envoy.
  std::unordered_map<std::string, Ref<Host>> before;
  const auto key = [](const Host& host) { return host.address_text() + '#' + std::to_string(host.priority); };
  for (Ref<Host>& host : hosts_) before.emplace(key(*host), std::move(host));
  hosts_.clear();
  std::unordered_map<std::string, bool> seen;
  std::vector<uint32_t> locality_weights;
  bool changed = false;
  if (endpoints_) {
    for (uint32_t priority = 0; priority < endpoints_->priorities.size(); ++priority) {
      for (const config::Locality& locality : endpoints_->priorities[priority]) {
        locality_weights.push_back(locality.weight);
        for (const config::Endpoint& endpoint : locality.endpoints) {
          auto address = socket_address(endpoint.address);
          if (!address.ok()) {
            FL_LOG(warning, "upstream", "cluster '", config().name, "': endpoint ", endpoint.address.text(), ": ", address.status().message());
            continue;
          }
          std::string name = address->to_string() + '#' + std::to_string(priority);
          if (!seen.emplace(name, true).second) continue;
          const auto known = before.find(name);
          Ref<Host> host = known != before.end() ? std::move(known->second) : Ref<Host>(new Host(env_, shared_, endpoint, *std::move(address)));
          if (known != before.end()) {
            before.erase(known);
            host->update(endpoint);
          } else {
            changed = true;
          }
          host->priority = priority;
          host->locality = static_cast<uint32_t>(locality_weights.size() - 1);
          hosts_.push_back(std::move(host));
        }
      }
    }
  }
  changed = changed || !before.empty();
  for (auto& [name, host] : before) host->remove();
  if (changed && config().close_connections_on_host_set_change) {
    for (const Ref<Host>& host : hosts_) host->retire_connections();
  }
  if (!config().locality_weighted) locality_weights.clear();
  std::vector<LbHost*> list;
  list.reserve(hosts_.size());
  for (const Ref<Host>& host : hosts_) list.push_back(host.get());
  selector_.rebuild(list, {.overprovisioning_percent = endpoints_ ? endpoints_->overprovisioning_factor : 140,
                           .panic_percent = static_cast<uint32_t>(config().healthy_panic_threshold),
                           .fail_in_panic = config().fail_traffic_on_panic,
                           .weighted_health = endpoints_ && endpoints_->weighted_priority_health,
                           .locality_weights = std::move(locality_weights)});
  return changed;
}

void Cluster::set_membership_gauges() const {
  uint64_t healthy = 0, degraded = 0, heaviest = 0;
  for (const Ref<Host>& host : hosts_) {
    healthy += host->health == Health::kHealthy;
    degraded += host->health == Health::kDegraded;
    heaviest = std::max<uint64_t>(heaviest, host->weight);
  }
  const auto& stats = shared_->stats;
  env_.cells.set(stats, ClusterStat::membership_total, hosts_.size());
  env_.cells.set(stats, ClusterStat::membership_healthy, healthy);
  env_.cells.set(stats, ClusterStat::membership_degraded, degraded);
  env_.cells.set(stats, ClusterStat::max_host_weight, heaviest);
}

void Cluster::remove() {
  for (const Ref<Host>& host : hosts_) host->remove();
}

WorkerClusters::WorkerClusters(net::EventLoop& loop, stats::Cells& cells, SharedClusters& shared, uint64_t seed, bool counts_membership)
    : random_(seed), env_{loop, cells, random_}, shared_(shared), counts_membership_(counts_membership) {}

WorkerClusters::~WorkerClusters() = default;

void WorkerClusters::apply(const config::Snapshot& snapshot) {
  for (auto it = clusters_.begin(); it != clusters_.end();) {
    if (snapshot.clusters.contains(it->first)) {
      ++it;
    } else {
      it->second.cluster->remove();
      clusters_.erase(it++);
    }
  }
  for (const auto& [name, published] : snapshot.clusters) {
    Entry& entry = clusters_[name];
    if (entry.config != published.config) {
      if (entry.cluster) entry.cluster->remove();
      entry.config = published.config;
      entry.cluster = Ref<Cluster>(new Cluster(env_, shared_.get(published.config)));
    }
    if (entry.cluster->endpoints() == published.endpoints) continue;
    const bool changed = entry.cluster->set_endpoints(published.endpoints);
    if (!counts_membership_) continue;
    entry.cluster->set_membership_gauges();
    if (changed) env_.cells.add(entry.cluster->shared().stats, ClusterStat::membership_change);
  }
}

void WorkerClusters::close_all() {
  for (const auto& [name, entry] : clusters_) {
    for (const Ref<Host>& host : entry.cluster->hosts()) host->close_all();
  }
}

void WorkerClusters::describe(std::string_view name, std::vector<HostStatus>& out) const {
  const Cluster* cluster = find(name);
  if (cluster == nullptr) return;
  std::unordered_map<std::string, const config::Locality*> places;
  if (cluster->endpoints()) {
    for (const auto& priority : cluster->endpoints()->priorities) {
      for (const config::Locality& locality : priority) {
        for (const config::Endpoint& endpoint : locality.endpoints) places.emplace(endpoint.address.text(), &locality);
      }
    }
  }
  for (const Ref<Host>& host : cluster->hosts()) {
    HostStatus status{.address = host->address_text(), .hostname = host->hostname(), .weight = host->weight, .priority = host->priority, .health = host->health, .counters = host->counters, .rq_active = host->active_requests};
    if (const auto place = places.find(status.address); place != places.end()) {
      status.region = place->second->region;
      status.zone = place->second->zone;
      status.sub_zone = place->second->sub_zone;
    }
    out.push_back(std::move(status));
  }
}

}  // namespace fairlead::upstream
