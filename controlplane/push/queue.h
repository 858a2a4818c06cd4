// Which streams are to be pushed to: intent, never bytes, and at most one place in line per stream. A stream that is still
// writing keeps one merged wish and goes to the back of the line when it is done, so a slow reader delays nobody and
// costs nothing. A place is part of what it stands for, so that nothing is looked up. Pure; not thread safe: guard it or own it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/clock.h"

namespace fairlead::push {

using StreamId = uint64_t;

class Queue {
 public:
  // What the queue knows of a stream. Stays where it is while the queue knows of it: until it is removed, or neither waits nor is busy.
  class Place {
   public:
    explicit Place(StreamId id) : id_(id) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    StreamId id() const { return id_; }
    // Whether a wish of the stream's is not being carried out yet.
    bool wants() const { return wishes_ > 0; }

   private:
    friend class Queue;
    const StreamId id_;
    Place* ahead_ = nullptr;
    Place* behind_ = nullptr;
    MonotonicTime since_{};  // of the oldest wish
    uint32_t wishes_ = 0;
    bool in_line_ = false;
    bool busy_ = false;
  };

  // Wants a push for the stream; merged with what is waiting. `now` of the first of merged wishes is kept.
  void add(Place& place, MonotonicTime now);
  struct Entry {
    Place* place = nullptr;
    MonotonicTime since{};  // when the oldest merged wish was made
    uint32_t merged = 1;    // how many wishes this is
  };
  // The next stream in line; it is busy from here until done(). Nothing when all are busy or none waits.
  std::optional<Entry> next();
  // The push is written (or there was nothing to write). True when the stream is in line again.
  bool done(Place& place);
  void remove(Place& place);

  size_t waiting() const { return waiting_; }  // in line, not counting busy ones
  size_t busy() const { return busy_; }

 private:
  void line_up(Place& place);
  void step_out(Place& place);
  Place* first_ = nullptr;
  Place* last_ = nullptr;
  size_t waiting_ = 0;
  size_t busy_ = 0;
};

}  // namespace fairlead::push
