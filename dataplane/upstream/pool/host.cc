// An endpoint on a worker; see host.h.
#include "dataplane/upstream/pool/host.h"

#include <algorithm>

namespace fairlead::upstream {

Host::Host(WorkerEnv& env, std::shared_ptr<SharedCluster> cluster, const config::Endpoint& endpoint, net::Address address)
    : env_(env), cluster_(std::move(cluster)), address_(std::move(address)), address_text_(address_.to_string()) {
  if (cluster_->health) shared_health_ = cluster_->health->host(address_text_, !(endpoint.check && endpoint.check->disabled));
  update(endpoint);
}

Host::~Host() {
  for (size_t i = 0; i < pools_.size(); ++i) {
    if (pools_[i]) cluster_->breakers[i / 2].pools.give_back();
  }
}

void Host::update(const config::Endpoint& endpoint) {
  weight = std::max(1u, endpoint.weight);
  said_ = endpoint.health == config::HealthStatus::Degraded ? Health::kDegraded : endpoint.usable() ? Health::kHealthy : Health::kUnhealthy;
  said_status_ = static_cast<HostStatusCode>(endpoint.health);
  hostname_ = endpoint.hostname;
  metadata_ = endpoint.metadata;
  refresh_health();
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
  for (const auto& pool : pools_) {
    if (pool) pool->drain();
  }
}

void Host::close_all() {
  for (const auto& pool : pools_) {
    if (pool) pool->close_all();
  }
}

void Host::retire_connections() {
  for (const auto& pool : pools_) {
    if (pool) pool->retire_connections();
  }
}

void Host::acquire(PoolRequest& request, bool high, http::Protocol came_as) {
  const config::UpstreamProtocol wanted = cluster_->config->http.protocol;
  const bool http2 = wanted == config::UpstreamProtocol::Downstream ? came_as == http::Protocol::Http2 : wanted == config::UpstreamProtocol::Http2;
  auto& pool = pools_[(high ? 2 : 0) + (http2 ? 1 : 0)];
  if (!pool) {
    Limit& pools = cluster_->breakers[high ? 1 : 0].pools;
    if (!pools.can_take()) {
      env_.cells.add(cluster_->stats, stats::ClusterStat::upstream_cx_pool_overflow);
      return request.on_pool_failure(ResetReason::kOverflow, {});
    }
    pools.take();
    pool = std::make_unique<ConnectionPool>(*this, http2 ? PoolProtocol::kHttp2 : PoolProtocol::kHttp1, high);
  }
  pool->acquire(request);
}

}  // namespace fairlead::upstream
