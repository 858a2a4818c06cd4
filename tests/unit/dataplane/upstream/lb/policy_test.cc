// Round robin, least request and random; the selector's choice between healthy, degraded and panicking lists and between localities.
#include <catch2/catch.hpp>

#include <map>
#include <numeric>

#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"
#include "tests/unit/dataplane/upstream/lb/hosts.h"

using namespace fairlead::upstream;

namespace {

const PolicyOptions kRoundRobin{};
const PolicyOptions kLeastRequest{.kind = PolicyOptions::Kind::LeastRequest};
const PolicyOptions kRandom{.kind = PolicyOptions::Kind::Random};

std::map<size_t, int> count(Policy& policy, const Hosts& hosts, int picks) {
  std::map<size_t, int> out;
  for (int i = 0; i < picks; ++i) ++out[hosts.index(policy.pick({}))];
  return out;
}

}  // namespace

TEST_CASE("round robin visits every host once per turn") {
  Random random(7);
  Hosts hosts({1, 1, 1, 1});
  auto policy = make_policy(kRoundRobin, hosts.list(), random);
  const LbHost* first = policy->pick({});
  for (int i = 0; i < 3; ++i) CHECK(policy->pick({}) != first);
  CHECK(policy->pick({}) == first);
}

TEST_CASE("weighted round robin is exact over one period") {
  Random random(1);
  Hosts hosts({1, 2, 5});
  auto policy = make_policy(kRoundRobin, hosts.list(), random);
  const auto seen = count(*policy, hosts, 800);
  CHECK(seen.at(0) == Approx(100).margin(1));
  CHECK(seen.at(1) == Approx(200).margin(1));
  CHECK(seen.at(2) == Approx(500).margin(1));
}

TEST_CASE("weighted round robin spreads a heavy host instead of sending bursts") {
  Random random(1);
  Hosts hosts({3, 1, 1, 1});
  auto policy = make_policy(kRoundRobin, hosts.list(), random);
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
  auto policy = make_policy(kLeastRequest, hosts.list(), random);
  const auto seen = count(*policy, hosts, 1000);
  CHECK(seen.at(1) == Approx(750).margin(60));  // only when both draws fall on host 0 is it picked
}

TEST_CASE("weighted least request lowers the weight of busy hosts") {
  Random random(3);
  Hosts hosts({4, 2});
  hosts.hosts[0].active_requests = 3;
  auto policy = make_policy(kLeastRequest, hosts.list(), random);
  const auto seen = count(*policy, hosts, 900);
  CHECK(seen.at(0) == Approx(300).margin(5));
  CHECK(seen.at(1) == Approx(600).margin(5));
}

TEST_CASE("random covers all hosts and ignores weights") {
  Random random(3);
  Hosts hosts({100, 1});
  auto policy = make_policy(kRandom, hosts.list(), random);
  CHECK(count(*policy, hosts, 1000).at(1) == Approx(500).margin(70));
}

TEST_CASE("empty lists pick nothing") {
  Random random(3);
  for (const PolicyOptions& options : {kRoundRobin, kLeastRequest, kRandom}) CHECK(make_policy(options, {}, random)->pick({}) == nullptr);
  HostSelector selector(kRoundRobin, random);
  selector.rebuild({}, {});
  CHECK(selector.pick({}).host == nullptr);
}

TEST_CASE("the selector leaves unhealthy hosts out until panic") {
  Random random(5);
  Hosts hosts({1, 1, 1, 1});
  hosts.hosts[0].health = Health::kUnhealthy;
  HostSelector selector(kRoundRobin, random);
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
  HostSelector selector(kRoundRobin, random);
  selector.rebuild(hosts.list(), {});
  for (int i = 0; i < 20; ++i) CHECK(selector.pick({}).host == &hosts.hosts[2]);
}

TEST_CASE("localities share by weight and by what of them is healthy") {
  Random random(5);
  Hosts hosts({1, 1, 1, 1});
  for (size_t i = 0; i < 4; ++i) hosts.hosts[i].locality = i / 2;
  HostSelector selector(kRoundRobin, random);
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
  // Envoy 1.40: without any weight the localities are one list
  CHECK(share_of_first({0, 0}) == Approx(333).margin(2));
}

