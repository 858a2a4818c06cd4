// Least request: power of two choices when weights are equal, otherwise weighted with the weight lowered by what is in flight.
#include <cmath>

#include "dataplane/upstream/lb/edf_schedule.h"
#include "dataplane/upstream/lb/policy.h"
#include "dataplane/upstream/lb/random.h"
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

class WeightedByLoad final : public Policy {
 public:
  WeightedByLoad(std::vector<LbHost*> hosts, double bias, Random& random) : hosts_(std::move(hosts)), bias_(bias) {
    for (uint32_t i = 0; i < hosts_.size(); ++i) schedule_.add(i, weight(i));
    for (uint64_t skip = random.below(hosts_.size()); skip != 0; --skip) pick({});
  }

  LbHost* pick(const PickContext&) override { return hosts_[schedule_.next([this](uint32_t i) { return weight(i); })]; }

 private:
  double weight(uint32_t i) const {
    const LbHost& host = *hosts_[i];
    if (bias_ == 0) return host.weight;
    const double busy = host.active_requests + 1.0;
    return host.weight / (bias_ == 1.0 ? busy : std::pow(busy, bias_));
  }

  std::vector<LbHost*> hosts_;
  double bias_;
  EdfSchedule schedule_;
};

}  // namespace

std::unique_ptr<Policy> make_least_request(std::vector<LbHost*> hosts, const LeastRequestOptions& options, Random& random) {
  if (equal_weights(hosts)) return std::make_unique<BestOfSome>(std::move(hosts), options.choice_count, random);
  return std::make_unique<WeightedByLoad>(std::move(hosts), options.active_request_bias, random);
}

}  // namespace fairlead::upstream
