// Weights of localities out of what clients report: where they go, how seldom they move, and that they come back.
#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

#include "controlplane/topology/load_weights.h"

using namespace fairlead;
using namespace std::chrono_literals;
using topology::Locality;
using topology::LocalityLoad;
using topology::LocalitySteps;
using topology::LoadWeights;

namespace {

const intent::BackendKey kApp{"default", "app", 80};
const Locality kA{"", "a"}, kB{"", "b"};

LocalityLoad load(const Locality& locality, double requests, double utilization, double errors = 0, double measured = 1000) {
  return {"default/app/80", locality, requests, errors, measured, utilization};
}

// A service of two zones, looked at every ten seconds.
struct Watched {
  explicit Watched(LoadWeights::Options options = {}) : weights(options) {}
  // The steps that go out, if any do.
  std::optional<LocalitySteps> tick(const std::vector<LocalityLoad>& loads, std::chrono::milliseconds after = 10s) {
    clock.advance(after);
    const std::vector<LoadWeights::Changed> changed = weights.take({backend}, loads, clock.monotonic());
    if (changed.empty()) return std::nullopt;
    CHECK(changed.size() == 1);
    CHECK(changed[0].first == kApp);
    ++sent;
    return steps = changed[0].second;
  }
  void ticks(int n, const std::vector<LocalityLoad>& loads) {
    for (int i = 0; i < n; ++i) tick(loads);
  }
  int at(const Locality& locality) const {
    const auto found = steps.find(locality);
    return found == steps.end() ? 0 : found->second;
  }
  double share(const Locality& locality) const {
    double all = 0;
    for (const auto& [l, plain] : backend.plain) all += topology::weight_after(plain, at(l));
    return topology::weight_after(backend.plain.at(locality), at(locality)) / all;
  }
  SimulatedClock clock;
  LoadWeights weights;
  LoadWeights::Backend backend{kApp, {{kA, 4}, {kB, 4}}};
  LocalitySteps steps;
  int sent = 0;
};

}  // namespace

TEST_CASE("a locality that does more for the same utilization gets more, for each of its endpoints") {
  Watched w;
  w.ticks(60, {load(kA, 100, 0.4), load(kB, 100, 0.8)});
  CHECK(w.at(kA) == 3);  // the root of two is 3.6 steps, and what is less than one away is left alone
  CHECK(w.at(kB) == -3);
  // twice the endpoints with twice the requests are as able each
  Watched even;
  even.backend.plain = {{kA, 8}, {kB, 4}};
  even.ticks(60, {load(kA, 200, 0.5), load(kB, 100, 0.5)});
  CHECK(even.sent == 0);
}

TEST_CASE("weights settle where localities are equally busy, in few changes, and noise does not move them from there") {
  Watched w;
  const double able_a = 900, able_b = 300;  // requests a second
  const double idle = 0.05;                 // what they are busy with besides
  uint32_t seed = 1;
  const auto noise = [&] {
    seed = seed * 1664525 + 1013904223;
    return 1 + 0.05 * (static_cast<double>(seed >> 8) / (1 << 23) - 1);
  };
  const auto busy = [&](const Locality& l, double able) { return idle + 400 * w.share(l) / able; };
  const auto round = [&] {
    w.tick({load(kA, 400 * w.share(kA) * noise(), busy(kA, able_a) * noise()), load(kB, 400 * w.share(kB) * noise(), busy(kB, able_b) * noise())});
  };
  for (int i = 0; i < 120; ++i) round();
  const int settling = w.sent;
  CHECK(settling >= 1);
  CHECK(settling <= 12);
  CHECK(std::abs(busy(kA, able_a) / busy(kB, able_b) - 1) < 0.25);
  for (int i = 0; i < 360; ++i) round();  // an hour
  CHECK(w.sent - settling <= 2);
  CHECK(std::abs(busy(kA, able_a) / busy(kB, able_b) - 1) < 0.25);
}

TEST_CASE("a factor goes no further than its bound, whatever is reported") {
  Watched w;
  w.ticks(100, {load(kA, 1e9, 1e-9), load(kB, 1e-9, 1e9)});
  CHECK(w.at(kA) >= 11);
  CHECK(w.at(kA) <= 12);
  CHECK(w.at(kB) == -w.at(kA));
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN(), kInf = std::numeric_limits<double>::infinity();
  Watched odd;
  odd.ticks(100, {load(kA, kNan, 0.5), load(kB, kInf, 0.5)});
  odd.ticks(100, {load(kA, 1, kInf), load(kB, 1, kNan)});
  odd.ticks(100, {load(kA, -1, 0.1), load(kB, 1, -1)});
  CHECK(odd.sent == 0);
}

