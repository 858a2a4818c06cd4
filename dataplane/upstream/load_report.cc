// The books and the message; see load_report.h.
#include "dataplane/upstream/load_report.h"

#include <chrono>
#include <utility>

#include "base/wire.h"
#include "dataplane/config/address.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace fairlead::upstream {
namespace {

namespace endpoint_v3 = envoy::config::endpoint::v3;

google::protobuf::Duration report_interval(MonotonicTime begun, MonotonicTime now) {
  const int64_t measured = std::chrono::duration_cast<std::chrono::microseconds>(now - begun).count();
  google::protobuf::Duration out;
  out.set_seconds(measured / 1'000'000);
  out.set_nanos(static_cast<int32_t>(measured % 1'000'000) * 1000);
  return out;
}

// Of a cluster that nothing was done with, as most are: by hand, since each report may have ten thousand of them. `interval`: serialised.
void put_idle(std::string& request, std::string_view name, std::string_view service, std::string_view interval) {
  constexpr int kClusterStats = 2;                        // of LoadStatsRequest
  constexpr int kName = 1, kInterval = 4, kService = 6;  // of ClusterStats
  const auto size = [](std::string_view value) { return 1 + wire::varint_size(value.size()) + value.size(); };
  wire::put_head(request, kClusterStats, size(name) + size(interval) + (service.empty() ? 0 : size(service)));
  wire::put_bytes(request, kName, name);
  wire::put_bytes(request, kInterval, interval);
  if (!service.empty()) wire::put_bytes(request, kService, service);
}

// A locality's message or an endpoint's: their numbers are named alike.
template <class Stats>
void set_numbers(const HostLoad& load, Stats& out) {
  out.set_total_successful_requests(load.succeeded);
  out.set_total_error_requests(load.failed);
  out.set_total_requests_in_progress(load.in_progress);
  out.set_total_issued_requests(load.issued);
  for (const auto& [name, metric] : load.metrics) {
    auto& said = *out.add_load_metric_stats();
    said.set_metric_name(name);
    said.set_num_requests_finished_with_metric(metric.requests);
    said.set_total_metric_value(metric.sum);
  }
}

// Envoy 1.40: a locality that nothing was done with is left out, and so is an endpoint
void add_localities(const ClusterLoad& load, bool endpoints, endpoint_v3::ClusterStats& out) {
  auto it = load.hosts.begin();
  while (it != load.hosts.end()) {
    const auto& [priority, place, address] = it->first;
    endpoint_v3::UpstreamLocalityStats& stats = *out.add_upstream_locality_stats();
    stats.set_priority(priority);
    auto& locality = *stats.mutable_locality();
    locality.set_region(place.region);
    locality.set_zone(place.zone);
    locality.set_sub_zone(place.sub_zone);
    HostLoad sum;
    for (; it != load.hosts.end() && it->first.priority == priority && it->first.place == place; ++it) {
      sum += it->second;
      if (!endpoints || it->first.address.empty()) continue;
      auto& one = *stats.add_upstream_endpoint_stats();
      config::set_address(*one.mutable_address(), it->first.address);
      set_numbers(it->second, one);
    }
    set_numbers(sum, stats);
  }
}

}  // namespace

MonotonicTime LoadReport::begun(std::string_view cluster) const {
  const auto it = begun_earlier_.find(cluster);
  return it == begun_earlier_.end() ? begun_ : it->second;
}

void LoadReport::ask(Wish wish, const Loads& until_now, MonotonicTime now) {
  add(until_now);
  if (!wish.all || !wish_.all) {
    std::map<std::string, MonotonicTime, std::less<>> earlier;
    for (const std::string& name : wish.all ? wish_.clusters : wish.clusters)
      if (wanted(name)) earlier.emplace(name, begun(name));
    begun_earlier_ = std::move(earlier);
    begun_ = now;
  }
  wish_ = std::move(wish);
  std::erase_if(kept_, [this](const auto& cluster) { return !wanted(cluster.first); });
}

void LoadReport::add(const Loads& more) {
  for (auto& [name, load] : kept_) {
    for (auto& [key, host] : load.hosts) host.in_progress = 0;  // as it is now, not as it was
    std::erase_if(load.hosts, [](const auto& host) { return host.second.empty(); });
  }
  std::erase_if(kept_, [](const auto& cluster) { return cluster.second.hosts.empty() && cluster.second.drops.total == 0; });
  for (const auto& [name, load] : more)
    if (wanted(name)) add_load(kept_, name, load);
}

std::string LoadReport::take(const config::Snapshot* snapshot, MonotonicTime now) {
  envoy::service::load_stats::v3::LoadStatsRequest busy;
  for (const auto& [name, load] : kept_) {
    const config::ClusterEntry* entry = snapshot != nullptr ? snapshot->cluster(name) : nullptr;
    endpoint_v3::ClusterStats& stats = *busy.add_cluster_stats();
    stats.set_cluster_name(name);
    stats.set_cluster_service_name(entry != nullptr ? load_service(*entry->config) : load.service);
    *stats.mutable_load_report_interval() = report_interval(begun(name), now);
    add_localities(load, wish_.endpoints, stats);
    stats.set_total_dropped_requests(load.drops.total);
    if (load.drops.overload == 0) continue;
    auto& dropped = *stats.add_dropped_requests();
    dropped.set_category(load.drops.category);
    dropped.set_dropped_count(load.drops.overload);
  }
  std::string out = busy.SerializeAsString();
  const std::string interval = report_interval(begun_, now).SerializeAsString();
  const auto add_idle = [&](const std::string& name, const config::ClusterEntry& entry) {
    if (kept_.contains(name)) return;
    const MonotonicTime since = begun(name);
    put_idle(out, name, load_service(*entry.config), since == begun_ ? interval : report_interval(since, now).SerializeAsString());
  };
  if (snapshot != nullptr && wish_.all) {
    for (const auto& [name, entry] : snapshot->clusters) add_idle(name, entry);
  } else if (snapshot != nullptr) {
    for (const std::string& name : wish_.clusters)
      if (const config::ClusterEntry* entry = snapshot->cluster(name)) add_idle(name, *entry);
  }
  kept_.clear();
  begun_ = now;
  begun_earlier_.clear();
  return out;
}

}  // namespace fairlead::upstream
