// Hosts of one cluster, their checks and ejections; see cluster_monitor.h.
#include "dataplane/upstream/health/cluster_monitor.h"

#include <algorithm>
#include <set>

#include <absl/strings/str_cat.h>

#include "base/log.h"
#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/balancing.h"

namespace fairlead::upstream {

using config::HealthCheck;
using config::OutlierDetection;
using std::chrono::milliseconds;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;

}  // namespace

// The checks of one host: when, and what their results mean.
class ClusterMonitor::Checker final : private ProbeEvents {
 public:
  Checker(ClusterMonitor& monitor, Entry& entry, net::Address address, std::string host)
      : monitor_(monitor),
        entry_(entry),
        check_(*monitor.shared_->config->health_check),
        state_(check_.healthy_threshold, check_.unhealthy_threshold),
        probe_(make_probe({monitor.env_.loop, monitor.shared_->config, monitor.shared_->config->health_check, std::move(address), std::move(host), entry.endpoint.hostname,
                           monitor.shared_->config->tls_for(entry.endpoint.metadata.get()), monitor.shared_->tls_stats, &monitor.env_.cells}, *this)),
        interval_(monitor.env_.loop.timers(), [this] { begin(); }),
        timeout_(monitor.env_.loop.timers(), [this] { on_timeout(); }) {
    interval_.arm(first_check(check_, monitor.env_.random));
  }
  bool first() const { return state_.first(); }
  void fail_passively() {
    status_ = 0;
    failed(CheckFailure::Passive, false);
  }

 private:
  void begin() {
    monitor_.env_.cells.add(monitor_.check_stats_.attempt);
    timeout_.arm(check_.timeout);
    probe_->begin();
  }
  void on_timeout() {
    probe_->cancel();
    status_ = 0;
    failed(CheckFailure::Timeout, false);
  }
  void on_probe(const ProbeResult& result) override {
    timeout_.disarm();
    if (result.verified_name) monitor_.env_.cells.add(monitor_.check_stats_.verify_cluster);
    status_ = result.status;
    switch (result.kind) {
      case ProbeResult::Kind::Success: return passed(false);
      case ProbeResult::Kind::Degraded: return passed(true);
      case ProbeResult::Kind::Failed: return failed(CheckFailure::Answer, result.exclude);
      case ProbeResult::Kind::Retriable: return failed(CheckFailure::Retriable, result.exclude);
      case ProbeResult::Kind::Network: return failed(CheckFailure::Network, false);
      case ProbeResult::Kind::NotMade: return put_off();
    }
  }
  // Nothing has been learnt of the host.
  void put_off() { interval_.arm(std::min<milliseconds>(check_.interval, std::chrono::seconds(1))); }
  void passed(bool degraded) {
    monitor_.env_.cells.add(monitor_.check_stats_.success);
    const bool was_first = state_.first();
    uint32_t flags = entry_.health->flags.load(kRelaxed);
    const uint32_t before = flags;
    const Transition transition = state_.success(flags, degraded);
    log_success(before, flags, was_first);
    monitor_.set_flags(entry_, flags);
    wait(true, transition);
    monitor_.checked(entry_, was_first, true);
  }
  void failed(CheckFailure why, bool exclude) {
    stats::Cells& cells = monitor_.env_.cells;
    cells.add(monitor_.check_stats_.failure);
    if (why == CheckFailure::Network || why == CheckFailure::Timeout) cells.add(monitor_.check_stats_.network_failure);
    if (why == CheckFailure::Passive) cells.add(monitor_.check_stats_.passive_failure);
    const bool was_first = state_.first();
    uint32_t flags = entry_.health->flags.load(kRelaxed);
    const bool was_healthy = (flags & kFailedCheck) == 0;
    const Transition transition = state_.failure(flags, why);
    if (was_healthy && (flags & kFailedCheck) != 0) monitor_.log_check(entry_, {.kind = CheckEvent::Kind::EjectUnhealthy, .failure = why, .http_status = status_});
    if (was_first || check_.always_log_failures) monitor_.log_check(entry_, {.kind = CheckEvent::Kind::Failure, .first_check = was_first, .failure = why, .http_status = status_});
    if (exclude || why == CheckFailure::Passive) flags |= kExcludedByAnswer;
    monitor_.set_flags(entry_, flags);
    if (why != CheckFailure::Passive) wait(false, transition);
    monitor_.checked(entry_, was_first, false);
  }
  void log_success(uint32_t before, uint32_t after, bool was_first) {
    const auto log = [&](CheckEvent::Kind kind) { monitor_.log_check(entry_, {.kind = kind, .first_check = was_first}); };
    if ((before & kFailedCheck) != 0 && (after & kFailedCheck) == 0) {
      log(CheckEvent::Kind::AddHealthy);
    } else if (check_.always_log_successes) {
      log(CheckEvent::Kind::Success);
    }
    if (((before ^ after) & kDegradedCheck) != 0) log((after & kDegradedCheck) != 0 ? CheckEvent::Kind::Degraded : CheckEvent::Kind::NoLongerDegraded);
  }
  void wait(bool healthy, Transition transition) {
    const bool traffic = monitor_.env_.registry.sum(monitor_.shared_->stats.at(stats::ClusterStat::upstream_cx_total)) != 0;
    interval_.arm(next_check(check_, healthy, transition, traffic, monitor_.env_.random));
  }