TEST_CASE("less than a step from what was sent sends nothing, and what is sent moves at most so often") {
  Watched w;
  w.ticks(200, {load(kA, 100, 0.55), load(kB, 100, 0.65)});  // 0.9 of a step each
  CHECK(w.sent == 0);
  std::optional<MonotonicTime> last;
  for (int i = 0; i < 600; ++i) {
    if (!w.tick({load(kA, 100, 0.1), load(kB, 100, 0.9)}, 1s)) continue;
    if (last) CHECK(w.clock.monotonic() - *last >= 30s);
    last = w.clock.monotonic();
  }
  CHECK(w.at(kA) >= 10);
  CHECK(w.sent < 12);
}

TEST_CASE("failed requests count as busy ones") {
  Watched w;
  w.ticks(60, {load(kA, 100, 0.5), load(kB, 100, 0.5, 50)});
  CHECK(w.at(kA) > 2);
  CHECK(w.at(kB) < -2);
  Watched alike;
  alike.ticks(60, {load(kA, 100, 0.5, 20), load(kB, 100, 0.5, 20)});
  CHECK(alike.sent == 0);
}

TEST_CASE("without utilization, with too few requests and of one locality alone, weights stay the plain ones") {
  Watched w;
  w.ticks(60, {load(kA, 100, 0, 0, 0), load(kB, 300, 0, 0, 0)});
  w.ticks(60, {load(kA, 1, 0.1, 0, 9), load(kB, 1, 0.9, 0, 9)});
  w.ticks(60, {load(kA, 100, 0.1)});
  LocalityLoad other = load(kB, 100, 0.9);
  other.assignment = "default/other/80";
  w.ticks(60, {load(kA, 100, 0.1), other});
  CHECK(w.sent == 0);
}

TEST_CASE("when reports cease the weights go back to exactly the plain ones, step by step") {
  Watched w;
  w.ticks(60, {load(kA, 100, 0.1), load(kB, 100, 0.9)});
  CHECK(w.at(kA) > 8);
  const int before = w.sent;
  w.ticks(6, {});
  CHECK(w.at(kA) > 0);
  CHECK(w.at(kA) < 8);
  w.ticks(60, {});
  CHECK(w.steps.empty());
  CHECK(w.sent > before + 2);
  const int back = w.sent;
  w.ticks(60, {});
  CHECK(w.sent == back);
}

TEST_CASE("what replicas are told alike they weigh alike; each looks at its own time, and they are a step apart at most") {
  const std::vector<LocalityLoad> loads{load(kA, 100, 0.3), load(kB, 100, 0.7)};
  Watched one, same, later;
  for (int i = 0; i < 100; ++i) CHECK(one.tick(loads) == same.tick(loads));
  later.clock.advance(3s);
  later.ticks(5, {});
  later.ticks(100, loads);
  CHECK(std::abs(one.at(kA) - later.at(kA)) <= 1);
  CHECK(std::abs(one.at(kB) - later.at(kB)) <= 1);
}

TEST_CASE("a locality that goes or comes is weighed with those there are; a backend that is not weighed any more is forgotten") {
  Watched w;
  const Locality c{"", "c"};
  w.backend.plain[c] = 4;
  w.ticks(60, {load(kA, 100, 0.2), load(kB, 100, 0.8), load(c, 100, 0.4)});
  CHECK(w.at(kA) > w.at(c));
  CHECK(w.at(c) > w.at(kB));
  w.backend.plain.erase(c);
  w.ticks(60, {load(kA, 100, 0.2), load(kB, 100, 0.2), load(c, 100, 0.4)});
  CHECK(std::abs(w.at(kA)) <= 1);  // what is less than a step away is left alone
  CHECK(std::abs(w.at(kB)) <= 1);
  CHECK(w.at(c) == 0);
  CHECK(w.weights.size() == 1);
  CHECK(w.weights.take({}, {}, w.clock.monotonic()).empty());
  CHECK(w.weights.size() == 0);
}

TEST_CASE("a weight has room for its steps and stays one") {
  CHECK(topology::weight_after(3, 0) == 300);
  CHECK(topology::weight_after(3, 1) == 330);
  CHECK(topology::weight_after(1, -12) == 32);
  CHECK(topology::weight_after(uint64_t{1} << 40, 12) == 1u << 24);
  CHECK(topology::weight_after(0, 0) == 1);
  CHECK(topology::to_text({{kA, 2}, {{"r", "b"}, -1}}) == "a x1.21, r/b x0.91");
  CHECK(topology::to_text({}) == "plain");
}
