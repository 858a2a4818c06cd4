// What clients report of the load they send where (LRS, envoy.service.load_stats.v3): per cluster and locality, as sums since the start and as what
// goes on now. Pure but for the clock it is given; the serving thread's. Invariant: however much is reported, no more than Options::max_entries
// places are kept; what is beyond them is counted as such.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>

#include "base/clock.h"
#include "base/doc.h"
#include "controlplane/topology/load_weights.h"

namespace envoy::config::endpoint::v3 {
class ClusterStats;
}
namespace envoy::service::load_stats::v3 {
class LoadStatsRequest;
}

namespace fairlead::serve {

class LoadReports {
 public:
  struct Options {
    size_t max_entries = 100'000;
    // A place that nobody has reported for so long makes room for others.
    std::chrono::minutes stale_after{10};
  };
  using Id = uint64_t;  // of a stream of reports

  LoadReports();
  explicit LoadReports(Options options) : options_(options) {}

  void open(Id stream, std::string node, std::string peer);
  // What has been since the stream's last report. Each reporter's are differences, so nobody's restart makes a sum fall.
  void report(Id stream, const envoy::service::load_stats::v3::LoadStatsRequest& request, MonotonicTime now);
  void close(Id stream);

  size_t reporters() const { return reporters_.size(); }
  size_t entries() const { return loads_.size(); }
  // {"reporters": [{node, peer, reports, age_s}], "clusters": [{cluster, service, dropped, dropped_by, localities: [{locality, priority, reporters,
  //   requests_per_s, errors_per_s, in_progress, connections, issued, succeeded, failed, metrics}]}], "not_kept": N}
  doc::Value to_doc(MonotonicTime now) const;
  // What goes on at each locality of each assignment, by the last reports that are no older than this; what weights are made of (topology/load_weights.h).
  // The assignment is the cluster's service name or, without one, its name; sub-zones and priorities are taken together.
  std::vector<topology::LocalityLoad> now_at(MonotonicTime now, std::chrono::milliseconds no_older) const;

 private:
  struct Cluster {
    std::string name, service;
    auto operator<=>(const Cluster&) const = default;
  };
  struct Place {
    Cluster cluster;
    std::string region, zone, sub_zone;
    uint32_t priority = 0;
    auto operator<=>(const Place&) const = default;
  };
  struct Metric {
    uint64_t requests = 0;
    double sum = 0;
  };
  struct Load {
    uint64_t issued = 0, succeeded = 0, failed = 0;
    std::map<std::string, Metric, std::less<>> metrics;
    MonotonicTime updated{};
  };
  struct Drops {
    uint64_t total = 0;
    std::map<std::string, uint64_t, std::less<>> by;
    MonotonicTime updated{};
  };
  // What one reporter's last report said of a place.
  struct Latest {
    double issued_per_s = 0, failed_per_s = 0;
    uint64_t in_progress = 0, connections = 0;
    Metric utilization;  // of the application or, where it tells none, of its CPU
  };
  struct Reporter {
    std::string node, peer;
    uint64_t reports = 0;
    MonotonicTime at{};
    std::map<Place, Latest> latest;
  };
  void take(Reporter& reporter, const envoy::config::endpoint::v3::ClusterStats& stats, MonotonicTime now);
  bool make_room(MonotonicTime now);

  Options options_;
  std::map<Id, Reporter> reporters_;
  std::map<Place, Load> loads_;
  std::map<Cluster, Drops> drops_;
  size_t latest_ = 0;  // entries of all reporters
  uint64_t not_kept_ = 0;
  MonotonicTime swept_{};
};

}  // namespace fairlead::serve
