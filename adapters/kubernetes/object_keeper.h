// Which objects of data planes (adapters/provision) differ from what they are to be, and what to ask the API server about it next: comparison, queue,
// back-off, and what is remembered of answers. A state machine: no socket, no thread; times come from outside. Owned by Provisioner's thread.
// What is no longer wanted of a Gateway goes when all that is wanted for it is there, and not before.
// Invariants: an object that is as it shall be causes no request, and an answer that changes nothing is not asked for twice; an object that our Gateway
// does not own is neither changed nor deleted; none is made before it was looked whether there is one; nothing is asked before observe() was synced.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "adapters/kubernetes/api_client.h"
#include "adapters/object/store.h"
#include "adapters/provision/data_plane.h"
#include "base/clock.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

class ObjectKeeper {
 public:
  struct Options {
    std::string field_manager = std::string(provision::kManager);
    std::chrono::milliseconds first_retry{500}, last_retry{60'000};
    std::chrono::milliseconds look_again{30'000};  // whether an object that is in the way still is
  };
  // Of one Gateway: what is to be there for it and, where that is left open, that what is there stays.
  struct Wanted {
    ObjectKey gateway;
    std::string uid;
    bool held = false;
    // The same pointer: the same objects, which are not looked at again. Null: none.
    std::shared_ptr<const std::vector<doc::Value>> objects;
  };
  struct Request {
    ObjectKey object;
    std::string method, path, body, content_type;
  };
  struct Outcome {
    enum class Kind { kRead, kApplied, kDeleted, kConflict, kGone, kRefused, kFailed };
    Kind kind = Kind::kFailed;
    ObjectKey object;
    std::string message;  // what went wrong; empty: nothing
  };

  explicit ObjectKeeper(Options options) : options_(std::move(options)) {}

  // Of all Gateways there are, anew. Of one that is not among them nothing is deleted: the API server does that.
  void want(const std::vector<Wanted>& gateways, MonotonicTime now);
  // What a watch of objects with our label brings.
  void observe(const SourceUpdate& update, MonotonicTime now);
  bool synced() const { return synced_; }
  // As the watch, or our own last write, has it; null: not known.
  doc::Value present(const ObjectKey& key) const;
  // For a new leader.
  void reset();

  std::optional<MonotonicTime> due() const;
  // answered() is to follow before the next one.
  std::optional<Request> next(MonotonicTime now);
  Outcome answered(const absl::StatusOr<Response>& answer, MonotonicTime now);

  // What keeps a Gateway's objects from being as they shall.
  std::map<ObjectKey, std::string> problems() const;
  size_t waiting() const { return queue_.size(); }

 private:
  struct State {
    // What is to be there.
    bool wanted = false;
    std::shared_ptr<const std::vector<doc::Value>> among;  // these
    doc::Value body;      // with the annotation
    std::string hash;     // in it
    ObjectKey gateway;
    std::string uid;      // of the Gateway
    // What is there.
    doc::Value observed;  // null: the watch has not brought it
    doc::Value newest;    // from our last write or read, where that is newer; null: nothing
    bool absent = false;  // somebody looked, and there is none
    std::string deleted;  // uid of the one that we have deleted

    int failures = 0;
    MonotonicTime not_before{};
    std::string handed;              // the hash for which the number of replicas has been handed over
    uint64_t written = 0, left = 0;  // hashes of what was applied, and of what that has left, where the two differ
    bool refused = false;            // the server called it invalid: wait for a change
    std::string problem;
  };
  // kHandOver: of a Deployment whose number of replicas is an autoscaler's from now on. Were it only no longer applied, it would be 1 until the
  // autoscaler looks: so a manager of another name has the number that there is, until the autoscaler takes it from that.
  enum class Step { kNothing, kRead, kHandOver, kApply, kDelete };
  static const doc::Value& there(const State& state) { return state.newest.is_null() ? state.observed : state.newest; }
  Step step(State& state, MonotonicTime now, MonotonicTime& at) const;
  void compare(const ObjectKey& key, State& state, MonotonicTime now);
  void enqueue(const ObjectKey& key, MonotonicTime at);
  void dequeue(const ObjectKey& key);
  void retry(const ObjectKey& key, State& state, MonotonicTime now);
  void fail(const ObjectKey& key, State& state, const Response& answer, Step asked, Outcome& out, MonotonicTime now);
  bool is_ours(const doc::Value& object) const;
  std::chrono::milliseconds wait_of(const std::string& gateway) const;

  const Options options_;
  bool synced_ = false;
  std::map<ObjectKey, State> states_;
  std::map<std::string, bool> gateways_;  // uid -> held
  std::set<std::pair<MonotonicTime, ObjectKey>> queue_;
  std::map<ObjectKey, MonotonicTime> queued_;
  MonotonicTime paused_until_{};  // the server was not reached
  int unreached_ = 0;
  // The request on its way.
  std::optional<ObjectKey> asked_;
  Step asked_step_ = Step::kNothing;
};

// Whether all of `wanted` is in `present`: of maps each key, of lists each item in its place.
bool covers(const doc::Value& present, const doc::Value& wanted);

// On every object: a hash of what was applied, so that what is no longer wanted is noticed to be gone from it.
inline constexpr std::string_view kAppliedAnnotation = "fairlead.io/applied";

}  // namespace fairlead::adapters::kubernetes
