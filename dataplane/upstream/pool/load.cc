// Sums of loads; see load.h.
#include "dataplane/upstream/pool/load.h"

#include <utility>

namespace fairlead::upstream {

HostLoad& HostLoad::operator+=(const HostLoad& more) {
  succeeded += more.succeeded;
  failed += more.failed;
  issued += more.issued;
  in_progress += more.in_progress;
  for (const auto& [name, metric] : more.metrics) {
    LoadMetric& mine = metrics[name];
    mine.requests += metric.requests;
    mine.sum += metric.sum;
  }
  return *this;
}

Drops& Drops::operator+=(const Drops& more) {
  total += more.total;
  overload += more.overload;
  if (!more.category.empty()) category = more.category;
  return *this;
}

void add_load(Loads& to, const std::string& cluster, const ClusterLoad& load) {
  ClusterLoad& mine = to[cluster];
  mine.service = load.service;
  mine.drops += load.drops;
  for (const auto& [key, host] : load.hosts) mine.hosts[key] += host;
}

void add_loads(Loads& to, const Loads& more) {
  for (const auto& [name, load] : more) add_load(to, name, load);
}

std::string load_service(const config::ClusterConfig& cluster) {
  const bool named = cluster.discovery == config::ClusterConfig::Discovery::Eds && cluster.eds_service_name != cluster.name;
  return named ? cluster.eds_service_name : std::string();
}

void DepartedLoads::add(const config::ClusterConfig& cluster, LoadKey key, const HostLoad& load) {
  std::lock_guard lock(mutex_);
  ClusterLoad& mine = loads_[cluster.name];
  mine.service = load_service(cluster);
  if (hosts_ >= kMostHosts && !mine.hosts.contains(key)) key.address.clear();
  const auto [it, fresh] = mine.hosts.try_emplace(std::move(key));
  hosts_ += fresh ? 1 : 0;
  it->second += load;
}

void DepartedLoads::add(const config::ClusterConfig& cluster, const Drops& drops) {
  std::lock_guard lock(mutex_);
  ClusterLoad& mine = loads_[cluster.name];
  mine.service = load_service(cluster);
  mine.drops += drops;
}

Loads DepartedLoads::take() {
  std::lock_guard lock(mutex_);
  hosts_ = 0;
  return std::exchange(loads_, {});
}

}  // namespace fairlead::upstream
