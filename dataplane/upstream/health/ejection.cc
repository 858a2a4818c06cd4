// As Envoy 1.40's DetectorImpl; see ejection.h.
#include "dataplane/upstream/health/ejection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace fairlead::upstream {

bool room_for_ejection(const config::OutlierDetection& detection, size_t hosts, size_t ejected) {
  if (detection.always_eject_one_host && ejected == 0) return true;
  const double percent = 100.0 * static_cast<double>(ejected + 1) / static_cast<double>(std::max<size_t>(hosts, 1));
  return percent <= std::min(100u, detection.max_ejection_percent);
}

void begin_ejection(const config::OutlierDetection& detection, Ejection& host, MonotonicTime now, std::chrono::milliseconds jitter) {
  host.ejected = true;
  ++host.total;
  host.since = now;
  host.jitter = jitter;
  const auto base = std::max<int64_t>(1, detection.base_ejection_time.count());
  if (host.times < detection.max_ejection_time.count() / base) ++host.times;
}

bool ejection_over(const config::OutlierDetection& detection, Ejection& host, MonotonicTime now) {
  if (!host.ejected) {
    if (host.times != 0) --host.times;
    return false;
  }
  return now - host.since >= std::min(detection.base_ejection_time * host.times, detection.max_ejection_time) + host.jitter;
}

SuccessRates success_rates(std::span<const double> rates, uint32_t stdev_factor) {
  if (rates.empty()) return {};
  const double n = static_cast<double>(rates.size());
  const double mean = std::accumulate(rates.begin(), rates.end(), 0.0) / n;
  double variance = 0;
  for (const double rate : rates) variance += (rate - mean) * (rate - mean);
  return {mean, mean - stdev_factor / 1000.0 * std::sqrt(variance / n)};
}

}  // namespace fairlead::upstream