  ClusterMonitor& monitor_;
  Entry& entry_;
  const HealthCheck& check_;
  CheckState state_;
  std::unique_ptr<Probe> probe_;
  net::Timer interval_, timeout_;
  uint32_t status_ = 0;  // of the last answer
};

// What hosts are ejected for.
struct ClusterMonitor::Kind {
  std::string_view name;  // in the names of its statistics
  std::string_view type;  // in the event log
  uint32_t OutlierDetection::* enforcing;

  static const Kind k5xx, kGateway, kLocal, kSuccessRate, kLocalSuccessRate, kFailurePercentage, kLocalFailurePercentage;
};
using O = OutlierDetection;
const ClusterMonitor::Kind ClusterMonitor::Kind::k5xx{"consecutive_5xx", "CONSECUTIVE_5XX", &O::enforcing_5xx};
const ClusterMonitor::Kind ClusterMonitor::Kind::kGateway{"consecutive_gateway_failure", "CONSECUTIVE_GATEWAY_FAILURE", &O::enforcing_gateway};
const ClusterMonitor::Kind ClusterMonitor::Kind::kLocal{"consecutive_local_origin_failure", "CONSECUTIVE_LOCAL_ORIGIN_FAILURE", &O::enforcing_local};
const ClusterMonitor::Kind ClusterMonitor::Kind::kSuccessRate{"success_rate", "SUCCESS_RATE", &O::enforcing_success_rate};
const ClusterMonitor::Kind ClusterMonitor::Kind::kLocalSuccessRate{"local_origin_success_rate", "SUCCESS_RATE_LOCAL_ORIGIN", &O::enforcing_local_success_rate};
const ClusterMonitor::Kind ClusterMonitor::Kind::kFailurePercentage{"failure_percentage", "FAILURE_PERCENTAGE", &O::enforcing_failure_percentage};
const ClusterMonitor::Kind ClusterMonitor::Kind::kLocalFailurePercentage{"local_origin_failure_percentage", "FAILURE_PERCENTAGE_LOCAL_ORIGIN", &O::enforcing_local_failure_percentage};

ClusterMonitor::ClusterMonitor(Env& env, std::shared_ptr<SharedCluster> shared)
    : env_(env), shared_(std::move(shared)), detection_(shared_->outlier.get()) {
  stats::Scope& scope = *shared_->scope;
  if (shared_->config->health_check) {
    check_stats_ = {scope.counter("health_check.attempt"),         scope.counter("health_check.success"),         scope.counter("health_check.failure"),
                    scope.counter("health_check.network_failure"), scope.counter("health_check.passive_failure"), scope.counter("health_check.verify_cluster"),
                    scope.gauge("health_check.healthy"),           scope.gauge("health_check.degraded")};
  }
  if (shared_->config->health_check && env_.logs != nullptr) {
    for (const std::string& path : shared_->config->health_check->event_logs) {
      auto log = env_.logs->open(path);
      if (log.ok()) {
        check_logs_.push_back(*std::move(log));
      } else {  // it could be written when the cluster was accepted
        FL_LOG(error, "upstream", "cluster '", shared_->config->name, "': ", log.status().message());
      }
    }
  }
  if (detection_ == nullptr) return;
  ejection_stats_ = {scope.counter("outlier_detection.ejections_overflow"),     scope.counter("outlier_detection.ejections_enforced_total"),
                     scope.counter("outlier_detection.ejections_total"),        scope.counter("outlier_detection.ejections_consecutive_5xx"),
                     scope.counter("outlier_detection.ejections_success_rate"), scope.gauge("outlier_detection.ejections_active")};
  for (const Kind* kind : {&Kind::k5xx, &Kind::kGateway, &Kind::kLocal, &Kind::kSuccessRate, &Kind::kLocalSuccessRate, &Kind::kFailurePercentage, &Kind::kLocalFailurePercentage}) {
    scope.counter(absl::StrCat("outlier_detection.ejections_detected_", kind->name));
    scope.counter(absl::StrCat("outlier_detection.ejections_enforced_", kind->name));
  }
  scope.counter("outlier_detection.ejections_detected_degradation");  // Envoy 1.40 has it; hosts are not degraded by detection here
  interval_timer_ = std::make_unique<net::Timer>(env_.loop.timers(), [this] { on_interval(); });
  interval_timer_->arm(detection_->interval);
}

