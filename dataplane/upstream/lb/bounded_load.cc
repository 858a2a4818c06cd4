// The order of probing, as Envoy's; see bounded_load.h.
#include "dataplane/upstream/lb/bounded_load.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace fairlead::upstream {
namespace {

// What the host carries of what it may carry; above 1: full.
double fullness(const LbHost& host, double weight, uint32_t balance_percent, uint32_t total_active) {
  const uint32_t slots = ((total_active + 1) * balance_percent + 99) / 100;
  const uint32_t own = std::max(static_cast<uint32_t>(std::ceil(slots * weight)), 1u);
  return static_cast<double>(host.active_requests) / own;
}

// Uniform below `bound` from a generator of 32 bits.
uint32_t below(std::mt19937& random, uint32_t bound) {
  const uint64_t bucket = (uint64_t{std::mt19937::max()} + 1) / bound;
  uint64_t x = bound;
  while (x >= bound) x = random() / bucket;
  return static_cast<uint32_t>(x);
}

}  // namespace

void BoundedLoad::reserve(size_t members) {
  order_.reserve(members);
  weights_of_ = nullptr;
}

LbHost* BoundedLoad::pick(const HashTable& table, std::span<LbHost* const> hosts, uint64_t hash, uint32_t attempt, uint32_t balance_percent, uint32_t total_active) {
  const uint32_t first = table.pick(hash, attempt);
  if (first == HashTable::kNone) return nullptr;
  const auto& members = table.members();
  if (weights_of_ != &table) {  // once per table: priorities seldom alternate
    weights_.assign(hosts.size(), 0.0);
    for (const HashTable::Member& m : members) weights_[m.host] = m.weight;
    weights_of_ = &table;
  }
  LbHost* least = hosts[first];
  double least_full = fullness(*least, weights_[first], balance_percent, total_active);
  if (least_full <= 1.0) return least;
  order_.resize(members.size());
  std::iota(order_.begin(), order_.end(), 0u);
  std::mt19937 random(hash);
  for (uint32_t i = 0; i < order_.size(); ++i) {
    std::swap(order_[i], order_[i + below(random, static_cast<uint32_t>(order_.size()) - i)]);
    const HashTable::Member& member = members[order_[i]];
    if (member.host == first) continue;
    LbHost* other = hosts[member.host];
    const double full = fullness(*other, member.weight, balance_percent, total_active);
    if (full <= 1.0) return other;
    if (full < least_full) {
      least = other;
      least_full = full;
    }
  }
  return least;
}

}  // namespace fairlead::upstream
