// Builds rings and Maglev tables; see hash_table.h. What is computed in double, and in which order, is part of the compatibility with Envoy.
#include "dataplane/upstream/lb/hash_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "base/hash.h"
#include "dataplane/upstream/lb/health_count.h"

namespace fairlead::upstream {

uint64_t murmur_hash2(std::string_view bytes, uint64_t seed) {
  constexpr uint64_t m = 0xc6a4a7935bd1e995ULL;
  const auto load = [&](size_t at, size_t count) {
    uint64_t word = 0;
    for (size_t i = 0; i < count; ++i) word |= uint64_t{static_cast<uint8_t>(bytes[at + i])} << (8 * i);
    return word;
  };
  uint64_t h = seed ^ (bytes.size() * m);
  size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    uint64_t k = load(at, 8) * m;
    k ^= k >> 47;
    h = (h ^ (k * m)) * m;
  }
  if (at < bytes.size()) h = (h ^ load(at, bytes.size() - at)) * m;
  h = (h ^ (h >> 47)) * m;
  return h ^ (h >> 47);
}

HashTable::HashTable(std::span<const HashHost> hosts, std::vector<Member> members, const HashOptions& options) : members_(std::move(members)) {
  if (members_.empty()) return;
  if (options.kind == HashOptions::Kind::Ring) {
    build_ring(hosts, options);
  } else {
    build_maglev(hosts, options);
  }
}

// Each host gets hashes of "key_0", "key_1", … in proportion to its weight, so many that the lightest gets a whole number of them.
void HashTable::build_ring(std::span<const HashHost> hosts, const HashOptions& options) {
  double lightest = 1.0;
  for (const Member& m : members_) lightest = std::min(lightest, m.weight);
  const double scale = std::min(std::ceil(lightest * static_cast<double>(options.minimum_ring_size)) / lightest, static_cast<double>(options.maximum_ring_size));
  size_.entries = static_cast<uint64_t>(std::ceil(scale));
  size_.fewest_per_host = size_.entries;
  if (members_.size() == 1) {  // every key is its own: nothing to look up
    size_.fewest_per_host = size_.most_per_host = static_cast<uint64_t>(std::ceil(scale * lightest));
    return;
  }
  struct Point {
    uint64_t hash;
    uint32_t host;
  };
  std::vector<Point> points;
  points.reserve(size_.entries);
  std::string key;
  double made = 0.0, wanted = 0.0;  // running sums over all hosts: fractions carry over to the next
  for (const Member& member : members_) {
    key.assign(hosts[member.host].key);
    key += '_';
    const size_t stem = key.size();
    wanted += scale * member.weight;
    uint64_t count = 0;
    for (; made < wanted; ++count, ++made) {
      char digits[20];
      const auto end = std::to_chars(digits, digits + sizeof digits, count).ptr;
      key.resize(stem);
      key.append(digits, end);
      points.push_back({options.function == HashOptions::Function::Murmur2 ? murmur_hash2(key) : xx_hash64(key), member.host});
    }
    size_.fewest_per_host = std::min(size_.fewest_per_host, count);
    size_.most_per_host = std::max(size_.most_per_host, count);
  }
  std::stable_sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.hash < b.hash; });
  ring_.reserve(points.size());
  ring_hosts_.reserve(points.size());
  for (const Point& p : points) {
    ring_.push_back(p.hash);
    ring_hosts_.push_back(p.host);
  }
}

