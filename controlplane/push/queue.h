// Which streams are to be pushed to: intent, never bytes, and at most one entry per stream. A stream that is still
// writing keeps one merged entry and goes to the back of the line when it is done, so a slow reader delays nobody and
// costs nothing. Pure; not thread safe: guard it or own it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include <absl/container/flat_hash_map.h>

#include "base/clock.h"

namespace fairlead::push {

using StreamId = uint64_t;

class Queue {
 public:
  // Wants a push for the stream; merged with what is waiting. `now` of the first of merged wishes is kept.
  void add(StreamId stream, MonotonicTime now);
  struct Entry {
    StreamId stream = 0;
    MonotonicTime since{};  // when the oldest merged wish was made
    uint32_t merged = 1;    // how many wishes this is
  };
  // The next stream in line; it is busy from here until done(). Nothing when all are busy or none waits.
  std::optional<Entry> next();
  // The push is written (or there was nothing to write). True when the stream is in line again.
  bool done(StreamId stream);
  void remove(StreamId stream);

  size_t waiting() const { return line_live_; }  // in line, not counting busy ones
  size_t busy() const { return busy_; }
  // Whether a wish of the stream's is not being carried out yet.
  bool wants(StreamId stream) const;

 private:
  struct Stream {
    bool in_line = false;
    bool busy = false;
    uint32_t wishes = 0;
    uint64_t ticket = 0;  // tells a live place in line from one a removed stream left behind
    MonotonicTime since{};
  };
  struct Place {
    StreamId stream;
    uint64_t ticket;
  };
  void line_up(StreamId id, Stream& s);
  absl::flat_hash_map<StreamId, Stream> streams_;
  std::deque<Place> line_;
  size_t line_live_ = 0;
  size_t busy_ = 0;
  uint64_t tickets_ = 0;
};

}  // namespace fairlead::push
