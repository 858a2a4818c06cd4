// Active health checks and outlier detection of all clusters: a ClusterMonitor for each that asks for either, whether live or warming.
// Main thread. What the monitors decide is in the flags of pool/host_health.h; workers are told, once a turn and cluster, to look again.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/config/snapshot.h"
#include "dataplane/upstream/health/cluster_monitor.h"

namespace fairlead::upstream {

class HealthMonitor {
 public:
  struct Options {
    net::EventLoop& loop;
    SharedClusters& shared;
    stats::Registry& registry;
    uint64_t seed = 0;
    accesslog::LogFiles* logs = nullptr;                  // of health checks' events; null: none is written
    std::shared_ptr<accesslog::LogFile> outlier_log = {};  // null: none
    // The flags of hosts of this cluster have changed; its hash tables are ready.
    std::function<void(const std::shared_ptr<const config::ClusterConfig>&)> changed;
    // Every host of this cluster has had its first result.
    std::function<void(const config::ClusterConfig&)> checked;
    // What with_leaving() answers has changed.
    std::function<void()> left;
  };
  explicit HealthMonitor(Options options);
  ~HealthMonitor();
  HealthMonitor(const HealthMonitor&) = delete;

  // What is served now (may be null), and the clusters that become live once their hosts have been checked.
  void watch(const std::shared_ptr<const config::Snapshot>& served, const std::vector<config::ClusterEntry>& warming);
  // What to serve of a cluster whose discovery names `named` now: hosts that it no longer names stay while their checks pass.
  std::shared_ptr<const config::EndpointSet> with_leaving(const config::ClusterConfig& cluster, const std::shared_ptr<const config::EndpointSet>& named);
  void on_event(const config::ClusterConfig* cluster, const std::string& address, HealthEvent event);

 private:
  void keep(const config::ClusterEntry& entry);
  void tell();

  Options options_;
  Random random_;
  ClusterMonitor::Env env_;
  std::shared_ptr<const matching::Runtime> runtime_;
  std::shared_ptr<const config::Snapshot> served_;  // of the last watch()
  bool warmed_ = false;                             // it had clusters that warm
  std::unordered_map<const config::ClusterConfig*, std::unique_ptr<ClusterMonitor>> monitors_;
  std::set<const config::ClusterConfig*> kept_;     // by the running watch()
  std::set<const config::ClusterConfig*> changed_;  // since the last tell()
  net::LoopTask tell_task_ = net::LoopTask::of<&HealthMonitor::tell>(this);
};

}  // namespace fairlead::upstream
