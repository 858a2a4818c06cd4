// The clusters of one worker: applies a published snapshot by comparing pointers, so that what did not change keeps its hosts and
// connections, and answers "which host for this request". Removed clusters and hosts drain and go with their last request.
// Owned by the worker; one thread. find() is one hash look-up, pick() is O(1) and allocates nothing.
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
  const std::vector<Ref<Host>>& hosts() const { return hosts_; }
  const HostSelector& selector() const { return selector_; }

  // True when hosts came or went. `local`: the cluster this proxy belongs to, or null.
  bool set_endpoints(std::shared_ptr<const config::EndpointSet> endpoints, const Cluster* local);
  // The local cluster's endpoints have changed: only zone-aware routing follows.
  void local_cluster_changed(const Cluster* local);
  // The flags of hosts have changed. True when that changes what traffic any of them gets.
  bool refresh_health(const Cluster* local);
  void set_membership_gauges() const;
  void set_table_gauges() const;
  const std::shared_ptr<const config::EndpointSet>& endpoints() const { return endpoints_; }
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

  WorkerEnv& env_;
  std::shared_ptr<SharedCluster> shared_;
  const LocalZone& local_zone_;
  std::shared_ptr<const matching::Runtime> runtime_;
  std::shared_ptr<const config::EndpointSet> endpoints_;
  std::vector<Ref<Host>> hosts_;
  std::vector<const config::Locality*> localities_;  // by LbHost::locality; of endpoints_
  std::vector<uint32_t> locality_weights_;
  bool own_zone_first_ = false;
  std::shared_ptr<uint32_t> total_active_;  // bounded load only
  HostSelector selector_;
  struct Originals;
  std::unique_ptr<Originals> originals_;  // ORIGINAL_DST
  stats::CodeCache code_cache_, external_code_cache_, internal_code_cache_, retry_code_cache_;
};

// For /clusters: one row per host of one worker; rows of several workers with equal address add up.
struct HostStatus {
  std::string address, hostname;
  uint32_t weight = 1, priority = 0;
  Health health = Health::kHealthy;  // the control plane's word
  uint32_t health_flags = 0;         // HealthFlag
  double success_rate = -1, local_success_rate = -1;
  std::string region, zone, sub_zone;
  HostCounters counters;
  uint64_t rq_active = 0;
};

class WorkerClusters {
 public:
  // `seed` makes picks reproducible. `counts_membership`: one worker keeps the gauges of hosts for all.
  WorkerClusters(net::EventLoop& loop, stats::Cells& cells, SharedClusters& shared, uint64_t seed, bool counts_membership = true);
  ~WorkerClusters();

  void apply(const config::Snapshot& snapshot);
  // Health checks or outlier detection have changed the flags of hosts of `cluster`.
  void health_changed(const config::ClusterConfig& cluster);
  Cluster* find(std::string_view name) const {
    const auto it = clusters_.find(name);
    return it == clusters_.end() ? nullptr : it->second.cluster.get();
  }
  // Closes all upstream connections at once; for shutdown.
  void close_all();
  // Appends the status of every host of `cluster`. On the worker's thread.
  void describe(std::string_view cluster, std::vector<HostStatus>& out) const;
  WorkerEnv& env() { return env_; }

 private:
  struct Entry {
    Ref<Cluster> cluster;
    std::shared_ptr<const config::ClusterConfig> config;
  };
  // True when the cluster or its endpoints are others than before.
  bool apply(const std::string& name, const config::ClusterEntry& published, const std::shared_ptr<const matching::Runtime>& runtime, const Cluster* local);
  Random random_;
  WorkerEnv env_;
  SharedClusters& shared_;
  bool counts_membership_;
  absl::flat_hash_map<std::string, Entry> clusters_;
};

}  // namespace fairlead::upstream