ClusterMonitor::~ClusterMonitor() = default;

void ClusterMonitor::set_endpoints(const std::shared_ptr<const config::EndpointSet>& endpoints, const LocalZone& local) {
  if (std::exchange(known_, true) && endpoints_ == endpoints) return;
  endpoints_ = endpoints;
  for (auto& [address, entry] : hosts_) entry.seen = false;
  const config::ClusterConfig& config = *shared_->config;
  const FlatEndpoints named = flatten(config, endpoints.get(), local);
  for (const FlatEndpoint& flat : named.hosts) {
    Entry& entry = hosts_[flat.name];
    if (std::exchange(entry.seen, true)) continue;
    const config::Locality& place = *named.localities[flat.locality];
    entry.endpoint = *flat.endpoint;
    entry.place = {place.region, place.zone, place.sub_zone, place.weight, {}};
    entry.priority = flat.priority;
    if (entry.health) continue;
    const std::optional<config::EndpointCheck>& own = flat.endpoint->check;
    const bool is_checked = config.health_check && !(own && own->disabled);
    entry.health = shared_->health->host(flat.name, is_checked);
    if (!is_checked) continue;
    net::Address address = flat.address;
    if (own && own->address) {
      const auto other = own->address->kind == config::Address::Kind::Pipe ? net::Address::from_unix(own->address->path) : net::Address::from_ip(own->address->host, own->address->port);
      if (other.ok()) address = *other;
    }
    if (own && own->port != 0) address = address.with_port(own->port);
    // Envoy 1.40: the endpoint's own name, else the check's, else the cluster's
    std::string host = own && !own->hostname.empty() ? own->hostname : !config.health_check->host.empty() ? config.health_check->host : config.name;
    entry.checker = std::make_unique<Checker>(*this, entry, std::move(address), std::move(host));
    ++unchecked_;
  }
  for (auto it = hosts_.begin(); it != hosts_.end();) {
    if (it->second.seen) {
      ++it;
      continue;
    }
    if (it->second.checker && it->second.checker->first()) --unchecked_;
    if (it->second.ejection.ejected) --ejected_;
    shared_->health->forget(it->first);
    it = hosts_.erase(it);
  }
  env_.changed(*this);
  if (unchecked_ == 0) env_.first_round(*this);
}

// Envoy 1.40: what discovery no longer names stays while its checks pass, so that a control plane with a hole in its view does no harm.
std::shared_ptr<const config::EndpointSet> ClusterMonitor::with_leaving(const std::shared_ptr<const config::EndpointSet>& named, const LocalZone& local) {
  if (!shared_->config->health_check || shared_->config->ignore_health_on_host_removal || named == nullptr) return named;
  std::set<std::string> names;
  for (const FlatEndpoint& flat : flatten(*shared_->config, named.get(), local).hosts) names.insert(flat.name);
  std::vector<std::string> leaving;
  for (auto& [address, entry] : hosts_) {
    const uint32_t flags = entry.health->flags.load(kRelaxed) & ~uint32_t{kPendingRemoval};
    const bool stays = !names.contains(address) && entry.checker && (flags & kFailedCheck) == 0 && entry.endpoint.usable();
    if (stays) leaving.push_back(address);
    entry.health->flags.store(flags | (stays ? uint32_t{kPendingRemoval} : 0u), kRelaxed);
  }
  if (leaving.empty()) return named;
  if (named == named_ && leaving == leaving_) return with_leaving_;
  auto out = std::make_shared<config::EndpointSet>(*named);
  for (const std::string& address : leaving) {
    const Entry& entry = hosts_.at(address);
    if (out->priorities.size() <= entry.priority) out->priorities.resize(entry.priority + 1);
    std::vector<config::Locality>& places = out->priorities[entry.priority];
    auto place = std::find_if(places.begin(), places.end(), [&](const config::Locality& l) { return l.region == entry.place.region && l.zone == entry.place.zone && l.sub_zone == entry.place.sub_zone; });
    if (place == places.end()) place = places.insert(places.end(), entry.place);
    place->endpoints.push_back(entry.endpoint);
  }
  named_ = named;
  leaving_ = std::move(leaving);
  with_leaving_ = std::move(out);
  return with_leaving_;
}

