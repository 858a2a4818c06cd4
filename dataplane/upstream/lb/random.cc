// Random: any host, weights ignored; and the choice among the policies of a list.
#include "dataplane/upstream/lb/random.h"

#include "dataplane/upstream/lb/policy.h"

namespace fairlead::upstream {
namespace {

class Anyone final : public Policy {
 public:
  Anyone(std::vector<LbHost*> hosts, Random& random) : hosts_(std::move(hosts)), random_(random) {}
  LbHost* pick(const PickContext&) override { return hosts_.empty() ? nullptr : hosts_[random_.below(hosts_.size())]; }

 private:
  std::vector<LbHost*> hosts_;
  Random& random_;
};

}  // namespace

std::unique_ptr<Policy> make_random(std::vector<LbHost*> hosts, Random& random) { return std::make_unique<Anyone>(std::move(hosts), random); }

std::unique_ptr<Policy> make_policy(const PolicyOptions& options, std::vector<LbHost*> hosts, Random& random, MonotonicTime now) {
  switch (options.kind) {
    case PolicyOptions::Kind::LeastRequest: return make_least_request(std::move(hosts), options.least_request, random, options.slow_start, now);
    case PolicyOptions::Kind::Random: return make_random(std::move(hosts), random);
    case PolicyOptions::Kind::RoundRobin: break;
  }
  return make_round_robin(std::move(hosts), random, options.slow_start, now);
}

}  // namespace fairlead::upstream
