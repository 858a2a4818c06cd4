// Round robin: in turn, or in proportion to weights. The start is random so that workers do not march in step.
#include "dataplane/upstream/lb/edf_schedule.h"
#include "dataplane/upstream/lb/policy.h"
#include "dataplane/upstream/lb/random.h"
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
  WeightedInTurn(std::vector<LbHost*> hosts, Random& random) : hosts_(std::move(hosts)) {
    for (uint32_t i = 0; i < hosts_.size(); ++i) schedule_.add(i, hosts_[i]->weight);
    for (uint64_t skip = random.below(hosts_.size()); skip != 0; --skip) pick({});
  }

  LbHost* pick(const PickContext&) override {
    return hosts_[schedule_.next([this](uint32_t i) { return static_cast<double>(hosts_[i]->weight); })];
  }

 private:
  std::vector<LbHost*> hosts_;
  EdfSchedule schedule_;
};

}  // namespace

std::unique_ptr<Policy> make_round_robin(std::vector<LbHost*> hosts, Random& random) {
  if (equal_weights(hosts)) return std::make_unique<InTurn>(std::move(hosts), random);
  return std::make_unique<WeightedInTurn>(std::move(hosts), random);
}

}  // namespace fairlead::upstream
