// Bytes: for each scope its name, the number of its statistics, and of each the kind, the leaf and the number.
#include "dataplane/server/restart/statistics.h"

#include <vector>

#include "absl/strings/match.h"
#include "base/packed.h"

namespace fairlead::server::restart {
namespace {

using stats::Kind;

struct Row {
  std::string leaf;
  Kind kind;
  uint64_t value;
};

}  // namespace

bool gauge_adds_up(std::string_view scope, std::string_view leaf) {
  for (const std::string_view own : {"server.", "cluster_manager.", "listener_manager.", "control_plane.", "runtime.", "overload."})
    if (absl::StartsWith(scope, own)) return false;
  if (absl::StartsWith(leaf, "membership_") || absl::StartsWith(leaf, "max_host_weight") || absl::StartsWith(leaf, "overload.")) return false;
  return leaf != "version" && !absl::EndsWith(leaf, ".version") && !absl::StartsWith(leaf, "circuit_breakers") && !absl::EndsWith(leaf, "ejections_active");
}

std::string StatisticsSource::all() {
  told_.clear();
  return collect(true);
}

std::string StatisticsSource::changes() { return collect(false); }

void StatisticsSource::take_back() {
  for (const auto& [value, before] : undo_) *value = before;
  undo_.clear();
}

std::string StatisticsSource::collect(bool whole) {
  undo_.clear();
  std::map<std::string, std::vector<Row>, std::less<>> rows;
  Values seen;  // counters of scopes with carried ones that may not exist yet
  auto counter = [&](std::string_view scope, std::string_view leaf, uint64_t value) {
    if (value == 0) return;
    uint64_t& told = told_[std::string(scope)][std::string(leaf)];
    if (value == told) return;
    undo_.emplace_back(&told, told);
    if (value > told) rows[std::string(scope)].push_back({std::string(leaf), Kind::counter, value - told});
    told = value;  // less: it has been reset
  };
  registry_.for_each([&](const stats::Sample& s) {
    if (s.kind == Kind::counter) {
      counter(s.scope->text, s.leaf, s.value);
      if (s.carried != 0) seen[s.scope->text][std::string(s.leaf)] = s.value;
    } else if (s.kind == Kind::gauge && gauge_adds_up(s.scope->text, s.leaf)) {
      if (const uint64_t own = s.value - s.carried; own != 0) rows[s.scope->text].push_back({std::string(s.leaf), Kind::gauge, own});
    }
  });
  // those that were counted by others only, and whose statistic comes into being with its first use
  if (whole) {
    registry_.for_each_carried([&](std::string_view scope, std::string_view leaf, Kind kind, uint64_t value) {
      const auto known = seen.find(scope);
      if (kind == Kind::counter && (known == seen.end() || !known->second.contains(leaf))) counter(scope, leaf, value);
    });
  }
  packed::Writer w;
  for (const auto& [scope, list] : rows) {
    w.text(scope);
    w.number(static_cast<uint32_t>(list.size()));
    for (const Row& row : list) {
      w.number(static_cast<uint8_t>(row.kind));
      w.text(row.leaf);
      w.number(row.value);
    }
  }
  return w.take();
}

absl::Status StatisticsSink::apply(std::string_view bytes) {
  Gauges now;
  packed::Reader r(bytes);
  while (!r.at_end() && !r.bad()) {
    const std::string scope(r.text());
    const auto rows = r.number<uint32_t>();
    for (uint32_t i = 0; i < rows && !r.bad(); ++i) {
      const auto kind = r.number<uint8_t>();
      const std::string leaf(r.text());
      const auto value = r.number<uint64_t>();
      if (r.bad()) break;
      if (kind == static_cast<uint8_t>(Kind::counter)) {
        registry_.carry(scope, leaf, Kind::counter, value);
      } else if (kind == static_cast<uint8_t>(Kind::gauge)) {
        now[{scope, leaf}] = value;
      } else {
        return absl::InvalidArgumentError("hot restart: statistics of an unknown kind");
      }
    }
  }
  if (r.bad()) return absl::InvalidArgumentError("hot restart: statistics are cut short");
  for (const auto& [key, value] : now) {
    uint64_t& before = gauges_[key];
    if (value != before) registry_.carry(key.first, key.second, Kind::gauge, value - before);
    before = value;
  }
  for (auto it = gauges_.begin(); it != gauges_.end();) {
    if (now.contains(it->first)) {
      ++it;
      continue;
    }
    registry_.carry(it->first.first, it->first.second, Kind::gauge, uint64_t{0} - it->second);
    it = gauges_.erase(it);
  }
  return absl::OkStatus();
}

void StatisticsSink::end() {
  for (const auto& [key, value] : gauges_) registry_.carry(key.first, key.second, Kind::gauge, uint64_t{0} - value);
  gauges_.clear();
}

}  // namespace fairlead::server::restart
