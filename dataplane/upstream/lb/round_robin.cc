// Round robin: in turn, or in proportion to weights. The start is random so that workers do not march in step.
#include "dataplane/upstream/lb/edf_schedule.h"
#include "dataplane/upstream/lb/policy.h"
#include "dataplane/upstream/lb/random.h"
#include "dataplane/upstream/lb/warming.h"
#include "dataplane/upstream/lb/weights.h"

namespace fairlead::upstream {
namespace {

class InTurn final : public Policy {
 public:
  InTurn(std::vector<LbHost*> hosts, Random& random) : hosts_(std::move(hosts)), next_(hosts_.empty() ? 0 : random.below(hosts_.size())) {}

  LbHost* pick(const PickContext&) override {
    if (hosts_.empty()) return nullptr;
    LbHost* host = hosts_[next_];
    next_ = next_ + 1 == hosts_.size() ? 0 : next_ + 1;
    return host;
  }

 private:
  std::vector<LbHost*> hosts_;
  size_t next_;
};

class WeightedInTurn final : public Policy {
 public:
  WeightedInTurn(std::vector<LbHost*> hosts, Random& random, const SlowStart& slow_start, MonotonicTime now) : hosts_(std::move(hosts)), slow_start_(slow_start) {
    for (uint32_t i = 0; i < hosts_.size(); ++i) schedule_.add(i, weight(i, now));
    PickContext start;
    start.now = now;
    for (uint64_t skip = random.below(hosts_.size()); skip != 0; --skip) pick(start);
  }

  LbHost* pick(const PickContext& context) override {
    return hosts_[schedule_.next([&](uint32_t i) { return weight(i, context.now); })];
  }

 private:
  double weight(uint32_t i, MonotonicTime now) const { return hosts_[i]->weight * slow_start_.factor(*hosts_[i], now); }

  std::vector<LbHost*> hosts_;
  SlowStart slow_start_;
  EdfSchedule schedule_;
};

}  // namespace

std::unique_ptr<Policy> make_round_robin(std::vector<LbHost*> hosts, Random& random, const SlowStart& slow_start, MonotonicTime now) {
  const MonotonicTime end = slow_start.end(hosts, now);
  if (!equal_weights(hosts)) return std::make_unique<WeightedInTurn>(std::move(hosts), random, slow_start, now);
  if (end == MonotonicTime{} || hosts.size() == 1) return std::make_unique<InTurn>(std::move(hosts), random);
  auto weighted = std::make_unique<WeightedInTurn>(hosts, random, slow_start, now);
  return std::make_unique<Warming>(std::move(weighted), std::make_unique<InTurn>(std::move(hosts), random), end);
}

}  // namespace fairlead::upstream
