// Statistics that go from one generation to the next. Counters: their values once, at the take-over, then what the old process still adds while it
// drains. Gauges that count what is open (connections, requests, bytes): as they are, on top of the new process's own, until the old one has gone.
// Gauges that say how this process is (its state, its clusters and their members) stay its own, as do histograms (Envoy 1.40: likewise).
// Main thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "dataplane/stats/registry.h"

namespace fairlead::server::restart {

// Envoy 1.40: ImportMode::Accumulate of its gauges.
bool gauge_adds_up(std::string_view scope, std::string_view leaf);

// The old process's side.
class StatisticsSource {
 public:
  explicit StatisticsSource(const stats::Registry& registry) : registry_(registry) {}
  // Bytes for a StatisticsSink: everything, and from there on what has changed since the last call.
  std::string all();
  std::string changes();
  void take_back();  // what the last changes() said was not heard: the next one says it again

 private:
  using Values = std::map<std::string, std::map<std::string, uint64_t, std::less<>>, std::less<>>;  // scope, leaf
  std::string collect(bool whole);
  const stats::Registry& registry_;
  Values told_;  // counters
  std::vector<std::pair<uint64_t*, uint64_t>> undo_;  // values in told_, and what they were before the last call
};

// The new process's side; one for each process that it hears of.
class StatisticsSink {
 public:
  explicit StatisticsSink(stats::Registry& registry) : registry_(registry) {}
  ~StatisticsSink() { end(); }
  StatisticsSink(const StatisticsSink&) = delete;
  // Errors: bytes that are no statistics; those before the bad place have been applied.
  absl::Status apply(std::string_view bytes);
  // That process has gone: nothing of it is open any more.
  void end();

 private:
  using Gauges = std::map<std::pair<std::string, std::string>, uint64_t>;  // scope and leaf
  stats::Registry& registry_;
  Gauges gauges_;
};

}  // namespace fairlead::server::restart
