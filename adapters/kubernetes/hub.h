// Where the watchers of all kinds meet: what they found becomes one SourceUpdate after another, and what keeps them from watching becomes what
// the source tells of itself. Watchers call from their threads; the updates are made on the source's own thread (run).
// Invariant: a deletion that was put off is dropped when its object is put again; updates are in the order in which a watcher reported.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "adapters/object/store.h"
#include "base/clock.h"

namespace fairlead::adapters::kubernetes {

// What keeps a kind from being watched.
struct Trouble {
  enum class Kind { kNone, kLost, kForbidden, kGone };
  Kind kind = Kind::kNone;
  std::string text;  // "HTTPRoute: list: 403: …"; of kLost the cause alone
  SystemTime since{};
  bool operator==(const Trouble&) const = default;
};

class Hub {
 public:
  struct Options {
    std::string source;
    std::chrono::milliseconds batch{5};        // what comes within this after the first goes as one update
    std::chrono::milliseconds busy_batch{25};  // the same right after another update: bursts cost fewer steps
    std::chrono::milliseconds heartbeat{10'000};  // an update says how fresh all is, whether or not something changed
  };
  // `kinds`: what each watcher reads, by its number.
  struct Watcher {
    std::string group, kind, ns;
    bool may_be_absent = false;
  };
  Hub(Options options, std::vector<Watcher> watchers, std::function<void(SourceUpdate)> callback);

  void put(ObjectPtr object);
  void remove(const ObjectKey& key);
  // Unless it is put again before that.
  void remove_at(const ObjectKey& key, MonotonicTime when);
  // A version that cannot be read, or (empty list) can again.
  void unreadable(const ObjectKey& key, std::vector<Diagnostic> why);

  void listed(size_t watcher);               // everything of it has been put once
  void absent(size_t watcher);               // the server does not know its kind, which is no error
  void watching(size_t watcher);             // no trouble
  void trouble(size_t watcher, Trouble::Kind kind, std::string text);

  // Makes updates until stop().
  void run();
  void stop();
  bool stopping() const;
  // False: stopped meanwhile.
  bool sleep(std::chrono::milliseconds time);

 private:
  struct State {
    bool listed = false, absent = false;
    Trouble trouble;
  };
  SourceUpdate make(MonotonicTime now);  // with the lock held
  std::string lost() const;
  bool synced() const;
  void changed();

  const Options options_;
  const std::vector<Watcher> watchers_;
  const std::function<void(SourceUpdate)> callback_;

  mutable std::mutex mutex_;
  std::condition_variable wake_, stopped_;
  bool stopping_ = false;                                // guarded, as all below
  bool dirty_ = false, urgent_ = false;
  std::vector<State> states_;
  std::map<ObjectKey, ObjectPtr> pending_;               // null: removed
  std::map<ObjectKey, MonotonicTime> put_off_;           // removals
  std::map<ObjectKey, std::vector<Diagnostic>> unreadable_;
  MonotonicTime last_update_{};
  bool synced_ = false;
};

}  // namespace fairlead::adapters::kubernetes
