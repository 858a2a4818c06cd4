// Applies snapshots to a worker's clusters; see worker_clusters.h.
#include "dataplane/upstream/worker_clusters.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "dataplane/net/event_loop.h"
#include "envoy/config/core/v3/base.pb.h"

namespace fairlead::upstream {

using stats::ClusterStat;

namespace {

constexpr std::string_view kOriginalInvalid = "original_dst_host_invalid";

// Metadata envoy.lb canary: true
bool is_canary(const config::Endpoint& endpoint) {
  if (!endpoint.metadata) return false;
  const auto lb = endpoint.metadata->filter_metadata().find("envoy.lb");
  if (lb == endpoint.metadata->filter_metadata().end()) return false;
  const auto canary = lb->second.fields().find("canary");
  return canary != lb->second.fields().end() && canary->second.bool_value();
}

bool needs_total(const config::LoadBalancing& lb) { return lb.hashes() && lb.hash_balance_factor != 0; }

}  // namespace

// By address; the hosts are in hosts_ too, in no order.
struct Cluster::Originals {
  struct Entry {
    Ref<Host> host;
    bool used = true;  // since the last sweep
  };
  Originals(net::EventLoop& loop, std::function<void()> on_sweep) : sweep(loop.timers(), std::move(on_sweep)) {}
  absl::flat_hash_map<std::string, Entry> hosts;
  net::Timer sweep;
};

Cluster::Cluster(WorkerEnv& env, std::shared_ptr<SharedCluster> shared, const LocalZone& local_zone, std::shared_ptr<const matching::Runtime> runtime)
    : env_(env),
      shared_(std::move(shared)),
      local_zone_(local_zone),
      runtime_(std::move(runtime)),
      total_active_(needs_total(config().lb) ? std::make_shared<uint32_t>(0) : nullptr),
      selector_(policy_options(config().lb, runtime_.get()), env.random) {
  if (config().original_dst) shared_->scope->counter(kOriginalInvalid);
}

Cluster::~Cluster() { remove(); }

Host* Cluster::original(const net::Address& address) {
  if (!originals_) originals_ = std::make_unique<Originals>(env_.loop, [this] { sweep_originals(); });
  std::string name = address.to_string();
  if (const auto known = originals_->hosts.find(name); known != originals_->hosts.end()) {
    known->second.used = true;
    return known->second.host.get();
  }
  config::Endpoint endpoint;
  endpoint.address.host = address.ip_string();
  endpoint.address.port = address.port();
  endpoint.hostname = config().name + name;  // as Envoy names it
  Ref<Host> host(new Host(env_, shared_, endpoint, address));
  host->name = host->address_text();
  if (reports_load()) host->stand_at(std::make_shared<LoadPlace>());
  hosts_.push_back(host);
  originals_->hosts.emplace(std::move(name), Originals::Entry{host});
  // Each worker counts its own hosts.
  env_.cells.add(shared_->stats, ClusterStat::membership_total);
  env_.cells.add(shared_->stats, ClusterStat::membership_healthy);
  env_.cells.add(shared_->stats, ClusterStat::membership_change);
  if (!originals_->sweep.armed()) originals_->sweep.arm(config().original_dst->cleanup_interval);
  return host.get();
}

void Cluster::count_invalid_original() const { env_.cells.add(shared_->scope->counter(kOriginalInvalid)); }

void Cluster::sweep_originals() {
  size_t gone = 0;
  absl::erase_if(originals_->hosts, [&](auto& entry) {
    if (std::exchange(entry.second.used, false) || entry.second.host->in_use()) return false;
    entry.second.host->remove();
    ++gone;
    return true;
  });
  if (gone != 0) {
    hosts_.clear();
    for (const auto& [name, entry] : originals_->hosts) hosts_.push_back(entry.host);
    env_.cells.sub(shared_->stats, ClusterStat::membership_total, gone);
    env_.cells.sub(shared_->stats, ClusterStat::membership_healthy, gone);
    env_.cells.add(shared_->stats, ClusterStat::membership_change);
  }
  if (!originals_->hosts.empty()) originals_->sweep.arm(config().original_dst->cleanup_interval);
}

void Cluster::drop_originals() {
  if (!originals_) return;
  env_.cells.sub(shared_->stats, ClusterStat::membership_total, originals_->hosts.size());
  env_.cells.sub(shared_->stats, ClusterStat::membership_healthy, originals_->hosts.size());
  originals_.reset();
}

Host* Cluster::pick(const PickContext& context) {
  HostSelector::Picked picked;
  if (config().lb.slow_start.window.count() != 0) {
    PickContext timed = context;
    timed.now = env_.loop.now();
    picked = selector_.pick(timed);
  } else {
    picked = selector_.pick(context);
  }
  if (picked.panic || picked.zone || picked.local_cluster_not_ok) count(picked);
  return static_cast<Host*>(picked.host);
}

void Cluster::count(const HostSelector::Picked& picked) const {
  const auto add = [&](ClusterStat stat) { env_.cells.add(shared_->stats, stat); };
  if (picked.panic) add(ClusterStat::lb_healthy_panic);
  if (picked.local_cluster_not_ok) add(ClusterStat::lb_local_cluster_not_ok);
  if (!picked.zone) return;
  switch (*picked.zone) {
    case ZoneRouting::Outcome::AllDirectly: return add(ClusterStat::lb_zone_routing_all_directly);
    case ZoneRouting::Outcome::Sampled: return add(ClusterStat::lb_zone_routing_sampled);
    case ZoneRouting::Outcome::CrossZone: return add(ClusterStat::lb_zone_routing_cross_zone);
    case ZoneRouting::Outcome::NoCapacityLeft:
      add(ClusterStat::lb_zone_routing_cross_zone);
      return add(ClusterStat::lb_zone_no_capacity_left);
  }
}

bool Cluster::drop_overload() {
  return endpoints_ && endpoints_->drop_overload && env_.random.below(1'000'000) < endpoints_->drop_overload->per_million;
}

void Cluster::count_drop(bool overload) {
  if (!reports_load()) return;
  ++drops_.total;
  if (!overload) return;
  ++drops_.overload;
  if (endpoints_ && endpoints_->drop_overload) drops_.category = endpoints_->drop_overload->category;
}

void Cluster::take_load(Loads& out) {
  if (!reports_load()) return;
  ClusterLoad load{.service = load_service(config()), .drops = std::exchange(drops_, {}), .hosts = {}};
  for (const Ref<Host>& host : hosts_) {
    HostLoad of_host = host->take_load();
    if (!of_host.empty()) load.hosts[{host->priority, *host->place(), host->address_text()}] += of_host;
  }
  if (load.hosts.empty() && load.drops.total == 0) return;
  out.emplace(config().name, std::move(load));
}

// What load balancing knows of a host, from its endpoint.
void Cluster::adopt(const FlatEndpoint& flat, Host& host) {
  host.update(*flat.endpoint);
  host.priority = flat.priority;
  host.locality = flat.locality;
  host.name = host.address_text();
  host.canary = is_canary(*flat.endpoint);
  if (reports_load()) host.stand_at(places_[flat.locality]);
  begin_slow_start(host);
  if (total_active_) host.active_requests.count_into(total_active_);
}

// Slow start begins when a host is first seen healthy, and again when its checks pass after they had failed.
void Cluster::begin_slow_start(Host& host) const {
  if (config().lb.slow_start.window.count() != 0 && host.health == Health::kHealthy && host.healthy_since == MonotonicTime{}) host.healthy_since = env_.loop.now();
}

bool Cluster::refresh_health(const Cluster* local) {
  bool changed = false;
  for (const Ref<Host>& host : hosts_) {
    changed |= host->refresh_health();
    begin_slow_start(*host);
  }
  if (changed) rebuild(local);
  return changed;
}

bool Cluster::set_endpoints(std::shared_ptr<const config::EndpointSet> endpoints, const Cluster* local) {
  FlatEndpoints flat = flatten(config(), endpoints.get(), local_zone_);
  endpoints_ = std::move(endpoints);
  localities_ = std::move(flat.localities);
  locality_weights_ = std::move(flat.locality_weights);
  own_zone_first_ = flat.own_first;
  places_.clear();
  if (reports_load())
    for (const config::Locality* l : localities_) places_.push_back(std::make_shared<LoadPlace>(LoadPlace{l->region, l->zone, l->sub_zone}));
  // Hosts are the same host while address and priority stay.
  std::unordered_map<std::string, Ref<Host>> before;
  const auto key = [](const std::string& name, uint32_t priority) { return name + '#' + std::to_string(priority); };
  for (Ref<Host>& host : hosts_) before.emplace(key(host->address_text(), host->priority), std::move(host));
  hosts_.clear();
  hosts_.reserve(flat.hosts.size());
  bool changed = false;
  for (FlatEndpoint& endpoint : flat.hosts) {
    const auto known = before.find(key(endpoint.name, endpoint.priority));
    Ref<Host> host;
    if (known != before.end()) {
      host = std::move(known->second);
      before.erase(known);
    } else {
      host = Ref<Host>(new Host(env_, shared_, *endpoint.endpoint, std::move(endpoint.address)));
      changed = true;
    }
    adopt(endpoint, *host);
    hosts_.push_back(std::move(host));
  }
  changed = changed || !before.empty();
  for (auto& [name, host] : before) host->remove();
  if (changed && config().close_connections_on_host_set_change) {
    for (const Ref<Host>& host : hosts_) host->retire_connections();
  }
  rebuild(local);
  return changed;
}

void Cluster::local_cluster_changed(const Cluster* local) {
  if (config().lb.zone_aware()) rebuild(local);
}

void Cluster::rebuild(const Cluster* local) {
  const config::LoadBalancing& lb = config().lb;
  std::vector<LbHost*> list;
  list.reserve(hosts_.size());
  for (const Ref<Host>& host : hosts_) list.push_back(host.get());
  HostSelector::Options options = selector_options(lb, endpoints_.get(), runtime_.get());
  if (lb.locality_weighted && !lb.hashes()) options.locality_weights = locality_weights_;
  if (local != nullptr && lb.zone_aware()) {
    options.zone = zone_options(lb, runtime_.get());
    options.local = local_zones(*local, options.panic_percent);
    options.own_zone_first = own_zone_first_;
  }
  options.tables = hash_tables(*shared_, endpoints_, local_zone_, runtime_.get());
  options.total_active = total_active_;
  if (lb.slow_start.window.count() != 0) options.now = env_.loop.now();
  selector_.rebuild(list, options);
  if (!options.zone) return;
  env_.cells.add(shared_->stats, ClusterStat::lb_recalculate_zone_structures);
  if (selector_.zones().why_off() == ZoneRouting::Why::LocalClusterNotOk) env_.cells.add(shared_->stats, ClusterStat::lb_local_cluster_not_ok);
  if (selector_.zones().why_off() == ZoneRouting::Why::ClusterTooSmall) env_.cells.add(shared_->stats, ClusterStat::lb_zone_cluster_too_small);
}

// The local cluster's healthy hosts, by this cluster's localities of priority 0.
LocalZones Cluster::local_zones(const Cluster& local, uint32_t panic_percent) const {
  LocalZones out;
  std::vector<uint64_t> shares(local.localities_.size());
  uint64_t hosts = 0, available = 0;
  uint32_t last = 0;
  for (const Ref<Host>& host : local.hosts_) {
    if (host->priority != 0) continue;
    last = std::max(last, host->locality + 1);
    if (host->excluded) continue;
    ++hosts;
    if (host->health != Health::kUnhealthy) ++available;
    if (host->health != Health::kHealthy) continue;
    const uint64_t counted = config().lb.zone.by_weight ? host->weight : 1;
    shares[host->locality] += counted;
    out.total += counted;
  }
  out.localities = last;
  out.own_has_hosts = local.own_zone_first_;
  out.panic = panic_percent != 0 && 100 * available < panic_percent * std::max<uint64_t>(hosts, 1);
  for (const config::Locality* mine : localities_) {
    const auto same = std::find_if(local.localities_.begin(), local.localities_.begin() + last, [&](const config::Locality* l) {
      return l->region == mine->region && l->zone == mine->zone && l->sub_zone == mine->sub_zone;
    });
    out.shares.push_back(same == local.localities_.begin() + last ? 0 : shares[same - local.localities_.begin()]);
  }
  return out;
}

void Cluster::remove() {
  if (drops_.total != 0) shared_->departed_loads->add(config(), std::exchange(drops_, {}));
  drop_originals();
  for (const Ref<Host>& host : hosts_) host->remove();
}

WorkerClusters::WorkerClusters(net::EventLoop& loop, stats::Cells& cells, SharedClusters& shared, uint64_t seed) : random_(seed), env_{loop, cells, random_}, shared_(shared) {}

WorkerClusters::~WorkerClusters() = default;

// Not with the first request: where time or another cluster matters, and where statistics tell of the cluster before.
bool WorkerClusters::at_once(const config::ClusterConfig& config) const {
  const std::string& local = shared_.local_zone().cluster;
  return config.lb.slow_start.window.count() != 0 || config.original_dst != nullptr || (!local.empty() && (config.lb.zone_aware() || config.name == local));
}

Cluster* WorkerClusters::make(std::string_view name) {
  const config::ClusterEntry* published = snapshot_ != nullptr ? snapshot_->cluster(name) : nullptr;
  if (published == nullptr) return nullptr;
  const std::string& local_name = shared_.local_zone().cluster;
  apply(name, *published, local_name.empty() || local_name == name ? nullptr : known(local_name));
  return known(name);
}

void WorkerClusters::apply(std::shared_ptr<const config::Snapshot> snapshot) {
  const std::optional<std::vector<std::string>>& changed = snapshot->changed_clusters;
  const bool all = !changed.has_value() || snapshot_ == nullptr || snapshot_->epoch + 1 != snapshot->epoch;
  snapshot_ = std::move(snapshot);
  // The local cluster first: the others' zone-aware routing looks at its hosts.
  const std::string& local_name = shared_.local_zone().cluster;
  const Cluster* local = nullptr;
  bool local_changed = false;
  if (!local_name.empty()) {
    const bool had_local = known(local_name) != nullptr;
    if (const config::ClusterEntry* published = snapshot_->cluster(local_name)) {
      local_changed = apply(local_name, *published, nullptr);
      local = known(local_name);
      if (local_changed) clusters_.find(local_name)->second.cluster->local_cluster_changed(local);
    }
    local_changed = local_changed || (had_local && local == nullptr);
  }
  if (!all && !local_changed) {
    for (const std::string& name : *changed) follow(name, local, false);
    return;
  }
  std::vector<std::string> names;
  for (const auto& [name, entry] : clusters_) names.push_back(name);
  for (const auto& [name, published] : snapshot_->clusters)
    if (at_once(*published.config) && !clusters_.contains(name)) names.push_back(name);
  for (const std::string& name : names) follow(name, local, local_changed);
}

// The named cluster as the snapshot has it; the local cluster has been seen to already, unless it is gone.
void WorkerClusters::follow(std::string_view name, const Cluster* local, bool local_changed) {
  const config::ClusterEntry* published = snapshot_->cluster(name);
  const auto it = clusters_.find(name);
  if (published == nullptr) {
    if (it == clusters_.end()) return;
    it->second.cluster->remove();
    clusters_.erase(it);
    return;
  }
  if (name == shared_.local_zone().cluster || (it == clusters_.end() && !at_once(*published->config))) return;
  if (!apply(name, *published, local) && local_changed) known(name)->local_cluster_changed(local);
}

bool WorkerClusters::apply(std::string_view name, const config::ClusterEntry& published, const Cluster* local) {
  Entry& entry = clusters_.try_emplace(name).first->second;
  const bool fresh = entry.config != published.config;
  if (fresh) {
    if (entry.cluster) entry.cluster->remove();
    entry.config = published.config;
    entry.cluster = Ref<Cluster>(new Cluster(env_, shared_.get(published.config), shared_.local_zone(), snapshot_->runtime));
  }
  if (entry.cluster->endpoints() == published.endpoints) return fresh;
  entry.cluster->set_endpoints(published.endpoints, local);
  return true;
}

void WorkerClusters::health_changed(const config::ClusterConfig& which) {
  const auto it = clusters_.find(which.name);
  if (it == clusters_.end() || it->second.config.get() != &which) return;  // warming, gone, or not asked for here yet
  const std::string& local_name = shared_.local_zone().cluster;
  const Cluster* local = local_name.empty() ? nullptr : known(local_name);
  Cluster& cluster = *it->second.cluster;
  if (!cluster.refresh_health(local == &cluster ? nullptr : local) || local != &cluster) return;
  for (const auto& [name, entry] : clusters_) entry.cluster->local_cluster_changed(local);
}

void WorkerClusters::close_all() {
  for (const auto& [name, entry] : clusters_) {
    for (const Ref<Host>& host : entry.cluster->hosts()) host->close_all();
  }
}

void WorkerClusters::take_loads(Loads& out) {
  for (const auto& [name, entry] : clusters_) entry.cluster->take_load(out);
}

void WorkerClusters::describe(std::string_view name, std::vector<HostStatus>& out) const {
  const Cluster* cluster = known(name);
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
    HostStatus status{.address = host->address_text(), .hostname = host->hostname(), .weight = host->weight, .priority = host->priority, .health = host->said_health(), .counters = host->counters, .rq_active = host->active_requests};
    if (const HostHealth* health = host->shared_health()) {
      status.health_flags = health->flags.load(std::memory_order_relaxed);
      status.success_rate = health->success_rate.load(std::memory_order_relaxed);
      status.local_success_rate = health->local_success_rate.load(std::memory_order_relaxed);
    }
    if (const auto place = places.find(status.address); place != places.end()) {
      status.region = place->second->region;
      status.zone = place->second->zone;
      status.sub_zone = place->second->sub_zone;
    }
    out.push_back(std::move(status));
  }
}

}  // namespace fairlead::upstream
