// The clusters of one worker: answers "which host for this request". A cluster comes into being on a worker with the first request for it
// there (most workers of a large mesh never see most clusters) and follows each snapshot by comparing pointers, so that what did not change
// keeps its hosts and connections. Removed clusters and hosts drain and go with their last request.
// Owned by the worker; one thread. find() is one hash look-up, pick() is O(1) and allocates nothing. What is to be told of clusters without
// requests (membership, /clusters) the main thread tells: see membership.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "dataplane/config/snapshot.h"
#include "dataplane/upstream/balancing.h"
#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"
#include "dataplane/upstream/membership.h"
#include "dataplane/upstream/pool/host.h"

namespace fairlead::upstream {

class Cluster final : public Counted {
 public:
  Cluster(WorkerEnv& env, std::shared_ptr<SharedCluster> shared, const LocalZone& local_zone, std::shared_ptr<const matching::Runtime> runtime);
  ~Cluster() override;

  const config::ClusterConfig& config() const { return *shared_->config; }
  SharedCluster& shared() const { return *shared_; }
  WorkerEnv& env() const { return env_; }
  stats::CodeCache& code_cache() { return code_cache_; }
  stats::CodeCache& external_code_cache() { return external_code_cache_; }
  stats::CodeCache& internal_code_cache() { return internal_code_cache_; }
  stats::CodeCache& retry_code_cache() { return retry_code_cache_; }

  // A host for one attempt, or null when there is none. Calling again moves the policy on.
  Host* pick(const PickContext& context);
  // ORIGINAL_DST: the host at `address`, made when it is new. It goes once nothing has asked for it for a cleanup_interval and it has no connection.
  Host* original(const net::Address& address);
  void count_invalid_original() const;
  // Whether this request is among those that Policy.drop_overloads answers without a host.
  bool drop_overload();
  // A request has been answered without a host: a breaker was open, or drop_overload() said so.
  void count_drop(bool overload);
  // What endpoints say of their load is reported, config().load_metrics of it.
  bool wants_metrics() const { return reports_load() && !config().load_metrics.empty(); }
  const std::vector<Ref<Host>>& hosts() const { return hosts_; }
  const HostSelector& selector() const { return selector_; }

  // True when hosts came or went. `local`: the cluster this proxy belongs to, or null.
  bool set_endpoints(std::shared_ptr<const config::EndpointSet> endpoints, const Cluster* local);
  // The local cluster's endpoints have changed: only zone-aware routing follows.
  void local_cluster_changed(const Cluster* local);
  // The flags of hosts have changed. True when that changes what traffic any of them gets.
  bool refresh_health(const Cluster* local);
  const std::shared_ptr<const config::EndpointSet>& endpoints() const { return endpoints_; }
  // What has been done here since the last call, into `out`, which has nothing of this cluster yet; only where load is reported.
  void take_load(Loads& out);
  // The cluster has left: every pool drains.
  void remove();

 private:
  void adopt(const FlatEndpoint& endpoint, Host& host);
  void begin_slow_start(Host& host) const;
  void rebuild(const Cluster* local);
  LocalZones local_zones(const Cluster& local, uint32_t panic_percent) const;
  void count(const HostSelector::Picked& picked) const;
  void sweep_originals();
  void drop_originals();
  bool reports_load() const { return shared_->departed_loads != nullptr; }

  WorkerEnv& env_;
  std::shared_ptr<SharedCluster> shared_;
  const LocalZone& local_zone_;
  std::shared_ptr<const matching::Runtime> runtime_;
  std::shared_ptr<const config::EndpointSet> endpoints_;
  std::vector<Ref<Host>> hosts_;
  std::vector<const config::Locality*> localities_;  // by LbHost::locality; of endpoints_
  std::vector<uint32_t> locality_weights_;
  std::vector<std::shared_ptr<const LoadPlace>> places_;  // by LbHost::locality, where load is reported
  Drops drops_;  // that no report has had
  bool own_zone_first_ = false;
  std::shared_ptr<uint32_t> total_active_;  // bounded load only
  HostSelector selector_;
  struct Originals;
  std::unique_ptr<Originals> originals_;  // ORIGINAL_DST
  stats::CodeCache code_cache_, external_code_cache_, internal_code_cache_, retry_code_cache_;
};

class WorkerClusters {
 public:
  // `seed` makes picks reproducible.
  WorkerClusters(net::EventLoop& loop, stats::Cells& cells, SharedClusters& shared, uint64_t seed);
  ~WorkerClusters();

  void apply(std::shared_ptr<const config::Snapshot> snapshot);
  // Health checks or outlier detection have changed the flags of hosts of `cluster`.
  void health_changed(const config::ClusterConfig& cluster);
  Cluster* find(std::string_view name) {
    const auto it = clusters_.find(name);
    return it == clusters_.end() ? make(name) : it->second.cluster.get();
  }
  // Closes all upstream connections at once; for shutdown.
  void close_all();
  // Appends the status of every host of `cluster`, if there has been a request for it here. On the worker's thread.
  void describe(std::string_view cluster, std::vector<HostStatus>& out) const;
  // What has been done since the last call, of every cluster. On the worker's thread.
  void take_loads(Loads& out);
  WorkerEnv& env() { return env_; }

 private:
  struct Entry {
    Ref<Cluster> cluster;
    std::shared_ptr<const config::ClusterConfig> config;
  };
  Cluster* known(std::string_view name) const {
    const auto it = clusters_.find(name);
    return it == clusters_.end() ? nullptr : it->second.cluster.get();
  }
  Cluster* make(std::string_view name);
  bool at_once(const config::ClusterConfig& config) const;
  void follow(std::string_view name, const Cluster* local, bool local_changed);
  // True when the cluster or its endpoints are others than before.
  bool apply(std::string_view name, const config::ClusterEntry& published, const Cluster* local);
  Random random_;
  WorkerEnv env_;
  SharedClusters& shared_;
  std::shared_ptr<const config::Snapshot> snapshot_;
  absl::flat_hash_map<std::string, Entry> clusters_;  // those that have had a request, and those that are made at once
};

}  // namespace fairlead::upstream
