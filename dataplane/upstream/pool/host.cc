// An endpoint on a worker; see host.h.
#include "dataplane/upstream/pool/host.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "dataplane/upstream/pool/happy_eyeballs.h"

namespace fairlead::upstream {
namespace {

constexpr size_t kMostMetrics = 100;  // of one host; their names may be the endpoint's

}  // namespace

Host::Host(WorkerEnv& env, std::shared_ptr<SharedCluster> cluster, const config::Endpoint& endpoint, net::Address address)
    : env_(env), cluster_(std::move(cluster)), address_(std::move(address)), address_text_(address_.to_string()) {
  if (cluster_->health) shared_health_ = cluster_->health->host(address_text_, !(endpoint.check && endpoint.check->disabled));
  update(endpoint);
}

Host::~Host() {
  leave_load();
  for_each_pool([](ConnectionPool& pool) { pool.breakers().pools.give_back(); });
}

template <class F>
void Host::for_each_pool(F&& f) const {
  for (const auto& pool : pools_) {
    if (pool) f(*pool);
  }
  if (!own_pools_) return;
  for (const auto& [key, pool] : own_pools_->pools) f(*pool);
}

void Host::update(const config::Endpoint& endpoint) {
  weight = std::max(1u, endpoint.weight);
  said_ = endpoint.health == config::HealthStatus::Degraded ? Health::kDegraded : endpoint.usable() ? Health::kHealthy : Health::kUnhealthy;
  said_status_ = static_cast<HostStatusCode>(endpoint.health);
  hostname_ = endpoint.hostname;
  metadata_ = endpoint.metadata;
  choose_race(endpoint);
  refresh_health();
}

void Host::choose_race(const config::Endpoint& endpoint) {
  race_.reset();
  if (endpoint.additional.empty()) return;
  std::vector<net::Address> all{address_};
  for (const config::Address& other : endpoint.additional) {
    auto address = other.kind == config::Address::Kind::Pipe ? net::Address::from_unix(other.path) : net::Address::from_ip(other.host, other.port);
    if (address.ok()) all.push_back(*std::move(address));
  }
  race_ = std::make_unique<std::vector<net::Address>>(interleave(std::move(all), cluster_->config->happy_eyeballs));
}

bool Host::refresh_health() {
  const Health health_before = health;
  const bool excluded_before = excluded;
  const HostStatusCode status_before = status;
  const uint32_t flags = shared_health_ ? shared_health_->flags.load(std::memory_order_relaxed) : 0;
  const bool failed = (flags & (kFailedCheck | kEjected)) != 0;
  health = health_in(said_, flags);
  excluded = (flags & (kPendingCheck | kExcludedByAnswer)) != 0;
  // Envoy 1.40: the first that holds
  status = said_status_ == HostStatusCode::kDraining ? said_status_
           : (flags & kCheckTimedOut) != 0           ? HostStatusCode::kTimeout
           : failed                                  ? HostStatusCode::kUnhealthy
           : said_ == Health::kHealthy && (flags & kDegradedCheck) != 0 ? HostStatusCode::kDegraded
                                                                        : said_status_;
  // Envoy 1.40: connections of a host that fails serve what they have and no more
  if (failed && (flags_ & (kFailedCheck | kEjected)) == 0) retire_connections();
  if ((flags_ & kFailedCheck) != 0 && (flags & kFailedCheck) == 0) healthy_since = MonotonicTime{};  // a slow start begins anew
  flags_ = flags;
  return health != health_before || excluded != excluded_before || status != status_before;
}

void Host::remove() {
  removed_ = true;
  leave_load();
  for_each_pool([](ConnectionPool& pool) { pool.drain(); });
}

void Host::close_all() {
  for_each_pool([](ConnectionPool& pool) { pool.close_all(); });
}

void Host::stand_at(std::shared_ptr<const LoadPlace> place) {
  if (!load_) load_ = std::make_unique<Reported>();
  load_->place = std::move(place);
}

HostLoad Host::take_load() {
  HostLoad out;
  out.succeeded = counters.rq_success - std::exchange(load_->succeeded, counters.rq_success);
  out.failed = counters.rq_error - std::exchange(load_->failed, counters.rq_error);
  out.issued = counters.rq_total - std::exchange(load_->issued, counters.rq_total);
  out.in_progress = active_requests;
  out.metrics = std::exchange(load_->metrics, {});
  return out;
}

void Host::add_metric(std::string_view name, double value) {
  if (!load_ || !std::isfinite(value)) return;  // one answer must not spoil the sum of all
  auto it = load_->metrics.find(name);
  if (it == load_->metrics.end()) {
    if (load_->metrics.size() >= kMostMetrics) return;
    it = load_->metrics.emplace(name, LoadMetric()).first;
  }
  ++it->second.requests;
  it->second.sum += value;
}

// What has not been reported yet, when the host goes: at once, and for the requests that end later with the last of them.
void Host::leave_load() {
  if (!load_) return;
  HostLoad rest = take_load();
  rest.in_progress = 0;
  if (!rest.empty()) cluster_->departed_loads->add(*cluster_->config, {priority, *load_->place, address_text_}, rest);
}

bool Host::in_use() const {
  bool any = false;
  for_each_pool([&](const ConnectionPool& pool) { any |= !pool.unused(); });
  return any;
}

void Host::retire_connections() {
  for_each_pool([](ConnectionPool& pool) { pool.retire_connections(); });
}

void Host::sweep_own_pools() {
  absl::erase_if(own_pools_->pools, [](const auto& entry) {
    if (!entry.second->unused()) return false;
    entry.second->breakers().pools.give_back();
    return true;
  });
  own_pools_->sweep_at = 2 * own_pools_->pools.size() + 16;
}

ConnectionPool* Host::own_pool(PoolProtocol protocol, bool high, const MadeFor& whom) {
  if (!own_pools_) own_pools_ = std::make_unique<OwnPools>();
  // Envoy 1.40: names that differ in case only share connections
  std::string key = absl::AsciiStrToLower(absl::StrCat(static_cast<int>(protocol), high ? "h" : "d", whom.server_name, ">", whom.verify_name));
  if (whom.client) absl::StrAppend(&key, ">", whom.client->source.to_string(), ">", whom.client->destination.to_string());
  if (const auto known = own_pools_->pools.find(key); known != own_pools_->pools.end()) return known->second.get();
  Limit& pools = cluster_->breakers[high ? 1 : 0].pools;
  if (own_pools_->pools.size() >= own_pools_->sweep_at || !pools.can_take()) sweep_own_pools();
  if (!pools.can_take()) return nullptr;
  pools.take();
  return own_pools_->pools.emplace(key, std::make_unique<ConnectionPool>(*this, protocol, high, std::make_unique<MadeFor>(whom))).first->second.get();
}

void Host::acquire(PoolRequest& request, bool high, http::Protocol came_as, const MadeFor* whom, bool tcp) {
  const config::UpstreamProtocol wanted = cluster_->config->http.protocol;
  const bool http2 = wanted == config::UpstreamProtocol::Downstream ? came_as == http::Protocol::Http2 : wanted == config::UpstreamProtocol::Http2;
  const bool automatic = wanted == config::UpstreamProtocol::Auto;
  const PoolProtocol protocol = tcp ? PoolProtocol::kTcp : automatic ? PoolProtocol::kAuto : http2 ? PoolProtocol::kHttp2 : PoolProtocol::kHttp1;
  const auto no_pool = [&] {
    env_.cells.add(cluster_->stats, stats::ClusterStat::upstream_cx_pool_overflow);
    request.on_pool_failure(ResetReason::kNoPool, {});
  };
  if (whom != nullptr) {
    ConnectionPool* own = own_pool(protocol, high, *whom);
    return own == nullptr ? no_pool() : own->acquire(request);
  }
  auto& pool = pools_[(high ? kPoolProtocols : 0) + static_cast<size_t>(protocol)];
  if (!pool) {
    Limit& pools = cluster_->breakers[high ? 1 : 0].pools;
    if (!pools.can_take()) return no_pool();
    pools.take();
    pool = std::make_unique<ConnectionPool>(*this, protocol, high);
  }
  pool->acquire(request);
}

}  // namespace fairlead::upstream