// Hosts in order of their keys take turns: each claims the next free slot of its own permutation, the heaviest in every round, others in
// proportion.
void HashTable::build_maglev(std::span<const HashHost> hosts, const HashOptions& options) {
  slots_ = options.table_size;
  size_ = {slots_, slots_, slots_};
  if (members_.size() == 1) return;
  struct Row {
    std::string_view key;
    uint32_t host;
    double weight;
    uint64_t offset, skip;
    double due = 0;       // the weight it must have gathered for its next turn
    uint64_t next = 0;    // in its permutation
    uint64_t count = 0;
  };
  std::vector<Row> rows;
  rows.reserve(members_.size());
  double heaviest = 0.0;
  for (const Member& m : members_) {
    const std::string_view key = hosts[m.host].key;
    rows.push_back({key, m.host, m.weight, xx_hash64(key) % slots_, slots_ > 1 ? xx_hash64(key, 1) % (slots_ - 1) + 1 : 0});
    heaviest = std::max(heaviest, m.weight);
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.key < b.key; });
  std::vector<uint32_t> table(slots_, kNone);
  uint64_t filled = 0;
  for (uint32_t round = 1; filled < slots_; ++round) {
    for (size_t i = 0; i < rows.size() && filled < slots_; ++i) {
      Row& row = rows[i];
      if (round * row.weight < row.due) continue;
      row.due += heaviest;
      uint64_t slot = (row.offset + row.skip * row.next) % slots_;
      while (table[slot] != kNone) {
        ++row.next;
        slot = (row.offset + row.skip * row.next) % slots_;
      }
      table[slot] = row.host;
      ++row.next;
      ++row.count;
      ++filled;
    }
  }
  size_.most_per_host = 0;
  for (const Row& row : rows) {
    size_.fewest_per_host = std::min(size_.fewest_per_host, row.count);
    size_.most_per_host = std::max(size_.most_per_host, row.count);
  }
  if (hosts.size() <= UINT16_MAX) {
    narrow_.assign(table.begin(), table.end());
  } else {
    wide_ = std::move(table);
  }
}

uint32_t HashTable::pick(uint64_t hash, uint32_t attempt) const {
  if (members_.empty()) return kNone;
  if (members_.size() == 1) return members_[0].host;
  if (ring_.empty()) {
    hash ^= 0 - uint64_t{attempt};  // Envoy's: flips nearly all bits
    return maglev_at(hash % slots_);
  }
  size_t at = static_cast<size_t>(std::lower_bound(ring_.begin(), ring_.end(), hash) - ring_.begin());
  if (at == ring_.size()) at = 0;
  return ring_hosts_[(at + attempt) % ring_.size()];
}

namespace {

// Weights of hosts that sum to 1; with locality weights each locality's share is divided among its hosts.
std::vector<HashTable::Member> normalised(std::span<const HashHost> hosts, uint32_t priority, bool panic, std::span<const uint32_t> locality_weights) {
  std::vector<uint32_t> eligible, localities;
  for (uint32_t i = 0; i < hosts.size(); ++i) {
    const HashHost& host = hosts[i];
    if (host.priority != priority) continue;
    localities.push_back(host.locality);
    if (panic || (host.health == Health::kHealthy && !host.excluded)) eligible.push_back(i);
  }
  std::vector<HashTable::Member> out;
  const auto add = [&](std::span<const uint32_t> list, double share) {
    uint64_t sum = 0;
    for (uint32_t i : list) sum += hosts[i].weight;
    for (uint32_t i : list) out.push_back({i, hosts[i].weight * share / static_cast<double>(sum)});
  };
  if (locality_weights.empty()) {
    add(eligible, 1.0);
    return out;
  }
  std::sort(localities.begin(), localities.end());
  localities.erase(std::unique(localities.begin(), localities.end()), localities.end());
  uint64_t sum = 0;
  for (uint32_t place : localities) sum += locality_weights[place];
  std::vector<uint32_t> inside;
  for (uint32_t place : localities) {
    if (locality_weights[place] == 0) continue;
    inside.clear();
    std::copy_if(eligible.begin(), eligible.end(), std::back_inserter(inside), [&](uint32_t i) { return hosts[i].locality == place; });
    add(inside, static_cast<double>(locality_weights[place]) / static_cast<double>(sum));
  }
  return out;
}

}  // namespace

std::shared_ptr<const HashTables> HashTables::build(std::span<const HashHost> hosts, const HashOptions& options, const Cluster& cluster) {
  auto out = std::make_shared<HashTables>();
  out->hosts_ = hosts.size();
  out->balance_percent_ = options.balance_percent;
  std::vector<PriorityHealth> health(1);
  for (const HashHost& host : hosts) {
    if (host.priority >= health.size()) health.resize(host.priority + 1);
    count_host(health[host.priority], host.health, host.excluded, host.weight, cluster.weighted_health);
  }
  out->load_ = PriorityLoad::compute(health, cluster.overprovisioning_percent, cluster.panic_percent);
  out->tables_.reserve(health.size());
  for (uint32_t priority = 0; priority < health.size(); ++priority) {
    const bool panic = out->load_.shares()[priority].panic;
    out->tables_.emplace_back(hosts, normalised(hosts, priority, panic, options.locality_weighted ? cluster.locality_weights : std::span<const uint32_t>()), options);
  }
  return out;
}

}  // namespace fairlead::upstream
