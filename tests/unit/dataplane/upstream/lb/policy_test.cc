// Round robin, least request, random and the choice between healthy, degraded and panicking lists.
#include <catch2/catch.hpp>

#include <map>
#include <numeric>

#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"

using namespace fairlead::upstream;

namespace {

struct Hosts {
  explicit Hosts(std::vector<uint32_t> weights) : hosts(weights.size()) {
    for (size_t i = 0; i < weights.size(); ++i) hosts[i].weight = weights[i];
  }
  std::vector<LbHost*> list() {
    std::vector<LbHost*> out;
    for (LbHost& h : hosts) out.push_back(&h);
    return out;
  }
  size_t index(const LbHost* host) const { return host - hosts.data(); }
  std::vector<LbHost> hosts;
};

std::map<size_t, int> count(Policy& policy, const Hosts& hosts, int picks) {
  std::map<size_t, int> out;
  for (int i = 0; i < picks; ++i) ++out[hosts.index(policy.pick({}))];
  return out;
}

}  // namespace

TEST_CASE("round robin visits every host once per turn") {
  Random random(7);
  Hosts hosts({1, 1, 1, 1});
  auto policy = make_round_robin(hosts.list(), random);
  const LbHost* first = policy->pick({});
  for (int i = 0; i < 3; ++i) CHECK(policy->pick({}) != first);
  CHECK(policy->pick({}) == first);
}

TEST_CASE("weighted round robin is exact over one period") {
  Random random(1);
  Hosts hosts({1, 2, 5});
  auto policy = make_round_robin(hosts.list(), random);
  const auto seen = count(*policy, hosts, 800);
  CHECK(seen.at(0) == Approx(100).margin(1));
  CHECK(seen.at(1) == Approx(200).margin(1));
  CHECK(seen.at(2) == Approx(500).margin(1));
}

TEST_CASE("weighted round robin spreads a heavy host instead of sending bursts") {
  Random random(1);
  Hosts hosts({3, 1, 1, 1});
  auto policy = make_round_robin(hosts.list(), random);
  std::vector<int> heavy;
  for (int i = 0; i < 600; ++i) heavy.push_back(hosts.index(policy->pick({})) == 0);
  for (size_t i = 0; i + 6 <= heavy.size(); ++i) {
    const int in_window = std::accumulate(heavy.begin() + i, heavy.begin() + i + 6, 0);
    CHECK((in_window >= 2 && in_window <= 4));
  }
}

TEST_CASE("least request prefers the idle of two") {
  Random random(3);
  Hosts hosts({1, 1});
  hosts.hosts[0].active_requests = 10;
  auto policy = make_least_request(hosts.list(), {}, random);
  const auto seen = count(*policy, hosts, 1000);
  CHECK(seen.at(1) == Approx(750).margin(60));  // only when both draws fall on host 0 is it picked
}

TEST_CASE("weighted least request lowers the weight of busy hosts") {
  Random random(3);
  Hosts hosts({4, 2});
  hosts.hosts[0].active_requests = 3;
  auto policy = make_least_request(hosts.list(), {}, random);
  const auto seen = count(*policy, hosts, 900);
  CHECK(seen.at(0) == Approx(300).margin(5));
  CHECK(seen.at(1) == Approx(600).margin(5));
}

TEST_CASE("random covers all hosts and ignores weights") {
  Random random(3);
  Hosts hosts({100, 1});
  auto policy = make_random(hosts.list(), random);
  CHECK(count(*policy, hosts, 1000).at(1) == Approx(500).margin(70));
}

TEST_CASE("empty lists pick nothing") {
  Random random(3);
  for (auto& policy : {make_round_robin({}, random), make_least_request({}, {}, random)}) CHECK(policy->pick({}) == nullptr);
  HostSelector selector(make_round_robin, random);
  selector.rebuild({}, {});
  CHECK(selector.pick({}).host == nullptr);
}

TEST_CASE("the selector leaves unhealthy hosts out until panic") {
  Random random(5);
  Hosts hosts({1, 1, 1, 1});
  hosts.hosts[0].health = Health::kUnhealthy;
  HostSelector selector(make_round_robin, random);
  selector.rebuild(hosts.list(), {});
  for (int i = 0; i < 20; ++i) CHECK(selector.pick({}).host != &hosts.hosts[0]);

  for (int i = 0; i < 3; ++i) hosts.hosts[i].health = Health::kUnhealthy;
  selector.rebuild(hosts.list(), {});
  std::map<const LbHost*, int> seen;
  for (int i = 0; i < 40; ++i) {
    const auto picked = selector.pick({});
    CHECK(picked.panic);
    ++seen[picked.host];
  }
  CHECK(seen.size() == 4);

  selector.rebuild(hosts.list(), {.fail_in_panic = true});
  CHECK(selector.pick({}).host == nullptr);
  selector.rebuild(hosts.list(), {.panic_percent = 0});
  CHECK(selector.pick({}).host == &hosts.hosts[3]);
}

TEST_CASE("the selector spills to the next priority") {
  Random random(5);
  Hosts hosts({1, 1, 1});
  hosts.hosts[2].priority = 1;
  hosts.hosts[0].health = hosts.hosts[1].health = Health::kUnhealthy;
  HostSelector selector(make_round_robin, random);
  selector.rebuild(hosts.list(), {});
  for (int i = 0; i < 20; ++i) CHECK(selector.pick({}).host == &hosts.hosts[2]);
}

TEST_CASE("localities share by weight and by what of them is healthy") {
  Random random(5);
  Hosts hosts({1, 1, 1, 1});
  for (size_t i = 0; i < 4; ++i) hosts.hosts[i].locality = i / 2;
  HostSelector selector(make_round_robin, random);
  const auto share_of_first = [&](std::vector<uint32_t> weights) {
    selector.rebuild(hosts.list(), {.locality_weights = std::move(weights)});
    int first = 0;
    for (int i = 0; i < 1000; ++i) first += hosts.index(selector.pick({}).host) < 2;
    return first;
  };
  CHECK(share_of_first({3, 1}) == Approx(750).margin(2));
  CHECK(share_of_first({0, 1}) == 0);
  hosts.hosts[0].health = Health::kUnhealthy;  // half of the first: 1.4 * 0.5 = 0.7 of its weight
  CHECK(share_of_first({10, 7}) == Approx(500).margin(2));
  selector.rebuild(hosts.list(), {.locality_weights = {0, 0}});
  CHECK(selector.pick({}).host == nullptr);
}

TEST_CASE("with weighted health a heavy sick host counts more than a light one") {
  Random random(5);
  Hosts hosts({98, 1, 1});
  hosts.hosts[0].health = Health::kUnhealthy;
  HostSelector selector(make_round_robin, random);
  selector.rebuild(hosts.list(), {});
  CHECK_FALSE(selector.pick({}).panic);
  selector.rebuild(hosts.list(), {.weighted_health = true});
  CHECK(selector.pick({}).panic);
}
