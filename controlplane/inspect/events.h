// Events: what happens, told as it happens to whoever is watching: changes, connections, pushes, verdicts, findings. Each is a small document.
// Any thread publishes (the serving thread does) and never waits; each reader has a queue of its own, bounded, and one that falls behind is
// dropped with a notice: nobody's reading slows another. Invariant: without a reader nothing is built or kept.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/doc.h"

namespace fairlead::inspect {

class Events {
  struct Farewell;  // where close() waits for readers to go; held by each

 public:
  static constexpr size_t kMostReaders = 8;     // each holds a thread of the debug address
  static constexpr size_t kMostWaiting = 16'384;  // events of one reader: a push to ten thousand proxies is that many

  static constexpr std::string_view kKinds[] = {"change", "connected", "disconnected", "push", "accepted", "refused", "finding"};
  static bool known(std::string_view kind);

  explicit Events(const Clock& clock);

  class Reader {
   public:
    ~Reader();
    // The next event as one line of JSON without its end; nothing: none within `wait`. After a last one that says why ("dropped", "ended")
    // over() is true.
    std::optional<std::string> next(std::chrono::milliseconds wait);
    bool over() const;

   private:
    friend class Events;
    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::shared_ptr<const std::string>> waiting_;  // guarded
    uint64_t lost_ = 0;                                       // guarded
    bool closed_ = false, over_ = false;                      // guarded
    std::set<std::string, std::less<>> kinds_;                // none: all
    std::shared_ptr<Farewell> farewell_;
  };

  // Null: there are too many readers already. A reader that is let go of is forgotten.
  std::shared_ptr<Reader> open(std::set<std::string, std::less<>> kinds = {});
  // Ends every reader, now and later, and waits a second at most until those that there are have been told and let go of.
  void close();

  bool watched() const { return readers_count_.load(std::memory_order_relaxed) > 0; }
  // {"at": …, "kind": kind, fields…}. Ask watched() before building the fields.
  void publish(std::string_view kind, std::vector<doc::Entry> fields);

 private:
  const Clock& clock_;
  const std::shared_ptr<Farewell> farewell_;
  std::atomic<size_t> readers_count_{0};
  std::mutex mutex_;
  std::vector<std::weak_ptr<Reader>> readers_;  // guarded
  bool closed_ = false;                         // guarded
};

}  // namespace fairlead::inspect