TEST_CASE("with weighted health a heavy sick host counts more than a light one") {
  Random random(5);
  Hosts hosts({98, 1, 1, 1});
  hosts.hosts[0].health = Health::kUnhealthy;
  hosts.hosts[3].priority = 1;
  HostSelector selector(kRoundRobin, random);
  selector.rebuild(hosts.list(), {});
  CHECK(selector.load().shares()[0].healthy == 93);
  selector.rebuild(hosts.list(), {.weighted_health = true});
  CHECK(selector.load().shares()[0].healthy == 2);
  CHECK(selector.load().shares()[1].healthy == 98);
  // Panic goes by number all the same: two of three are healthy.
  hosts.hosts[3].health = Health::kUnhealthy;
  selector.rebuild(hosts.list(), {.weighted_health = true});
  CHECK_FALSE(selector.load().shares()[0].panic);
  CHECK(selector.load().shares()[0].healthy == 100);
}

TEST_CASE("a full scan finds the one idle host, and draws among those that tie") {
  Random random(3);
  Hosts hosts(std::vector<uint32_t>(50, 1));
  for (LbHost& host : hosts.hosts) host.active_requests = 4;
  hosts.hosts[17].active_requests = 3;
  auto policy = make_policy({.kind = PolicyOptions::Kind::LeastRequest, .least_request = {.full_scan = true}}, hosts.list(), random);
  for (int i = 0; i < 20; ++i) CHECK(hosts.index(policy->pick({})) == 17);
  for (size_t i : {3, 4, 49}) hosts.hosts[i].active_requests = 1;
  const auto seen = count(*policy, hosts, 3000);
  CHECK(seen.size() == 3);
  CHECK(chi_square(seen, {{3, 1000.0}, {4, 1000.0}, {49, 1000.0}}) < 13.8);  // p = 0.001, 2 degrees of freedom
}

TEST_CASE("weights come out as configured under a chi-square test") {
  const std::vector<uint32_t> weights{1, 2, 3, 5, 8, 13, 21};
  double sum = 0;
  for (uint32_t w : weights) sum += w;
  constexpr int kPicks = 53'000;
  for (uint64_t seed : {1, 2, 3}) {
    for (const PolicyOptions& options : {kRoundRobin, kLeastRequest}) {
      Random random(seed);
      Hosts hosts(weights);
      auto policy = make_policy(options, hosts.list(), random);
      std::map<size_t, double> expected;
      for (size_t i = 0; i < weights.size(); ++i) expected[i] = kPicks * weights[i] / sum;
      CHECK(chi_square(count(*policy, hosts, kPicks), expected) < 22.5);  // p = 0.001, 6 degrees of freedom
    }
    Random random(seed);
    Hosts hosts(std::vector<uint32_t>(10, 1));
    std::map<size_t, double> expected;
    for (size_t i = 0; i < 10; ++i) expected[i] = 5'000;
    CHECK(chi_square(count(*make_policy(kRandom, hosts.list(), random), hosts, 50'000), expected) < 27.9);       // p = 0.001, 9 degrees of freedom
    CHECK(chi_square(count(*make_policy(kLeastRequest, hosts.list(), random), hosts, 50'000), expected) < 27.9);  // all idle: any of them
  }
}

TEST_CASE("a hash in the context does not disturb policies without one") {
  Random random(5);
  Hosts hosts({1, 1});
  hosts.hosts[1].priority = 1;
  hosts.hosts[0].health = Health::kHealthy;
  HostSelector selector(kRoundRobin, random);
  selector.rebuild(hosts.list(), {.overprovisioning_percent = 50});  // half each
  PickContext context;
  context.hash = 7;
  int first = 0;
  for (int i = 0; i < 1000; ++i) first += selector.pick(context).host == &hosts.hosts[0];
  CHECK(first == Approx(500).margin(60));
}

TEST_CASE("excluded hosts count for nothing until panic") {
  Random random(5);
  Hosts hosts({1, 1, 1, 1});
  hosts.hosts[2].excluded = hosts.hosts[3].excluded = true;
  HostSelector selector(kRoundRobin, random);
  selector.rebuild(hosts.list(), {});
  CHECK_FALSE(selector.load().shares()[0].panic);
  for (int i = 0; i < 8; ++i) CHECK(hosts.index(selector.pick({}).host) < 2);
}
