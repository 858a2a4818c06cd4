// Outlier detection's arithmetic: who may be ejected, for how long, and where success rates end. Pure: the time is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"
#include "dataplane/config/health.h"

namespace fairlead::upstream {

// One host's part.
struct Ejection {
  bool ejected = false;
  MonotonicTime since{};
  uint32_t times = 0;  // multiplies the time of the next ejection; sinks while the host behaves
  uint32_t total = 0;  // never sinks; for the event log
  std::optional<MonotonicTime> returned;  // from the last ejection
  std::chrono::milliseconds jitter{0};
};

// Whether one more of `hosts` may be ejected while `ejected` are.
bool room_for_ejection(const config::OutlierDetection& detection, size_t hosts, size_t ejected);
void begin_ejection(const config::OutlierDetection& detection, Ejection& host, MonotonicTime now, std::chrono::milliseconds jitter);
// Once an interval: true when the host's time is over; of a host that is not ejected its count sinks.
bool ejection_over(const config::OutlierDetection& detection, Ejection& host, MonotonicTime now);

// Rates in percent; hosts below the threshold are outliers: the mean less stdev_factor/1000 standard deviations.
struct SuccessRates {
  double average = -1, threshold = -1;  // -1: not known
};
SuccessRates success_rates(std::span<const double> rates, uint32_t stdev_factor);

}  // namespace fairlead::upstream
