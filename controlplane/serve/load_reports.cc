// See load_reports.h.
#include "controlplane/serve/load_reports.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_join.h>

#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace fairlead::serve {

namespace {

constexpr size_t kMostNames = 16;  // of metrics at one place, and of reasons to drop in one cluster

double seconds(const google::protobuf::Duration& d) { return static_cast<double>(d.seconds()) + static_cast<double>(d.nanos()) / 1e9; }
double seconds(MonotonicTime::duration d) { return std::chrono::duration<double>(d).count(); }

// The entry of that name, unless there are too many already.
template <typename V>
V* entry(std::map<std::string, V, std::less<>>& of, const std::string& name) {
  const auto at = of.find(name);
  if (at != of.end()) return &at->second;
  return of.size() < kMostNames ? &of[name] : nullptr;
}

// How busy the endpoints of a place say they are: what they say of the application as a whole counts more than what their CPU says, as in gRPC's own
// weighing. Envoy names both among the metrics, gRPC has fields for them.
std::pair<uint64_t, double> utilization_of(const envoy::config::endpoint::v3::UpstreamLocalityStats& s) {
  std::pair<uint64_t, double> application{0, 0}, cpu{0, 0};
  const auto add = [](std::pair<uint64_t, double>& to, const auto& from) {
    if (!std::isfinite(from.total_metric_value()) || from.total_metric_value() < 0) return;
    to.first += from.num_requests_finished_with_metric();
    to.second += from.total_metric_value();
  };
  add(application, s.application_utilization());
  add(cpu, s.cpu_utilization());
  for (const auto& m : s.load_metric_stats()) {
    if (m.metric_name() == "application_utilization") add(application, m);
    if (m.metric_name() == "cpu_utilization") add(cpu, m);
  }
  return application.second > 0 ? application : cpu;
}

doc::Value rounded(double value) { return doc::number(std::round(value * 1000) / 1000); }
doc::Entry field(std::string key, doc::Value value) { return {std::move(key), std::move(value), {}}; }
doc::Value count(uint64_t n) { return doc::integer(static_cast<int64_t>(n)); }

}  // namespace

LoadReports::LoadReports() : LoadReports(Options()) {}

void LoadReports::open(Id stream, std::string node, std::string peer) {
  Reporter& reporter = reporters_[stream];
  reporter.node = std::move(node);
  reporter.peer = std::move(peer);
}

void LoadReports::close(Id stream) {
  const auto found = reporters_.find(stream);
  if (found == reporters_.end()) return;
  latest_ -= found->second.latest.size();
  reporters_.erase(found);
}

void LoadReports::report(Id stream, const envoy::service::load_stats::v3::LoadStatsRequest& request, MonotonicTime now) {
  const auto found = reporters_.find(stream);
  if (found == reporters_.end()) return;
  Reporter& reporter = found->second;
  ++reporter.reports;
  reporter.at = now;
  latest_ -= reporter.latest.size();
  reporter.latest.clear();  // a place that it does not mention has had nothing
  for (const auto& stats : request.cluster_stats()) take(reporter, stats, now);
}

void LoadReports::take(Reporter& reporter, const envoy::config::endpoint::v3::ClusterStats& stats, MonotonicTime now) {
  const Cluster cluster{stats.cluster_name(), stats.cluster_service_name()};
  const double interval = std::max(seconds(stats.load_report_interval()), 0.001);
  if (stats.total_dropped_requests() > 0 || stats.dropped_requests_size() > 0) {
    if (drops_.contains(cluster) || loads_.size() + drops_.size() < options_.max_entries || make_room(now)) {
      Drops& drops = drops_[cluster];
      drops.total += stats.total_dropped_requests();
      drops.updated = now;
      for (const auto& d : stats.dropped_requests()) {
        if (uint64_t* n = entry(drops.by, d.category())) *n += d.dropped_count();
      }
    } else {
      ++not_kept_;
    }
  }
  for (const auto& s : stats.upstream_locality_stats()) {
    const Place place{cluster, s.locality().region(), s.locality().zone(), s.locality().sub_zone(), s.priority()};
    if (!loads_.contains(place) && loads_.size() + drops_.size() >= options_.max_entries && !make_room(now)) {
      ++not_kept_;
      continue;
    }
    Load& load = loads_[place];
    load.issued += s.total_issued_requests();
    load.succeeded += s.total_successful_requests();
    load.failed += s.total_error_requests();
    load.updated = now;
    for (const auto& m : s.load_metric_stats()) {
      Metric* metric = entry(load.metrics, m.metric_name());
      if (!metric || !std::isfinite(m.total_metric_value())) continue;
      metric->requests += m.num_requests_finished_with_metric();
      metric->sum += m.total_metric_value();
    }
    if (latest_ >= options_.max_entries) {
      ++not_kept_;
      continue;
    }
    const auto [at, fresh] = reporter.latest.try_emplace(place);
    if (fresh) ++latest_;
    at->second.issued_per_s += static_cast<double>(s.total_issued_requests()) / interval;
    at->second.failed_per_s += static_cast<double>(s.total_error_requests()) / interval;
    at->second.in_progress += s.total_requests_in_progress();
    at->second.connections += s.total_active_connections();
    const auto [requests, sum] = utilization_of(s);
    at->second.utilization.requests += requests;
    at->second.utilization.sum += sum;
  }
}

