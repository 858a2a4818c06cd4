// Which objects' status differs from what is to be said, and what to ask the API server about it next: the comparison, the queue with its
// back-off and what is remembered of answers. A state machine: no socket, no thread; times come from outside. Owned by StatusWriter's thread.
// The last state wins: an object waits at most once, and what is written is made when its turn comes.
// Invariant: an object whose status is as it shall be causes no request, and an answer that changes nothing is not asked for twice.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/status_shapes.h"
#include "adapters/kubernetes/verdicts.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "base/clock.h"

namespace fairlead::adapters::kubernetes {

class StatusKeeper {
 public:
  struct Options {
    std::string source;                    // whose objects these are; empty: all
    std::string controller;                // whose entries are ours
    std::string field_manager = "fairlead-control";
    std::vector<Address> addresses;        // of Gateways that do not ask for one
    std::vector<std::string> features;     // of GatewayClasses, beyond what the vocabulary carries out
    // Of Gateways whose data plane is run here; nothing: others run it, and say where it is. May be empty.
    std::function<std::optional<Plane>(const ObjectSnapshot& objects, const ObjectKey& gateway)> plane = {};
    // While Programmed is open, so that what is on its way to the proxies costs one write and not two.
    std::chrono::milliseconds settle{300};
    // How long a Programmed that is True outlives a change, or the loss of all proxies, that nobody has answered.
    std::chrono::milliseconds hold{30'000};
    std::chrono::milliseconds first_retry{500}, last_retry{60'000};
    double writes_per_second = 100;
    double burst = 200;
  };
  struct Request {
    ObjectKey object;
    std::string method, path, body, content_type;
  };
  // What came of a request, for the log, the counters and events.
  struct Outcome {
    enum class Kind { kRead, kWritten, kConflict, kGone, kRefused, kFailed, kTold };
    Kind kind = Kind::kFailed;
    ObjectPtr object;
    std::string message;                  // what went wrong; empty: nothing
    std::vector<Transition> transitions;  // kWritten; kTold: from or to False, whatever the condition calls it
  };

  explicit StatusKeeper(Options options) : options_(std::move(options)) {}

  // Everything anew, or what differs from before: what is said, of which objects, and what proxies said of it. Where only objects are others, as after
  // our own writes, it costs a look at each of these.
  void take(const std::shared_ptr<const StatusSink>& said, const ObjectSnapshotPtr& objects, const Verdicts& verdicts, MonotonicTime now);
  // Forgets all it knows of the server, and compares every object with the next take(): for a new leader.
  void reset();

  // When next() has something; nothing: not before the next take().
  std::optional<MonotonicTime> due(MonotonicTime now) const;
  // answered() is to follow before the next one. Nothing: nothing is due.
  std::optional<Request> next(MonotonicTime now, SystemTime wall);
  Outcome answered(const absl::StatusOr<Response>& answer, MonotonicTime now);

  // Since it was asked last: what is newly wrong with objects that have no place for conditions, in other words than before, or no longer. A new leader
  // tells what is wrong anew.
  std::vector<Outcome> news() { return std::exchange(news_, {}); }

  size_t waiting() const { return queue_.size(); }

 private:
  struct State {
    ObjectPtr object;                // as the source has it, the version that failed its check before the last good one
    StatusSink::Scopes drafted;      // as the vocabularies left it
    StatusSink::Scopes said;         // with the proxies' words
    std::optional<Plane> plane;      // of a Gateway
    bool open = false;               // a Programmed among them is Unknown
    MonotonicTime open_since{};
    doc::Value newest;               // body from our last write or read, where that is newer than the source's; else null
    bool read_first = false;         // what is known of it is out of date
    int failures = 0;
    MonotonicTime not_before{};
    bool compared = false;           // since something changed
    uint64_t written = 0, left = 0;  // hashes of what still differed after a write, and of what it differed from; 0: nothing did
    bool refused = false;            // the server called it invalid: wait for a change
    std::map<std::pair<StatusScope, std::string>, Condition> told;  // what is wrong, by type: of objects without conditions
  };
  const doc::Value& present(const State& state) const { return state.newest.is_null() ? state.object->body : state.newest; }
  Shaped shape(const State& state, MonotonicTime now, const std::string& wall) const;
  bool as_left(const State& state, const Shaped& shaped) const;
  void compare(const ObjectKey& key, State& state, MonotonicTime now);
  void enqueue(const ObjectKey& key, State& state, MonotonicTime at);
  void dequeue(const ObjectKey& key, State& state);
  void retry(const ObjectKey& key, State& state, MonotonicTime now, std::chrono::milliseconds at_least);
  void learn(State& state, const std::string& body);
  void note_news(State& state);
  bool ours(const Object& object) const { return options_.source.empty() || object.source == options_.source; }
  const ObjectPtr& newest(const ObjectKey& key, const ObjectPtr& good) const;
  void take_changed(const ObjectSnapshot& before, MonotonicTime now);
  void take_object(const ObjectPtr& object, bool verdicts_changed, MonotonicTime now);

  const Options options_;
  std::map<ObjectKey, State> states_;
  std::set<std::pair<MonotonicTime, ObjectKey>> queue_;
  std::map<ObjectKey, MonotonicTime> queued_;
  // Of the last take(); null: there was none.
  std::shared_ptr<const StatusSink> said_;
  ObjectSnapshotPtr objects_;
  Verdicts verdicts_;
  double tokens_ = -1;  // < 0: not begun
  MonotonicTime filled_{};
  MonotonicTime paused_until_{};  // the server was not reached
  int unreached_ = 0;
  // The request on its way.
  std::optional<ObjectKey> asked_;
  bool asked_read_ = false;
  std::vector<Transition> asked_transitions_;
  std::vector<Outcome> news_;
};

}  // namespace fairlead::adapters::kubernetes
