// Weights of localities made of the load that clients report (LRS): a locality whose endpoints do more for the same utilization gets more.
//
// Of each locality the reports say how many requests a second it answers (r), how many of them fail (e) and how busy its endpoints say they are (u, of
// ORCA). r / (u + e/r) is what it could do if it were busy through and through; for each endpoint's weight (c), and against the others of the service, that
// is its factor, and c times the factor its weight. The more a weight moves, the nearer the utilizations come to each other, where it stays: the fixed
// point is where all are alike. Without utilization there is no factor: the number of requests is what the weights made it, and how long they take says
// where a locality is, not how busy it is.
//
// What is reported jumps; what is sent shall not. Logarithms of factors are smoothed, and go out in steps of a tenth, not before a factor is a whole step
// from what was sent last, all of a service together and at most so often. Nothing reported pulls a factor back to one, and with nothing left of it the
// weights are exactly the plain ones again.
//
// Pure but for the time it is given; the pipeline's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "controlplane/intent/intent.h"

namespace fairlead::topology {

using Locality = std::pair<std::string, std::string>;  // region, zone
// Weights as powers of 1.1 of the plain ones; a locality that is not in it has 0.
using LocalitySteps = std::map<Locality, int>;

// What clients report of one locality of one assignment now, all of them together.
struct LocalityLoad {
  std::string assignment;  // "ns/service/port"
  Locality locality;
  double requests_per_s = 0, errors_per_s = 0;
  double measured = 0;     // requests whose answers told a utilization
  double utilization = 0;  // their mean; 1 is busy through and through
};

// The plain weight after so many steps, in a unit of which 100 is one.
uint32_t weight_after(uint64_t plain, int steps);

class LoadWeights {
 public:
  struct Options {
    std::chrono::milliseconds smoothing{60'000};  // after which two thirds of a change are in
    std::chrono::milliseconds hold{30'000};       // between two changes of one backend's weights
    int most_steps = 12;                          // either way: a factor of 3.1
    double least_measured = 10;                   // less says nothing
  };
  struct Backend {
    intent::BackendKey key;
    std::map<Locality, uint64_t> plain;  // its localities' weights
  };
  using Changed = std::pair<intent::BackendKey, LocalitySteps>;  // empty: the plain ones

  LoadWeights();
  explicit LoadWeights(Options options) : options_(options) {}

  // `backends`: all whose weights are made of load, in any order; others are forgotten. Those whose steps are others now, in order.
  std::vector<Changed> take(const std::vector<Backend>& backends, const std::vector<LocalityLoad>& loads, MonotonicTime now);
  void forget(const intent::BackendKey& key) { backends_.erase(key); }
  size_t size() const { return backends_.size(); }

 private:
  struct Place {
    double smoothed = 0;  // steps
    int sent = 0;
  };
  struct State {
    std::map<Locality, Place> places;
    MonotonicTime taken{};
    std::optional<MonotonicTime> changed;
  };
  std::map<Locality, double> wanted(const Backend& backend, const std::map<Locality, const LocalityLoad*>& loads) const;
  bool advance(State& state, const std::map<Locality, double>& wanted, MonotonicTime now) const;

  Options options_;
  std::map<intent::BackendKey, State> backends_;
};

// "z1 x1.21, z2 x0.83", for logs.
std::string to_text(const LocalitySteps& steps);

}  // namespace fairlead::topology
