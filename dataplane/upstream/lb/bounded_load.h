// Bounded load over a hash table (hash_balance_factor): no host is given more than a percentage of the average of the requests in flight.
// When the host of a hash is full, the others are tried in an order that the hash alone decides, so the same key goes the same way.
// Owned by a worker's selector (it keeps the scratch list, so that a pick allocates nothing). O(1) while the first host has room, else O(n).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/upstream/lb/hash_table.h"

namespace fairlead::upstream {

class BoundedLoad {
 public:
  // `total_active`: requests in flight on all hosts of the cluster, on this worker.
  LbHost* pick(const HashTable& table, std::span<LbHost* const> hosts, uint64_t hash, uint32_t attempt, uint32_t balance_percent, uint32_t total_active);

  // Makes room for tables of so many members.
  void reserve(size_t members);

 private:
  std::vector<uint32_t> order_;
  std::vector<double> weights_;  // by position in the list, of the table `weights_of_`
  const HashTable* weights_of_ = nullptr;
};

}  // namespace fairlead::upstream
