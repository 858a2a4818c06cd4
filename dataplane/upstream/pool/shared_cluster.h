// What all workers share of one cluster: its statistics' cells and the circuit breakers' counters. Found by configuration object, so a changed
// cluster starts with fresh breakers, as in Envoy, and goes on counting in the same statistics.
// SharedClusters may be asked from any thread (one mutex, configuration time only). The counters are relaxed atomics: a limit is never
// divided by the number of workers, and may be overshot by a request per worker.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/config/cluster.h"
#include "dataplane/stats/names.h"
#include "dataplane/stats/registry.h"
#include "dataplane/upstream/lb/hash_table.h"
#include "dataplane/upstream/pool/host_health.h"
#include "dataplane/upstream/pool/load.h"
#include "dataplane/upstream/pool/local_zone.h"

namespace fairlead::upstream {

class TlsStats;

// One counted resource of a priority: take() only below the limit.
class Limit {
 public:
  explicit Limit(uint32_t max = 0) : max_(max) {}
  bool can_take() const { return used_.load(std::memory_order_relaxed) < max_; }
  void take() { used_.fetch_add(1, std::memory_order_relaxed); }
  void give_back() { used_.fetch_sub(1, std::memory_order_relaxed); }
  uint32_t used() const { return used_.load(std::memory_order_relaxed); }
  uint32_t max() const { return max_; }

 private:
  std::atomic<uint32_t> used_{0};
  uint32_t max_;
};

struct Breakers {
  explicit Breakers(const config::CircuitBreaker& config)
      : connections(config.max_connections), pending(config.max_pending_requests), requests(config.max_requests), retries(config.max_retries), pools(config.max_connection_pools), budget(config.retry_budget) {}
  Breakers(const Breakers&) = delete;

  // A retry budget, when set, takes the place of max_retries: a share of what is active and pending, with a floor.
  bool can_retry() const;

  alignas(64) Limit connections;
  Limit pending;
  Limit requests;
  Limit retries;
  Limit pools;
  std::optional<config::CircuitBreaker::RetryBudget> budget;
};

// Told what workers have seen of a host. Any thread.
using HealthSink = std::function<void(const config::ClusterConfig* cluster, const std::string& address, HealthEvent event)>;

struct SharedCluster {
  SharedCluster(std::shared_ptr<const config::ClusterConfig> config, stats::Registry& registry, const HealthSink& sink, const matching::Runtime* runtime);

  std::shared_ptr<const config::ClusterConfig> config;
  stats::ScopePtr scope;
  stats::Block<stats::ClusterStat> stats;
  stats::Block<stats::ClusterResponseStat> response_stats;
  stats::Block<stats::Http2Stat> http2_stats;  // only where connections may speak it
  std::shared_ptr<const TlsStats> tls_stats;   // null: connections are plain
  stats::CodeCounters& codes;           // upstream_rq_<code>
  stats::CodeCounters& external_codes;  // external.upstream_rq_<code>
  stats::CodeCounters& internal_codes;  // internal.upstream_rq_<code>
  stats::CodeCounters& retry_codes;     // retry.upstream_rq_<code>
  std::array<Breakers, 2> breakers;     // DEFAULT, HIGH
  std::shared_ptr<const config::OutlierDetection> outlier;  // the configuration's, with what the runtime says
  std::unique_ptr<ClusterHealth> health;  // null: neither health checks nor outlier detection
  std::shared_ptr<DepartedLoads> departed_loads;  // null: load is not reported

  // The tables of ring hash or Maglev for an endpoint set, made by `build` unless they exist for the hosts' present health;
  // kept while the set lives. Any thread.
  std::shared_ptr<const HashTables> hash_tables(const std::shared_ptr<const config::EndpointSet>& set, const std::function<std::shared_ptr<const HashTables>()>& build);

 private:
  std::mutex tables_mutex_;
  struct Tables {
    std::weak_ptr<const config::EndpointSet> set;
    uint64_t health;  // generation
    std::shared_ptr<const HashTables> tables;
  };
  std::vector<Tables> tables_;
};

class SharedClusters {
 public:
  explicit SharedClusters(stats::Registry& registry) : registry_(registry) {}
  std::shared_ptr<SharedCluster> get(const std::shared_ptr<const config::ClusterConfig>& config);
  // Holds one, by its name, until it is let go: what was prepared for workers that have not asked yet. Main thread.
  void keep(const std::string& name, std::shared_ptr<SharedCluster> cluster) { kept_[name] = std::move(cluster); }
  void let_go(const std::string& name) { kept_.erase(name); }
  void let_all_go() { kept_.clear(); }
  stats::Cells& main_cells() { return registry_.cells(0); }
  // Before any worker exists; constant then.
  void set_local_zone(LocalZone zone) { local_zone_ = std::move(zone); }
  const LocalZone& local_zone() const { return local_zone_; }
  // Before any cluster exists.
  void set_health_sink(HealthSink sink) { health_sink_ = std::move(sink); }
  void set_runtime(std::shared_ptr<const matching::Runtime> runtime) { runtime_ = std::move(runtime); }
  // Before any cluster exists: load is reported.
  void report_loads() { departed_loads_ = std::make_shared<DepartedLoads>(); }
  const std::shared_ptr<DepartedLoads>& departed_loads() const { return departed_loads_; }
  // Sets the gauges circuit_breakers.<priority>.*_open of every live cluster; `cells` is the only owner of these. Before a scrape.
  void refresh_gauges(stats::Cells& cells);

 private:
  stats::Registry& registry_;
  LocalZone local_zone_;
  HealthSink health_sink_;
  std::shared_ptr<const matching::Runtime> runtime_;
  std::shared_ptr<DepartedLoads> departed_loads_;
  std::unordered_map<std::string, std::shared_ptr<SharedCluster>> kept_;
  std::mutex mutex_;
  std::unordered_map<const config::ClusterConfig*, std::weak_ptr<SharedCluster>> clusters_;  // entries outlive their cluster until a sweep
  size_t next_sweep_ = 16;
};

}  // namespace fairlead::upstream
