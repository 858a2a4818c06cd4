// Statistics and breakers shared by the workers; see shared_cluster.h.
#include "dataplane/upstream/pool/shared_cluster.h"

#include <algorithm>

#include "dataplane/upstream/pool/tls.h"

namespace fairlead::upstream {

bool Breakers::can_retry() const {
  if (!budget) return retries.can_take();
  const double active = requests.used() + pending.used();
  const uint32_t allowed = std::max(budget->min_retry_concurrency, static_cast<uint32_t>(active * budget->budget_percent / 100.0));
  return retries.used() < allowed;
}

SharedCluster::SharedCluster(std::shared_ptr<const config::ClusterConfig> config_in, stats::Registry& registry, const HealthSink& sink, const matching::Runtime* runtime)
    : config(std::move(config_in)),
      scope(registry.scope(stats::cluster_scope(config->stat_name()))),
      stats(scope->block<stats::ClusterStat>(stats::kClusterStats)),
      response_stats(scope->block<stats::ClusterResponseStat>(stats::kClusterResponseStats)),
      codes(scope->codes("upstream_rq_")),
      external_codes(scope->codes("external.upstream_rq_")),
      internal_codes(scope->codes("internal.upstream_rq_")),
      retry_codes(scope->codes("retry.upstream_rq_")),
      breakers{Breakers(config->breakers[0]), Breakers(config->breakers[1])},
      outlier(config::with_runtime(config->outlier, runtime)) {
  if (config->http.protocol != config::UpstreamProtocol::Http1) http2_stats = scope->block<stats::Http2Stat>(stats::kHttp2Stats);
  config->each_tls([&](const config::UpstreamTls& tls) {
    if (tls_stats == nullptr) tls_stats = std::make_shared<const TlsStats>(scope);
    tls.on_change([stats = tls_stats, &cells = registry.cells(0)](const tls::ClientContext*) { stats->changed(cells); });
  });
  if (!config->health_check && !config->outlier) return;
  // Envoy 1.40: a host takes no traffic before its first check has passed
  const uint32_t unchecked = !config->health_check ? 0 : config->ignore_new_hosts_until_first_check ? kFailedCheck | kPendingCheck : kFailedCheck;
  ClusterHealth::Report report;
  if (sink) report = [sink, cluster = config.get()](const std::string& address, HealthEvent event) { sink(cluster, address, event); };
  health = std::make_unique<ClusterHealth>(outlier.get(), unchecked, std::move(report));
}

std::shared_ptr<const HashTables> SharedCluster::hash_tables(const std::shared_ptr<const config::EndpointSet>& set,
                                                             const std::function<std::shared_ptr<const HashTables>()>& build) {
  std::lock_guard lock(tables_mutex_);
  const uint64_t generation = health ? health->generation() : 0;
  for (const Tables& known : tables_) {
    if (known.health == generation && known.set.lock() == set) return known.tables;
  }
  std::erase_if(tables_, [&](const Tables& known) { return known.set.expired() || known.set.lock() == set; });
  tables_.push_back({set, generation, build()});
  return tables_.back().tables;
}

std::shared_ptr<SharedCluster> SharedClusters::get(const std::shared_ptr<const config::ClusterConfig>& config) {
  std::lock_guard lock(mutex_);
  std::weak_ptr<SharedCluster>& known = clusters_[config.get()];
  if (auto cluster = known.lock()) return cluster;
  auto cluster = std::make_shared<SharedCluster>(config, registry_, health_sink_, runtime_.get());
  cluster->departed_loads = departed_loads_;
  known = cluster;
  // Seldom enough that loading ten thousand clusters does not look at all of them for each.
  if (clusters_.size() >= next_sweep_) {
    std::erase_if(clusters_, [](const auto& entry) { return entry.second.expired(); });
    next_sweep_ = 2 * clusters_.size() + 16;
  }
  return cluster;
}

void SharedClusters::refresh_gauges(stats::Cells& cells) {
  using stats::ClusterStat;
  std::lock_guard lock(mutex_);
  for (const auto& [config, known] : clusters_) {
    const auto cluster = known.lock();
    if (!cluster) continue;
    const auto open = [&](const Limit& limit, ClusterStat stat) { cells.set(cluster->stats, stat, limit.can_take() || limit.used() == 0 ? 0 : 1); };  // Envoy 1.40: one of 0 opens once something is taken
    const Breakers& normal = cluster->breakers[0];
    open(normal.connections, ClusterStat::circuit_breakers_default_cx_open);
    open(normal.pools, ClusterStat::circuit_breakers_default_cx_pool_open);
    open(normal.requests, ClusterStat::circuit_breakers_default_rq_open);
    open(normal.pending, ClusterStat::circuit_breakers_default_rq_pending_open);
    open(normal.retries, ClusterStat::circuit_breakers_default_rq_retry_open);
    const Breakers& high = cluster->breakers[1];
    open(high.connections, ClusterStat::circuit_breakers_high_cx_open);
    open(high.pools, ClusterStat::circuit_breakers_high_cx_pool_open);
    open(high.requests, ClusterStat::circuit_breakers_high_rq_open);
    open(high.pending, ClusterStat::circuit_breakers_high_rq_pending_open);
    open(high.retries, ClusterStat::circuit_breakers_high_rq_retry_open);
  }
}

}  // namespace fairlead::upstream
