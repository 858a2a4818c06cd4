// See health_monitor.h.
#include "dataplane/upstream/health/health_monitor.h"

#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/balancing.h"
#include "dataplane/upstream/membership.h"

namespace fairlead::upstream {

HealthMonitor::HealthMonitor(Options options)
    : options_(std::move(options)),
      random_(options_.seed),
      env_{options_.loop, options_.registry, options_.registry.cells(0), random_, options_.logs, options_.outlier_log,
           [this](ClusterMonitor& monitor) {
             changed_.insert(monitor.shared().config.get());
             options_.loop.run_soon(tell_task_);
           },
           [this](ClusterMonitor& monitor) { options_.checked(*monitor.shared().config); },
           [this](ClusterMonitor&) { options_.left(); }} {}

HealthMonitor::~HealthMonitor() = default;

void HealthMonitor::keep(const config::ClusterEntry& entry) {
  if (!entry.config->health_check && !entry.config->outlier) return;
  kept_.insert(entry.config.get());
  std::unique_ptr<ClusterMonitor>& monitor = monitors_[entry.config.get()];
  if (!monitor) monitor = std::make_unique<ClusterMonitor>(env_, options_.shared.get(entry.config));
  monitor->set_endpoints(entry.endpoints, options_.shared.local_zone());
}

void HealthMonitor::watch(const std::shared_ptr<const config::Snapshot>& served, const std::vector<config::ClusterEntry>& warming) {
  if (served == served_ && warming.empty() && !warmed_) return;
  // Between two snapshots of ten thousand clusters few differ: the others with monitors are found by these.
  const bool all = served == nullptr || served_ == nullptr || !served->changed_clusters.has_value() || (served != served_ && served->epoch != served_->epoch + 1);
  const bool fresh = served != served_;
  served_ = served;
  warmed_ = !warming.empty();
  kept_.clear();
  if (served) {
    runtime_ = served->runtime;
    if (all) {
      for (const auto& [name, entry] : served->clusters) keep(entry);
    } else {
      for (const auto& [config, monitor] : monitors_)
        if (const config::ClusterEntry* entry = served->cluster(config->name); entry != nullptr && entry->config.get() == config) kept_.insert(config);
      if (fresh)
        for (const std::string& name : *served->changed_clusters)
          if (const config::ClusterEntry* entry = served->cluster(name)) keep(*entry);
    }
  }
  for (const config::ClusterEntry& entry : warming) keep(entry);
  std::erase_if(monitors_, [&](const auto& known) { return !kept_.contains(known.first); });
}

std::shared_ptr<const config::EndpointSet> HealthMonitor::with_leaving(const config::ClusterConfig& cluster, const std::shared_ptr<const config::EndpointSet>& named) {
  const auto it = monitors_.find(&cluster);
  return it == monitors_.end() ? named : it->second->with_leaving(named, options_.shared.local_zone());
}

void HealthMonitor::on_event(const config::ClusterConfig* cluster, const std::string& address, HealthEvent event) {
  if (const auto it = monitors_.find(cluster); it != monitors_.end()) it->second->on_event(address, event);
}

void HealthMonitor::tell() {
  for (const config::ClusterConfig* cluster : std::exchange(changed_, {})) {
    const auto it = monitors_.find(cluster);
    if (it == monitors_.end()) continue;
    SharedCluster& shared = it->second->shared();
    it->second->set_gauges();
    shared.health->changed();
    if (const auto tables = hash_tables(shared, it->second->endpoints(), options_.shared.local_zone(), runtime_.get())) tell_tables(shared, *tables, options_.registry.cells(0));
    options_.changed(shared.config);
  }
}

}  // namespace fairlead::upstream