void ClusterMonitor::set_flags(Entry& entry, uint32_t flags) {
  if (entry.health->flags.exchange(flags, kRelaxed) != flags) env_.changed(*this);
}

void ClusterMonitor::checked(Entry& entry, bool first, bool healthy) {
  if (healthy && entry.ejection.ejected && detection_->uneject_on_check && (entry.health->flags.load(kRelaxed) & kFailedCheck) == 0) uneject(entry);
  if (first && --unchecked_ == 0) env_.first_round(*this);
  const uint32_t flags = entry.health->flags.load(kRelaxed);
  if ((flags & kPendingRemoval) != 0 && (flags & kFailedCheck) != 0) env_.leaves(*this);
}

void ClusterMonitor::set_gauges() {
  if (shared_->config->health_check) {
    uint64_t healthy = 0, degraded = 0;
    for (const auto& [address, entry] : hosts_) {
      if (!entry.checker) continue;
      const uint32_t flags = entry.health->flags.load(kRelaxed);
      healthy += (flags & kFailedCheck) == 0;
      degraded += (flags & kDegradedCheck) != 0;
    }
    env_.cells.set(check_stats_.healthy, healthy);
    env_.cells.set(check_stats_.degraded, degraded);
  }
  if (detection_ != nullptr) env_.cells.set(ejection_stats_.active, ejected_);
}

void ClusterMonitor::on_event(const std::string& address, HealthEvent event) {
  const auto it = hosts_.find(address);
  if (it == hosts_.end()) return;
  Entry& entry = it->second;
  if (event == HealthEvent::ImmediateFail) {
    if (entry.checker) entry.checker->fail_passively();
    return;
  }
  if (detection_ == nullptr || entry.ejection.ejected) return;
  HostHealth& health = *entry.health;
  const auto outlier = [&](const Kind& kind, std::atomic<uint32_t>& count) {
    eject(entry, kind);
    count.store(0, kRelaxed);  // a further run of failures is told again, even if this one had no consequence
  };
  if (event == HealthEvent::Consecutive5xx) {
    env_.cells.add(ejection_stats_.consecutive_5xx);
    outlier(Kind::k5xx, health.consecutive_5xx);
  } else if (event == HealthEvent::ConsecutiveGateway) {
    outlier(Kind::kGateway, health.consecutive_gateway);
  } else {
    outlier(Kind::kLocal, health.consecutive_local);
  }
}

void ClusterMonitor::eject(Entry& entry, const Kind& kind) {
  stats::Scope& scope = *shared_->scope;
  env_.cells.add(scope.counter(absl::StrCat("outlier_detection.ejections_detected_", kind.name)));
  if (entry.ejection.ejected) return;
  if (!room_for_ejection(*detection_, hosts_.size(), ejected_)) return env_.cells.add(ejection_stats_.overflow);
  if (&kind == &Kind::k5xx || &kind == &Kind::kSuccessRate) env_.cells.add(ejection_stats_.total);  // Envoy 1.40: of these two alone, and whether enforced or not
  if (&kind == &Kind::kSuccessRate) env_.cells.add(ejection_stats_.success_rate);
  if (env_.random.below(100) >= detection_->*kind.enforcing) return log_ejection(entry, &kind, true, false, entry.ejection.returned);
  env_.cells.add(ejection_stats_.enforced_total);
  env_.cells.add(scope.counter(absl::StrCat("outlier_detection.ejections_enforced_", kind.name)));
  ++ejected_;
  begin_ejection(*detection_, entry.ejection, env_.loop.now(), milliseconds(env_.random.below(static_cast<uint64_t>(detection_->max_ejection_time_jitter.count()) + 1)));
  FL_LOG(debug, "upstream", "cluster '", shared_->config->name, "': ", entry.health->address, " is ejected: ", kind.name);
  set_flags(entry, entry.health->flags.load(kRelaxed) | kEjected);
  log_ejection(entry, &kind, true, true, entry.ejection.returned);
}

void ClusterMonitor::log_check(const Entry& entry, const CheckEvent& event) const {
  if (check_logs_.empty()) return;
  const std::string line = check_event_line(event, shared_->config->health_check->kind, shared_->config->name, entry.endpoint, entry.place, env_.loop.wall_now());
  for (const auto& log : check_logs_) log->write(0, line);
}

