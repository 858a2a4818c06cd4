// Shares in 1/10,000, as Envoy's integers; see zone_routing.h.
#include "dataplane/upstream/lb/zone_routing.h"

#include <numeric>

#include "dataplane/upstream/lb/random.h"

namespace fairlead::upstream {

ZoneRouting ZoneRouting::compute(const ZoneOptions& options, const LocalZones& local, const UpstreamZones& upstream) {
  ZoneRouting out;
  if (upstream.shares.size() < 2 || (!options.force_local_min && local.localities < 2)) {
    out.why_ = Why::TooFewLocalities;
  } else if (!local.own_has_hosts) {
    out.why_ = Why::LocalClusterNotOk;
  } else if (upstream.healthy_hosts < options.min_cluster_size) {
    out.why_ = Why::ClusterTooSmall;
  }
  if (out.why_ != Why::None) return out;

  const uint64_t total = std::accumulate(upstream.shares.begin(), upstream.shares.end(), uint64_t{0});
  const auto upstream_share = [&](size_t i) { return total == 0 ? 0 : 10'000 * upstream.shares[i] / total; };
  // A locality without healthy upstream hosts takes nothing, however many proxies stand in it.
  const auto local_share = [&](size_t i) { return local.total == 0 || upstream.shares[i] == 0 ? 0 : 10'000 * local.shares[i] / local.total; };
  if (upstream.own_first) {
    const bool fits = upstream_share(0) > 0 && upstream_share(0) >= local_share(0);
    if (fits || (options.force_local_min && upstream.own_healthy_hosts >= *options.force_local_min)) {
      out.mode_ = Mode::Direct;
      return out;
    }
    if (local_share(0) > 0) out.local_percent_ = upstream_share(0) * 10'000 / local_share(0);
  }
  out.mode_ = Mode::Residual;
  uint64_t sum = 0;
  for (size_t i = 0; i < upstream.shares.size(); ++i) {
    const bool own = i == 0 && upstream.own_first;
    if (!own && upstream_share(i) > local_share(i)) sum += upstream_share(i) - local_share(i);
    out.residual_.push_back(sum);
  }
  return out;
}

uint32_t ZoneRouting::pick(Random& random, Outcome& outcome) const {
  if (mode_ == Mode::Direct) {
    outcome = Outcome::AllDirectly;
    return 0;
  }
  if (random.below(10'000) < local_percent_) {
    outcome = Outcome::Sampled;
    return 0;
  }
  // Shares are rounded down, so nothing may be left: then any locality.
  if (residual_.back() == 0) {
    outcome = Outcome::NoCapacityLeft;
    return static_cast<uint32_t>(random.below(residual_.size()));
  }
  outcome = Outcome::CrossZone;
  const uint64_t point = random.below(residual_.back());
  uint32_t i = 0;
  while (point >= residual_[i]) ++i;
  return i;
}

}  // namespace fairlead::upstream
