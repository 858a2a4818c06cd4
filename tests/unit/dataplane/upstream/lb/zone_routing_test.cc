// Zone-aware routing: when it is on, how much stays local, where the rest goes.
#include <catch2/catch.hpp>

#include <map>

#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"
#include "tests/unit/dataplane/upstream/lb/hosts.h"

namespace zone_routing_test {

using namespace fairlead::upstream;

namespace {

using Mode = ZoneRouting::Mode;
using Why = ZoneRouting::Why;

LocalZones local(std::vector<uint64_t> shares) {
  LocalZones out{.localities = shares.size(), .own_has_hosts = true, .shares = shares};
  for (uint64_t s : shares) out.total += s;
  return out;
}

UpstreamZones upstream(std::vector<uint64_t> shares) {
  UpstreamZones out{.own_first = true, .own_healthy_hosts = shares[0], .shares = shares};
  for (uint64_t s : shares) out.healthy_hosts += s;
  return out;
}

}  // namespace

TEST_CASE("all traffic stays while the upstream's share of the zone is at least our own") {
  CHECK(ZoneRouting::compute({}, local({5, 5}), upstream({5, 5})).mode() == Mode::Direct);
  CHECK(ZoneRouting::compute({}, local({2, 8}), upstream({5, 5})).mode() == Mode::Direct);
}

TEST_CASE("a zone with too few upstreams keeps what it can carry, others share the rest by what they have left") {
  // Ours: 40 40 20 %, theirs: 25 50 25 %. 62.5 % stay; the second and third zone have 10 and 5 % left.
  const ZoneRouting zones = ZoneRouting::compute({}, local({4, 4, 2}), upstream({5, 10, 5}));
  CHECK(zones.mode() == Mode::Residual);
  CHECK(zones.local_percent() == 6250);
  Random random(7);
  std::map<size_t, int> seen;
  std::map<ZoneRouting::Outcome, int> outcomes;
  for (int i = 0; i < 40'000; ++i) {
    ZoneRouting::Outcome outcome;
    ++seen[zones.pick(random, outcome)];
    ++outcomes[outcome];
  }
  CHECK(chi_square(seen, {{0, 25'000.0}, {1, 10'000.0}, {2, 5'000.0}}) < 13.8);  // p = 0.001, 2 degrees of freedom
  CHECK(outcomes[ZoneRouting::Outcome::Sampled] == seen[0]);
  CHECK(outcomes[ZoneRouting::Outcome::CrossZone] == seen[1] + seen[2]);
}

TEST_CASE("zone-aware routing is off where it cannot work") {
  CHECK(ZoneRouting::compute({}, local({5, 5}), upstream({10})).why_off() == Why::TooFewLocalities);
  CHECK(ZoneRouting::compute({}, local({5}), upstream({5, 5})).why_off() == Why::TooFewLocalities);
  CHECK(ZoneRouting::compute({}, local({2, 3}), upstream({2, 3})).why_off() == Why::ClusterTooSmall);  // below 6
  CHECK(ZoneRouting::compute({.min_cluster_size = 5}, local({2, 3}), upstream({2, 3})).mode() == Mode::Direct);
  LocalZones elsewhere = local({5, 5});
  elsewhere.own_has_hosts = false;
  CHECK(ZoneRouting::compute({}, elsewhere, upstream({5, 5})).why_off() == Why::LocalClusterNotOk);
}

TEST_CASE("a forced local zone gets everything once it has enough healthy hosts") {
  CHECK(ZoneRouting::compute({.force_local_min = 1}, local({9, 1}), upstream({1, 9})).mode() == Mode::Direct);
  CHECK(ZoneRouting::compute({.force_local_min = 2}, local({9, 1}), upstream({1, 9})).mode() == Mode::Residual);
  CHECK(ZoneRouting::compute({.force_local_min = 1}, local({9}), upstream({1, 9})).mode() == Mode::Direct);
}

TEST_CASE("without upstreams in our zone all traffic crosses") {
  UpstreamZones theirs{.own_first = false, .healthy_hosts = 10, .shares = {5, 5}};
  const ZoneRouting zones = ZoneRouting::compute({}, local({0, 5}), theirs);
  CHECK(zones.mode() == Mode::Residual);
  CHECK(zones.local_percent() == 0);
  Random random(1);
  ZoneRouting::Outcome outcome;
  CHECK(zones.pick(random, outcome) == 0);  // the first has its whole share left, the second nothing
}

TEST_CASE("the selector keeps to the local zone and leaves it aside in panic") {
  Random random(3);
  Hosts hosts({1, 1, 1, 1, 1, 1});
  for (size_t i = 3; i < 6; ++i) hosts.hosts[i].locality = 1;
  HostSelector selector(PolicyOptions{}, random);
  HostSelector::Options options{.zone = ZoneOptions{}, .local = local({1, 1}), .own_zone_first = true};
  selector.rebuild(hosts.list(), options);
  for (int i = 0; i < 12; ++i) {
    const auto picked = selector.pick({});
    CHECK(hosts.index(picked.host) < 3);
    CHECK(picked.zone == ZoneRouting::Outcome::AllDirectly);
  }
  options.local.panic = true;
  selector.rebuild(hosts.list(), options);
  std::map<size_t, int> seen;
  for (int i = 0; i < 12; ++i) {
    const auto picked = selector.pick({});
    CHECK(picked.local_cluster_not_ok);
    ++seen[hosts.index(picked.host)];
  }
  CHECK(seen.size() == 6);
  options.fail_in_panic = true;
  selector.rebuild(hosts.list(), options);
  CHECK(selector.pick({}).host == nullptr);

  options = {.zone = ZoneOptions{.routing_percent = 0}, .local = local({1, 1}), .own_zone_first = true};
  selector.rebuild(hosts.list(), options);
  seen.clear();
  for (int i = 0; i < 12; ++i) ++seen[hosts.index(selector.pick({}).host)];
  CHECK(seen.size() == 6);
}

}  // namespace zone_routing_test