// `last`: when the host was last put back (or out); Envoy 1.40 gives a return no kind, so that it reads as the first.
void ClusterMonitor::log_ejection(const Entry& entry, const Kind* kind, bool eject, bool enforced, std::optional<MonotonicTime> last) const {
  if (!env_.outlier_log) return;
  OutlierEvent event{.type = (kind != nullptr ? *kind : Kind::k5xx).type, .eject = eject, .enforced = enforced, .ejections = entry.ejection.total};
  if (last) event.since_last = std::chrono::floor<std::chrono::seconds>(env_.loop.now() - *last);
  const bool local = kind == &Kind::kLocalSuccessRate || kind == &Kind::kLocalFailurePercentage;
  if (kind == &Kind::kSuccessRate || kind == &Kind::kLocalSuccessRate) event.detail = OutlierEvent::Detail::SuccessRate;
  if (kind == &Kind::kFailurePercentage || kind == &Kind::kLocalFailurePercentage) event.detail = OutlierEvent::Detail::FailurePercentage;
  const SuccessRates& rates = local ? local_rates_ : rates_;
  event.host_rate = (local ? entry.health->local_success_rate : entry.health->success_rate).load(kRelaxed);
  event.average_rate = rates.average;
  event.threshold = rates.threshold;
  env_.outlier_log->write(0, outlier_event_line(event, shared_->config->name, entry.health->address, env_.loop.wall_now()));
}

void ClusterMonitor::uneject(Entry& entry) {
  --ejected_;
  entry.ejection.ejected = false;
  entry.ejection.returned = env_.loop.now();
  for (auto* count : {&entry.health->consecutive_5xx, &entry.health->consecutive_gateway, &entry.health->consecutive_local}) count->store(0, kRelaxed);
  FL_LOG(debug, "upstream", "cluster '", shared_->config->name, "': ", entry.health->address, " is back");
  set_flags(entry, entry.health->flags.load(kRelaxed) & ~uint32_t{kEjected});
  log_ejection(entry, nullptr, false, false, entry.ejection.since);
}

void ClusterMonitor::on_interval() {
  for (auto& [address, entry] : hosts_) {
    if (ejection_over(*detection_, entry.ejection, env_.loop.now())) uneject(entry);
  }
  judge_rates(false);
  judge_rates(true);
  interval_timer_->arm(detection_->interval);
}

void ClusterMonitor::judge_rates(bool local) {
  struct Judged {
    Entry* entry;
    double rate;
  };
  std::vector<Judged> for_rate, for_percentage;
  for (auto& [address, entry] : hosts_) {
    RequestCounts& counts = local ? entry.health->local : entry.health->external;
    std::atomic<double>& shown = local ? entry.health->local_success_rate : entry.health->success_rate;
    const uint32_t success = counts.success.exchange(0, kRelaxed), total = std::max(counts.total.exchange(0, kRelaxed), success);
    shown.store(-1, kRelaxed);
    if (hosts_.size() < detection_->success_rate_minimum_hosts && hosts_.size() < detection_->failure_percentage_minimum_hosts) continue;
    if (entry.ejection.ejected || total == 0) continue;
    const double rate = 100.0 * success / total;
    if (total >= std::min(detection_->success_rate_request_volume, detection_->failure_percentage_request_volume)) shown.store(rate, kRelaxed);
    if (total >= detection_->success_rate_request_volume) for_rate.push_back({&entry, rate});
    if (total >= detection_->failure_percentage_request_volume) for_percentage.push_back({&entry, rate});
  }
  if (!for_rate.empty() && for_rate.size() >= detection_->success_rate_minimum_hosts) {
    std::vector<double> rates;
    for (const Judged& host : for_rate) rates.push_back(host.rate);
    SuccessRates& judged = local ? local_rates_ : rates_;
    judged = success_rates(rates, detection_->success_rate_stdev_factor);
    for (const Judged& host : for_rate) {
      if (host.rate < judged.threshold) eject(*host.entry, local ? Kind::kLocalSuccessRate : Kind::kSuccessRate);
    }
  }
  if (!for_percentage.empty() && for_percentage.size() >= detection_->failure_percentage_minimum_hosts) {
    for (const Judged& host : for_percentage) {
      if (100.0 - host.rate >= detection_->failure_percentage_threshold) eject(*host.entry, local ? Kind::kLocalFailurePercentage : Kind::kFailurePercentage);
    }
  }
}

}  // namespace fairlead::upstream
