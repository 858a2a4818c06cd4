// Random: any host, weights ignored.
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

}  // namespace fairlead::upstream
