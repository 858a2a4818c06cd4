// Earliest deadline first: entry i comes up in proportion to its weight, evenly spaced. A binary heap of deadlines; a pick is O(log n).
// Used for weighted round robin and weighted least request. Single-threaded, owned by a policy.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace fairlead::upstream {

class EdfSchedule {
 public:
  // Weights must be > 0. Entries start at deadline 1/weight, ties in order of index.
  void add(uint32_t index, double weight);

  // The next index; it is put back with the weight that `weight_of(index)` gives now.
  template <typename WeightOf>
  uint32_t next(const WeightOf& weight_of) {
    Entry entry = pop();
    const uint32_t index = entry.index;
    push(index, weight_of(index));
    return index;
  }
  bool empty() const { return heap_.empty(); }

 private:
  struct Entry {
    double deadline;
    uint64_t order;  // first in, first out between equal deadlines
    uint32_t index;
  };
  static bool later(const Entry& a, const Entry& b) { return a.deadline != b.deadline ? a.deadline > b.deadline : a.order > b.order; }
  Entry pop();
  void push(uint32_t index, double weight);

  std::vector<Entry> heap_;
  double now_ = 0;
  uint64_t order_ = 0;
};

}  // namespace fairlead::upstream
