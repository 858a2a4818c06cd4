// The health of one cluster's hosts: runs their checks, decides over ejections, keeps their flags and the statistics health_check.* and
// outlier_detection.*. Lives as long as the cluster's configuration object is live or warming.
// Main thread. Invariant: one checker and one ejection record per address, whatever the number of priorities that name it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/accesslog/log_file.h"
#include "dataplane/net/timer.h"
#include "dataplane/stats/registry.h"
#include "dataplane/upstream/health/check_state.h"
#include "dataplane/upstream/health/ejection.h"
#include "dataplane/upstream/health/event_log.h"
#include "dataplane/upstream/health/probe.h"
#include "dataplane/upstream/lb/random.h"
#include "dataplane/upstream/pool/shared_cluster.h"

namespace fairlead::upstream {

class ClusterMonitor {
 public:
  struct Env {
    net::EventLoop& loop;
    stats::Registry& registry;
    stats::Cells& cells;
    Random& random;
    accesslog::LogFiles* logs = nullptr;                 // null: no event logs
    std::shared_ptr<accesslog::LogFile> outlier_log;     // null: none
    std::function<void(ClusterMonitor&)> changed;        // flags have changed; may come often in a turn
    std::function<void(ClusterMonitor&)> first_round;    // every host has had a result
    std::function<void(ClusterMonitor&)> leaves;         // a host that with_leaving() has kept fails its checks
  };
  ClusterMonitor(Env& env, std::shared_ptr<SharedCluster> shared);
  ~ClusterMonitor();
  ClusterMonitor(const ClusterMonitor&) = delete;

  void set_endpoints(const std::shared_ptr<const config::EndpointSet>& endpoints, const LocalZone& local);
  // `named` and those of the present hosts that it lacks and whose checks pass; the same set for the same question.
  std::shared_ptr<const config::EndpointSet> with_leaving(const std::shared_ptr<const config::EndpointSet>& named, const LocalZone& local);
  void on_event(const std::string& address, HealthEvent event);
  SharedCluster& shared() const { return *shared_; }
  const std::shared_ptr<const config::EndpointSet>& endpoints() const { return endpoints_; }
  void set_gauges();

 private:
  class Checker;
  struct Entry {
    std::shared_ptr<HostHealth> health;
    std::unique_ptr<Checker> checker;  // null: no active checks
    Ejection ejection;
    config::Endpoint endpoint;         // as last named
    config::Locality place;            // without endpoints
    uint32_t priority = 0;
    bool seen = false;                 // while endpoints are compared
  };
  struct Kind;  // of ejections: names, shares, whose rates
  struct CheckStats {
    stats::Counter attempt, success, failure, network_failure, passive_failure, verify_cluster;
    stats::Gauge healthy, degraded;
  };
  struct EjectionStats {
    stats::Counter overflow, enforced_total, total, consecutive_5xx, success_rate;
    stats::Gauge active;
  };

  void set_flags(Entry& entry, uint32_t flags);
  void log_check(const Entry& entry, const CheckEvent& event) const;
  void log_ejection(const Entry& entry, const Kind* kind, bool eject, bool enforced, std::optional<MonotonicTime> last) const;
  void checked(Entry& entry, bool first, bool healthy);
  void eject(Entry& entry, const Kind& kind);
  void uneject(Entry& entry);
  void on_interval();
  void judge_rates(bool local);

  Env& env_;
  const std::shared_ptr<SharedCluster> shared_;
  const config::OutlierDetection* detection_;
  std::shared_ptr<const config::EndpointSet> endpoints_;
  bool known_ = false;    // set_endpoints() has been called
  std::map<std::string, Entry> hosts_;
  // The last answer of with_leaving(), and what it was made of.
  std::shared_ptr<const config::EndpointSet> named_, with_leaving_;
  std::vector<std::string> leaving_;
  size_t unchecked_ = 0;  // hosts without a first result
  size_t ejected_ = 0;
  SuccessRates rates_, local_rates_;  // of the last interval
  std::vector<std::shared_ptr<accesslog::LogFile>> check_logs_;
  CheckStats check_stats_{};
  EjectionStats ejection_stats_{};
  std::unique_ptr<net::Timer> interval_timer_;
};

}  // namespace fairlead::upstream
