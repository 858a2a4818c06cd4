// Least request: the least busy of a few or of all when weights are equal, otherwise weighted with the weight lowered by what is in flight.
#include <cmath>

#include "dataplane/upstream/lb/edf_schedule.h"
#include "dataplane/upstream/lb/policy.h"
#include "dataplane/upstream/lb/random.h"
#include "dataplane/upstream/lb/warming.h"
#include "dataplane/upstream/lb/weights.h"

namespace fairlead::upstream {
namespace {

class BestOfSome final : public Policy {
 public:
  BestOfSome(std::vector<LbHost*> hosts, uint32_t choices, Random& random) : hosts_(std::move(hosts)), choices_(choices), random_(random) {}

  LbHost* pick(const PickContext&) override {
    if (hosts_.empty()) return nullptr;
    LbHost* best = hosts_[random_.below(hosts_.size())];
    for (uint32_t i = 1; i < choices_; ++i) {
      LbHost* other = hosts_[random_.below(hosts_.size())];
      if (other->active_requests < best->active_requests) best = other;
    }
    return best;
  }

 private:
  std::vector<LbHost*> hosts_;
  uint32_t choices_;
  Random& random_;
};

// One scan; among hosts that tie each is as likely as the others (the k-th one replaces with probability 1/k).
class BestOfAll final : public Policy {
 public:
  BestOfAll(std::vector<LbHost*> hosts, Random& random) : hosts_(std::move(hosts)), random_(random) {}

  LbHost* pick(const PickContext&) override {
    LbHost* best = nullptr;
    uint64_t tied = 0;
    for (LbHost* host : hosts_) {
      if (best == nullptr || host->active_requests < best->active_requests) {
        best = host;
        tied = 1;
      } else if (host->active_requests == best->active_requests && random_.below(++tied) == 0) {
        best = host;
      }
    }
    return best;
  }

 private:
  std::vector<LbHost*> hosts_;
  Random& random_;
};

class WeightedByLoad final : public Policy {
 public:
  WeightedByLoad(std::vector<LbHost*> hosts, double bias, Random& random, const SlowStart& slow_start, MonotonicTime now)
      : hosts_(std::move(hosts)), bias_(bias), slow_start_(slow_start) {
    for (uint32_t i = 0; i < hosts_.size(); ++i) schedule_.add(i, weight(i, now));
    PickContext start;
    start.now = now;
    for (uint64_t skip = random.below(hosts_.size()); skip != 0; --skip) pick(start);
  }

  LbHost* pick(const PickContext& context) override {
    return hosts_[schedule_.next([&](uint32_t i) { return weight(i, context.now); })];
  }

 private:
  double weight(uint32_t i, MonotonicTime now) const {
    const LbHost& host = *hosts_[i];
    const double full = host.weight * slow_start_.factor(host, now);
    if (bias_ == 0) return full;
    const double busy = host.active_requests + 1.0;
    return full / (bias_ == 1.0 ? busy : std::pow(busy, bias_));
  }

  std::vector<LbHost*> hosts_;
  double bias_;
  SlowStart slow_start_;
  EdfSchedule schedule_;
};

}  // namespace

std::unique_ptr<Policy> make_least_request(std::vector<LbHost*> hosts, const LeastRequestOptions& options, Random& random, const SlowStart& slow_start,
                                           MonotonicTime now) {
  const auto weighted = [&](std::vector<LbHost*> list) {
    return std::make_unique<WeightedByLoad>(std::move(list), options.active_request_bias, random, slow_start, now);
  };
  const auto plain = [&](std::vector<LbHost*> list) -> std::unique_ptr<Policy> {
    if (options.full_scan) return std::make_unique<BestOfAll>(std::move(list), random);
    return std::make_unique<BestOfSome>(std::move(list), options.choice_count, random);
  };
  if (!equal_weights(hosts)) return weighted(std::move(hosts));
  const MonotonicTime end = slow_start.end(hosts, now);
  if (end == MonotonicTime{} || hosts.size() == 1) return plain(std::move(hosts));
  auto first = weighted(hosts);
  return std::make_unique<Warming>(std::move(first), plain(std::move(hosts)), end);
}

}  // namespace fairlead::upstream
