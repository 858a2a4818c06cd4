// How much is on its way to clients that nobody shares with them: a crowd that connects wants something else each, and what is made ready for one
// client and waits to be sent is memory of its own. While there is too much of it nobody else is given more; so a storm holds some megabytes, however
// many are in it, and leaves as few holes in the heap. Bytes count until they are with the kernel, and no longer than a client that reads would
// take: one that does not read holds nobody up. Pure; the serving thread's.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include <absl/container/flat_hash_map.h>

#include "base/clock.h"

namespace fairlead::serve {

class Outflow {
 public:
  using Id = uint64_t;  // of a stream
  struct Options {
    size_t most_bytes = 8 << 20;
    std::chrono::milliseconds patience{250};
  };
  explicit Outflow(Options options) : options_(options) {}

  void sent(Id id, size_t bytes, MonotonicTime now);
  void written(Id id);  // all of it, or the stream has gone
  bool full(MonotonicTime now);
  // When full() turns false although nothing is written.
  std::optional<MonotonicTime> deadline() const;
  size_t bytes() const { return bytes_; }

 private:
  struct Count {
    size_t bytes;
    uint64_t ticket;
  };
  struct Place {
    Id id;
    uint64_t ticket;  // tells a place from one that the stream has left behind
    MonotonicTime since;
  };
  bool counts(const Place& place) const;
  void skip_gone();

  const Options options_;
  size_t bytes_ = 0;
  uint64_t tickets_ = 0;
  absl::flat_hash_map<Id, Count> counts_;
  std::deque<Place> line_;  // oldest first
};

}  // namespace fairlead::serve
