// Slow start: the curve, and what policies make of it, with a clock moved by hand.
#include <catch2/catch.hpp>

#include <map>

#include "dataplane/upstream/lb/host_selector.h"
#include "dataplane/upstream/lb/random.h"
#include "tests/unit/dataplane/upstream/lb/hosts.h"

using namespace fairlead;
using namespace fairlead::upstream;
using namespace std::chrono_literals;

namespace {

const SlowStart kMinute{.window = 60s};

// The share of the last host among `picks`.
double share_of_last(HostSelector& selector, Hosts& hosts, const SimulatedClock& clock, int picks = 10'000) {
  PickContext context;
  context.now = clock.monotonic();
  int last = 0;
  for (int i = 0; i < picks; ++i) last += selector.pick(context).host == &hosts.hosts.back();
  return static_cast<double>(last) / picks;
}

}  // namespace

TEST_CASE("the weight grows over the window from its minimum, as Envoy's formula says") {
  SimulatedClock clock;
  LbHost host;
  host.healthy_since = clock.monotonic();
  CHECK(kMinute.factor(host, clock.monotonic()) == Approx(0.1));
  clock.advance(3s);
  CHECK(kMinute.factor(host, clock.monotonic()) == Approx(0.1));
  clock.advance(27s);
  CHECK(kMinute.factor(host, clock.monotonic()) == Approx(0.5));
  const SlowStart fast{.window = 60s, .aggression = 2.0}, slow{.window = 60s, .aggression = 0.5};
  CHECK(fast.factor(host, clock.monotonic()) == Approx(0.70710678));
  CHECK(slow.factor(host, clock.monotonic()) == Approx(0.25));
  const SlowStart floor{.window = 60s, .min_weight = 0.6};
  CHECK(floor.factor(host, clock.monotonic()) == Approx(0.6));
  clock.advance(30s);
  CHECK(kMinute.factor(host, clock.monotonic()) == 1.0);
}

TEST_CASE("hosts without a known start, sick hosts and clusters without a window get their full weight") {
  SimulatedClock clock;
  LbHost host;
  CHECK(kMinute.factor(host, clock.monotonic()) == 1.0);
  host.healthy_since = clock.monotonic();
  CHECK(SlowStart{}.factor(host, clock.monotonic()) == 1.0);
  host.health = Health::kDegraded;
  CHECK(kMinute.factor(host, clock.monotonic()) == 1.0);
}

TEST_CASE("a new host's share rises with the clock and ends equal") {
  for (auto kind : {PolicyOptions::Kind::RoundRobin, PolicyOptions::Kind::LeastRequest}) {
    SimulatedClock clock;
    Random random(11);
    Hosts hosts({1, 1, 1, 1});
    clock.advance(1h);
    hosts.hosts.back().healthy_since = clock.monotonic();
    HostSelector selector({.kind = kind, .slow_start = kMinute}, random);
    selector.rebuild(hosts.list(), {.now = clock.monotonic()});
    CHECK(share_of_last(selector, hosts, clock) == Approx(0.1 / 3.1).margin(0.003));
    clock.advance(30s);
    CHECK(share_of_last(selector, hosts, clock) == Approx(0.5 / 3.5).margin(0.003));
    clock.advance(31s);
    CHECK(share_of_last(selector, hosts, clock) == Approx(0.25).margin(0.02));
  }
}

TEST_CASE("slow start scales unequal weights too") {
  SimulatedClock clock;
  Random random(11);
  Hosts hosts({1, 4});
  hosts.hosts.back().healthy_since = clock.monotonic();
  HostSelector selector({.slow_start = kMinute}, random);
  selector.rebuild(hosts.list(), {.now = clock.monotonic()});
  clock.advance(15s);
  CHECK(share_of_last(selector, hosts, clock) == Approx(0.5).margin(0.005));
  clock.advance(1min);
  CHECK(share_of_last(selector, hosts, clock) == Approx(0.8).margin(0.005));
}
