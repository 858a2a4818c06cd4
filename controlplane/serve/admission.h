// Lets new streams in at a bounded rate: when thousands connect at once each would otherwise wait for all of them, and get its answer when its
// client has given up. So many a second are let in, more wait in line, first come first served, and whoever has waited for too long is sent away
// unanswered, as is who would have to. Pure; the serving thread's. A stream has at most one place.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

#include <absl/container/flat_hash_set.h>

#include "base/clock.h"

namespace fairlead::serve {

class Admission {
 public:
  using Id = uint64_t;
  struct Options {
    uint32_t per_second = 1'000;             // and as many at once after a second of quiet; 0: everybody at once
    std::chrono::milliseconds patience{10'000};
  };
  explicit Admission(Options options) : options_(options), tokens_(options.per_second) {}

  enum class Entry : uint8_t { kNow, kWait, kRefused };
  Entry arrive(Id id, MonotonicTime now);
  void leave(Id id);  // gone while it waited

  struct Called {
    Id id;
    bool too_late;  // its time is up: send it away
  };
  // Who is next to be let in or sent away; nobody yet.
  std::optional<Called> next(MonotonicTime now);
  // When next() has somebody, should nobody else come or go.
  std::optional<MonotonicTime> deadline() const;
  size_t waiting() const { return waiting_.size(); }

 private:
  struct Place {
    Id id;
    MonotonicTime since;
  };
  void refill(MonotonicTime now);
  void skip_gone();

  const Options options_;
  double tokens_;
  std::optional<MonotonicTime> refilled_;
  std::deque<Place> line_;  // with places of some who have left
  absl::flat_hash_set<Id> waiting_;
};

}  // namespace fairlead::serve
