// See load_weights.h.
#include "controlplane/topology/load_weights.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace fairlead::topology {
namespace {

constexpr double kStep = 1.1;
// gRPC's own weighing by utilization counts a failed request as fully as a busy endpoint (gRFC A58: error_utilization_penalty 1.0).
constexpr double kErrorPenalty = 1;

}  // namespace

uint32_t weight_after(uint64_t plain, int steps) {
  const double weight = std::round(static_cast<double>(plain) * 100 * std::pow(kStep, steps));
  return static_cast<uint32_t>(std::clamp(weight, 1.0, static_cast<double>(1u << 24)));
}

LoadWeights::LoadWeights() : LoadWeights(Options()) {}

// In steps; of localities with evidence alone.
std::map<Locality, double> LoadWeights::wanted(const Backend& backend, const std::map<Locality, const LocalityLoad*>& loads) const {
  std::map<Locality, double> out;
  double sum = 0, weights = 0;
  for (const auto& [locality, plain] : backend.plain) {
    const auto found = loads.find(locality);
    if (found == loads.end() || plain == 0) continue;
    const LocalityLoad& load = *found->second;
    if (!(load.measured >= options_.least_measured) || !(load.requests_per_s > 0) || !(load.utilization > 0)) continue;
    const double failed = std::clamp(load.errors_per_s / load.requests_per_s, 0.0, 1.0);
    const auto endpoints = static_cast<double>(plain);
    const double does = std::log(load.requests_per_s / endpoints / (load.utilization + kErrorPenalty * failed));
    if (!std::isfinite(does)) continue;
    out[locality] = does;
    sum += endpoints * does;
    weights += endpoints;
  }
  const double most = options_.most_steps;
  for (auto& [locality, does] : out) does = std::clamp((does - sum / weights) / std::log(kStep), -most, most);
  return out;
}

// True: what is to be sent has changed.
bool LoadWeights::advance(State& state, const std::map<Locality, double>& wanted, MonotonicTime now) const {
  const double passed = std::chrono::duration<double>(now - state.taken).count();
  const double share = 1 - std::exp(-passed / std::chrono::duration<double>(options_.smoothing).count());
  state.taken = now;
  bool far = false, near_plain = wanted.empty(), sent = false;
  for (auto& [locality, place] : state.places) {
    const auto found = wanted.find(locality);
    place.smoothed += share * ((found == wanted.end() ? 0 : found->second) - place.smoothed);
    far |= std::abs(place.smoothed - place.sent) >= 1;
    near_plain &= std::abs(place.smoothed) < 0.5;
    sent |= place.sent != 0;
  }
  if (!far && !(near_plain && sent)) return false;
  if (state.changed && now < *state.changed + options_.hold) return false;
  state.changed = now;
  bool differs = false;
  for (auto& [locality, place] : state.places) {
    const int rounded = static_cast<int>(std::lround(place.smoothed));
    differs |= rounded != place.sent;
    place.sent = rounded;
  }
  return differs;
}

std::vector<LoadWeights::Changed> LoadWeights::take(const std::vector<Backend>& backends, const std::vector<LocalityLoad>& loads, MonotonicTime now) {
  std::map<std::string_view, std::map<Locality, const LocalityLoad*>> by_assignment;
  for (const LocalityLoad& load : loads) by_assignment[load.assignment][load.locality] = &load;
  std::set<intent::BackendKey> kept;
  std::map<intent::BackendKey, LocalitySteps> changed;
  for (const Backend& backend : backends) {
    kept.insert(backend.key);
    const auto [at, fresh] = backends_.try_emplace(backend.key);
    State& state = at->second;
    if (fresh) state.taken = now;  // what it was before it was looked at is nobody's to say
    std::erase_if(state.places, [&](const auto& place) { return !backend.plain.contains(place.first); });
    for (const auto& [locality, plain] : backend.plain) state.places.try_emplace(locality);
    const std::string name = backend.key.str();
    const auto said = by_assignment.find(name);
    const std::map<Locality, double> steps = said == by_assignment.end() ? std::map<Locality, double>() : wanted(backend, said->second);
    if (!advance(state, steps, now)) continue;
    LocalitySteps& out = changed[backend.key];
    for (const auto& [locality, place] : state.places) {
      if (place.sent != 0) out[locality] = place.sent;
    }
  }
  std::erase_if(backends_, [&](const auto& backend) { return !kept.contains(backend.first); });
  return {changed.begin(), changed.end()};
}

std::string to_text(const LocalitySteps& steps) {
  std::string out;
  for (const auto& [locality, n] : steps) {
    const auto& [region, zone] = locality;
    absl::StrAppend(&out, out.empty() ? "" : ", ", region, region.empty() || zone.empty() ? "" : "/", zone, " x", absl::StrFormat("%.2f", std::pow(kStep, n)));
  }
  return out.empty() ? "plain" : out;
}

}  // namespace fairlead::topology