// Forgets what nobody has reported for a while; not for each of many that find no room.
bool LoadReports::make_room(MonotonicTime now) {
  if (swept_ != MonotonicTime{} && now < swept_ + std::chrono::seconds(10)) return false;
  swept_ = now;
  const auto stale = [&](const auto& entry) { return entry.second.updated + options_.stale_after < now; };
  return std::erase_if(loads_, stale) + std::erase_if(drops_, stale) > 0;
}

std::vector<topology::LocalityLoad> LoadReports::now_at(MonotonicTime now, std::chrono::milliseconds no_older) const {
  std::map<std::pair<std::string, topology::Locality>, topology::LocalityLoad> sums;
  for (const auto& [id, reporter] : reporters_) {
    if (reporter.at + no_older < now) continue;
    for (const auto& [place, latest] : reporter.latest) {
      const std::string& assignment = place.cluster.service.empty() ? place.cluster.name : place.cluster.service;
      const topology::Locality locality{place.region, place.zone};
      topology::LocalityLoad& sum = sums[{assignment, locality}];
      sum.assignment = assignment;
      sum.locality = locality;
      sum.requests_per_s += latest.issued_per_s;
      sum.errors_per_s += latest.failed_per_s;
      sum.measured += static_cast<double>(latest.utilization.requests);
      sum.utilization += latest.utilization.sum;  // their mean, below
    }
  }
  std::vector<topology::LocalityLoad> out;
  for (auto& [at, sum] : sums) {
    if (sum.measured > 0) sum.utilization /= sum.measured;
    out.push_back(std::move(sum));
  }
  return out;
}

doc::Value LoadReports::to_doc(MonotonicTime now) const {
  struct Sum {
    Latest latest;
    size_t reporters = 0;
  };
  std::map<Place, Sum> sums;
  std::vector<doc::Value> reporters;
  for (const auto& [id, r] : reporters_) {
    for (const auto& [place, latest] : r.latest) {
      Sum& sum = sums[place];
      ++sum.reporters;
      sum.latest.issued_per_s += latest.issued_per_s;
      sum.latest.failed_per_s += latest.failed_per_s;
      sum.latest.in_progress += latest.in_progress;
      sum.latest.connections += latest.connections;
    }
    std::vector<doc::Entry> one{field("node", doc::string(r.node)), field("peer", doc::string(r.peer)), field("reports", count(r.reports))};
    if (r.reports > 0) one.push_back(field("age_s", rounded(seconds(now - r.at))));
    reporters.push_back(doc::map(std::move(one)));
  }
  std::map<Cluster, std::vector<doc::Value>> by_cluster;
  for (const auto& [cluster, drops] : drops_) by_cluster[cluster];
  for (const auto& [place, load] : loads_) {
    const auto at = sums.find(place);
    const Sum sum = at == sums.end() ? Sum() : at->second;
    std::vector<std::string_view> locality;
    for (const std::string* part : {&place.region, &place.zone, &place.sub_zone}) {
      if (!part->empty()) locality.push_back(*part);
    }
    std::vector<doc::Entry> metrics;
    for (const auto& [name, m] : load.metrics) {
      metrics.push_back(field(name, doc::map({field("requests", count(m.requests)), field("mean", rounded(m.requests ? m.sum / static_cast<double>(m.requests) : 0))})));
    }
    by_cluster[place.cluster].push_back(doc::map({field("locality", doc::string(absl::StrJoin(locality, "/"))), field("priority", count(place.priority)),
                                                  field("reporters", count(sum.reporters)), field("requests_per_s", rounded(sum.latest.issued_per_s)),
                                                  field("errors_per_s", rounded(sum.latest.failed_per_s)), field("in_progress", count(sum.latest.in_progress)),
                                                  field("connections", count(sum.latest.connections)), field("issued", count(load.issued)),
                                                  field("succeeded", count(load.succeeded)), field("failed", count(load.failed)),
                                                  field("metrics", doc::map(std::move(metrics)))}));
  }
  std::vector<doc::Value> clusters;
  for (auto& [cluster, localities] : by_cluster) {
    const auto drops = drops_.find(cluster);
    std::vector<doc::Entry> by;
    if (drops != drops_.end()) {
      for (const auto& [category, n] : drops->second.by) by.push_back(field(category, count(n)));
    }
    clusters.push_back(doc::map({field("cluster", doc::string(cluster.name)), field("service", doc::string(cluster.service)),
                                 field("dropped", count(drops == drops_.end() ? 0 : drops->second.total)), field("dropped_by", doc::map(std::move(by))),
                                 field("localities", doc::list(std::move(localities)))}));
  }
  return doc::map({field("reporters", doc::list(std::move(reporters))), field("clusters", doc::list(std::move(clusters))), field("not_kept", count(not_kept_))});
}

}  // namespace fairlead::serve
