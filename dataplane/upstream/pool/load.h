// What has been done with hosts since somebody last asked, for load reports (LRS). Each worker takes the differences from its own hosts'
// counters, which count anyway; what a host or a cluster counted before it went is left here, so that nothing is lost between two reports.
// DepartedLoads may be called on any thread (one mutex, taken when something goes and once a report); the rest are plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "dataplane/config/cluster.h"

namespace fairlead::upstream {

struct LoadPlace {
  std::string region, zone, sub_zone;
  auto operator<=>(const LoadPlace&) const = default;
};

struct LoadMetric {
  uint64_t requests = 0;  // whose answers said it
  double sum = 0;
};
using LoadMetrics = std::map<std::string, LoadMetric, std::less<>>;

struct HostLoad {
  uint64_t succeeded = 0, failed = 0, issued = 0;
  uint64_t in_progress = 0;  // now, unlike the others
  LoadMetrics metrics;

  bool empty() const { return succeeded == 0 && failed == 0 && issued == 0 && in_progress == 0 && metrics.empty(); }
  HostLoad& operator+=(const HostLoad& more);
};

struct LoadKey {
  uint32_t priority = 0;
  LoadPlace place;
  std::string address;  // "10.0.0.1:80"
  auto operator<=>(const LoadKey&) const = default;
};

// Requests that were answered here without an endpoint.
struct Drops {
  uint64_t total = 0;     // a breaker was open, and those of the category
  uint64_t overload = 0;  // Policy.drop_overloads
  std::string category;   // of these
  Drops& operator+=(const Drops& more);
};

struct ClusterLoad {
  std::string service;  // what EDS is asked for; empty: the cluster's name
  Drops drops;
  std::map<LoadKey, HostLoad> hosts;
};
using Loads = std::map<std::string, ClusterLoad, std::less<>>;  // by cluster
void add_load(Loads& to, const std::string& cluster, const ClusterLoad& load);
void add_loads(Loads& to, const Loads& more);

// Envoy 1.40: eds_cluster_config.service_name, where there is one
std::string load_service(const config::ClusterConfig& cluster);

class DepartedLoads {
 public:
  // Beyond so many hosts those that go are taken together by place: a server that has gone for long must not fill the memory.
  static constexpr size_t kMostHosts = 10'000;

  void add(const config::ClusterConfig& cluster, LoadKey key, const HostLoad& load);
  void add(const config::ClusterConfig& cluster, const Drops& drops);
  Loads take();

 private:
  std::mutex mutex_;
  Loads loads_;
  size_t hosts_ = 0;
};

}  // namespace fairlead::upstream
