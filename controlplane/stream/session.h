// One xDS stream as a pure state machine: requests, snapshots and time go in, responses come out, described but not
// serialised (encode.h does that). No socket, thread or clock. One session belongs to one stream and is called by one
// thread at a time.
//
// What a stream has is kept as "everything of set S it subscribes to, but for these few exceptions", so a change costs
// what changed, not what is subscribed, and an idle stream holds pointers, not names.
//
// How to drive it:
//   Request r = decode…(bytes);                      // decode.h
//   if first: check_first_request(r), find the node's snapshot, make the session with it
//   Output o = session.on_request(r, now, latest);   // each request, in order
//   Output o = session.on_snapshot(snapshot, now);   // when the push queue pops the stream and its last write is done
//   Output o = session.on_time(now);                 // when session.deadline() has passed
//   write o.responses in order; hand o.refusals and o.acceptances to verdict/; close with o.close when it is not OK.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "base/clock.h"
#include "controlplane/resources/resource.h"
#include "controlplane/snapshot/node.h"
#include "controlplane/snapshot/snapshot.h"
#include "controlplane/stream/reported_versions.h"
#include "controlplane/stream/seldom.h"
#include "controlplane/stream/subscription.h"

namespace fairlead::cpstream {

using resources::ResourcePtr;
using resources::Type;
using snapshot::SnapshotPtr;
using snapshot::TypeSetPtr;
using snapshot::Version;

// Both kinds of request; what a kind has not is empty.
struct Request {
  std::optional<snapshot::Node> node;
  std::string type_url;
  std::string nonce;                    // response_nonce
  std::optional<std::string> error;     // error_detail.message; present means NACK, nothing else does (rule 19)
  std::string version_info;             // SotW
  std::vector<std::string> names;       // SotW: resource_names; delta: resource_names_subscribe
  std::vector<std::string> unsubscribe;  // delta
  ReportedVersions initial_versions;    // delta
};

struct Response {
  Type type;
  std::string version;  // version_info or system_version_info
  std::string nonce;
  std::vector<ResourcePtr> resources;
  std::vector<std::string> removed;  // delta
  bool timed = false;  // with times to live, of those that have one
  bool beat = false;   // these alone, without bodies: a heartbeat
};

// A NACK, attributed as far as its message allows.
struct Refusal {
  Type type;
  std::string version;
  std::string nonce;
  std::string message;
  std::vector<ResourcePtr> at_fault;  // named by the message, or the only ones that can be meant; empty when the
                                      // response brought nothing new
  bool named = false;                 // the message named them
};

// An ACK: everything the stream subscribes to in `set` is in use by the client, but for what it has refused.
struct Acceptance {
  Type type;
  TypeSetPtr set;
  Version version;
};

struct Output {
  absl::InlinedVector<Response, 1> responses;
  std::vector<Refusal> refusals;
  absl::InlinedVector<Acceptance, 1> acceptances;
  absl::Status close;  // not OK: end the stream with this
};

struct SessionOptions {
  std::optional<Type> only;  // set on a per-type service: the type of requests without one, others are refused (rules 4, 5)
  bool legacy_wildcard = true;  // off for clients that never mean everything by an empty list (rule 31)
  // How long a removed cluster waits for the ACK of the routes that drop it. Only on streams that carry both (ADS).
  std::chrono::milliseconds removal_grace{30'000};
  // How long a changed listener or route table waits for the clusters it newly names to be sent with their endpoints.
  std::chrono::milliseconds warming_grace{5'000};
  size_t max_unacked = 16;       // per type; further pushes of the type wait for an ACK
  // Something the snapshots are made of cannot be read and has no last good version: what they lack may still be meant, so
  // nothing that a reconnecting client reports to use is taken from it.
  bool incomplete = false;
  bool ttl = false;  // the client knows times to live, in the form that its kind of stream has them (rule 53)
  size_t max_delta_bytes = 3u << 20;  // of resources in one delta response (rule 51); gRPC clients take 4 MiB by default
};

// What the debug endpoints ask of a stream.
struct TypeStatus {
  enum class State { kNotRequested, kNotSent, kStale, kSynced, kError };
  State state = State::kNotRequested;
  std::string sent_version;
  std::string accepted_version;
  std::string error;                                // the last refusal's message, until a later response is accepted
  MonotonicTime error_at{};
  MonotonicTime sent_at{};
  bool wildcard = false;
  size_t names = 0;      // subscribed by name
  size_t withheld = 0;   // removals that wait for a route change
  size_t kept = 0;       // names the client reported that nobody has: not removed while the snapshots are incomplete, clusters not at once
  bool held = false;     // SotW: not answered for the same reason, so that the client keeps what it has
  std::vector<std::pair<std::string, ContentHash>> refused;  // resources never sent again on this stream
};

// The same, of one resource.
struct ResourceState {
  std::string name;
  ResourcePtr wanted;       // null: nobody has one of that name
  ResourcePtr has;          // sent and not refused
  bool unanswered = false;  // in a response that the client has not answered yet
  bool refused = false;     // `wanted` is what it has refused
};

// Of the assignments that a stream subscribes to by name, those that may have changed since the snapshot it was told of last; none: any may.
using Changed = std::optional<std::span<const std::string_view>>;

// Rule 1: the first request of a stream names its node.
absl::Status check_first_request(const Request& request);

class Session {
 public:
  virtual ~Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // `latest`: the scope's present snapshot, for a session that is not told of each change of endpoints (see on_snapshot); null: it is.
  Output on_request(const Request& request, MonotonicTime now, const SnapshotPtr& latest = nullptr);
  // Brings every subscribed type to the snapshot, in push order. Null is ignored.
  // Whoever gives `endpoints` need not tell a stream of changes that concern none of its own.
  Output on_snapshot(SnapshotPtr snapshot, MonotonicTime now, Changed endpoints = {});
  Output on_time(MonotonicTime now);
  // Changes SessionOptions::incomplete; the next on_snapshot() makes up for what was kept or held for its sake.
  void set_incomplete(bool incomplete) { options_.incomplete = incomplete; }
  // When on_time() has something to do; nothing most of the time.
  std::optional<MonotonicTime> deadline() const;

  const SnapshotPtr& snapshot() const { return snapshot_; }
  // Which assignments it subscribes to; null before it has asked for any.
  const Subscription* endpoints() const {
    const State* s = find(Type::kEndpoint);
    return s ? &s->subscription : nullptr;
  }
  // Whether it has asked for anything: who has not is no proxy, but somebody who asks about others.
  bool asks() const { return !states_.empty(); }
  TypeStatus status(Type type) const;
  // What the client has of a name: sent and not refused. Null when it has none, or does not subscribe to it.
  ResourcePtr client_has(Type type, std::string_view name) const;
  // The same, as of the last ACK: while a response is outstanding, what the client had before it.
  ResourcePtr client_accepted(Type type, std::string_view name) const;
  std::vector<std::string> subscribed(Type type) const;  // by name, sorted
  // Everything of the type that was sent and not refused, in name order: O(subscribed), for the debug endpoints.
  std::vector<ResourcePtr> sent(Type type) const;
  // Everything of the type that the stream subscribes to or has, in name order: O(subscribed), for the debug endpoints. `wanted`: what it shall have.
  std::vector<ResourceState> resources(Type type, const snapshot::Snapshot& wanted) const;
  size_t names() const {  // subscribed to, of all types
    size_t n = 0;
    for (const State& s : states_) n += s.subscription.names() ? s.subscription.names()->size() : 0;
    return n;
  }
  uint64_t ignored_requests() const { return ignored_; }  // stale nonces, unknown types, other nodes (rules 3, 5, 15)

 protected:
  Session(SessionOptions options, NameTable& table, SnapshotPtr snapshot, bool delta);
  // A request whose names are all written as ours are.
  virtual Output take(const Request& request, MonotonicTime now, const SnapshotPtr& latest) = 0;

  // What the client has of one name, where that is not what State::sent has.
  struct Exception {
    std::string name;
    ResourcePtr has;        // null: nothing
    bool withheld = false;  // a removal that waits
    bool held = false;      // a change that waits; neither: the client refused what is in State::sent
    MonotonicTime since{};
  };
  struct Item {
    std::string_view name;  // in `now` or `before`, or in the list of forced names while a response is made
    ResourcePtr now;        // null: removed
    ResourcePtr before;     // what the client had
  };
  struct Unacked {
    uint64_t nonce = 0;
    Version version;
    TypeSetPtr set;
    std::vector<Item> items;
    std::vector<ResourcePtr> whole;  // of a complete response all it carried, unchanged or not
  };
  // A push goes over those of all types of a stream, and they are seldom in the cache: as small as can be.
  struct State {
    explicit State(Type t, bool legacy_wildcard) : type(t), subscription(legacy_wildcard) {}
    // What each push looks at in every type of the stream: together.
    Type type;
    bool started = false;      // a request of the type was seen
    bool reply = false;        // answer even if there is nothing to say
    bool held = false;         // not answered while the snapshots are incomplete
    bool behind = false;       // a snapshot was not brought when it came: what differs is to be looked for
    TypeSetPtr sent;           // null before the type was first brought up to a snapshot
    Seldom<Exception> exceptions;  // sorted by name
    Seldom<std::string> forced;    // names to send whatever the client has
    Seldom<std::string> kept;      // reported by the client, to be removed once nothing is incomplete, and not before kept_until
    MonotonicTime beat_at{};       // when what has a time to live is renewed; {}: nothing has
    // What it looks at in a type that it brings.
    Subscription subscription;
    std::vector<Unacked> unacked;                         // oldest first
    uint64_t last_nonce = 0;
    Seldom<std::pair<std::string, ContentHash>> refused;  // few; never sent again
    Seldom<std::string> outdated;  // reported by the client in bytes that are not those of the snapshot; until they are sent
    Version sent_version;      // null before the first response
    MonotonicTime sent_at{};
    // What an ACK changes, and the rest.
    TypeSetPtr accepted;       // null before the first ACK
    Version accepted_version;  // null before the first ACK
    std::unique_ptr<const std::string> error;                     // of a refusal that stands; null: none does
    MonotonicTime error_at{};
    MonotonicTime kept_until{};
    std::unique_ptr<std::map<std::string, std::string>> spelled;  // names as the client writes them, by ours, where that differs
  };

  State* find(Type type);
  const State* find(Type type) const;
  State& open(Type type);

  // Which type a request is about; nothing: one we do not serve, to be ignored. An error ends the stream.
  absl::StatusOr<std::optional<Type>> type_of(const Request& request);
  void observe_node(const Request& request);
  // Records the ACK or NACK of an earlier response of the type. False: the nonce is none of its outstanding ones.
  bool settle(State& s, const Request& request, MonotonicTime now, Output& out);
  bool wants(const State& s, const resources::Resource& r) const;  // by name, by an alias, or everything
  // Of the names that a client has reported, which are not to be sent.
  class Settled {
   public:
    void reserve(size_t names) { names_.reserve(names); }
    bool empty() const { return names_.empty(); }
    // Null when there was an answer for that name before.
    bool* add(std::string_view name) {
      const auto [at, fresh] = names_.try_emplace(name, false);
      return fresh ? &at->second : nullptr;
    }
    bool contains(std::string_view name) const {
      const auto at = names_.find(name);
      return at != names_.end() && at->second;
    }

   private:
    absl::flat_hash_map<std::string_view, bool> names_;
  };
  void force_everything(State& s, const Settled& but = {});
  // What a client asked for by name, as names of resources: the members of globs, what has an alias. What there is not stays as it is.
  void force(State& s, const std::vector<std::string>& names, const Settled& but = {});
  // Where a new subscription is to be served from.
  void adopt(const SnapshotPtr& latest) {
    if (latest) snapshot_ = latest;
  }
  void except(State& s, std::string_view name, ResourcePtr has, MonotonicTime now);  // sets what the client has of a name
  // After a request of `s`: brings the type, then what depends on it, then removals that may have waited for it.
  void answer(State& s, MonotonicTime now, Output& out);
  bool issued(std::string_view nonce) const;  // by this stream, for whichever type

  SnapshotPtr snapshot_;  // from here to delta_ what every push looks at, together

 private:
  std::vector<State> states_;  // of the types asked for, in push order
  uint64_t next_nonce_ = 1;
  MonotonicTime last_now_{};
  bool delta_ = false;

 protected:
  SessionOptions options_;
  NameTable& table_;
  uint64_t ignored_ = 0;

 private:
  // Brings one type up to the snapshot; appends the responses that takes.
  // `changed`: what may differ from State::sent; none: look.
  void bring(State& s, MonotonicTime now, Output& out, Changed changed = {});
  void take_back(State& s, std::string_view name, MonotonicTime now, std::vector<Item>& items);
  bool may_bring(State& s, MonotonicTime now);
  using Candidates = absl::InlinedVector<std::string_view, 4>;  // names, sorted
  Candidates candidates(const State& s, const std::vector<std::string>& forced, const std::vector<snapshot::Step>& steps, Changed changed) const;
  void respond(State& s, std::vector<Item> items, MonotonicTime now, Output& out);
  void respond_delta(State& s, std::vector<Item> items, MonotonicTime now, Output& out);
  Unacked& issue(State& s, Version version, MonotonicTime now);
  void refuse(State& s, Unacked response, const Request& request, MonotonicTime now, Output& out);
  ResourcePtr after_outstanding(State& s, std::string_view name, ResourcePtr has, uint64_t nonce);
  void force_dependents(const State& from, const std::vector<Item>& items);
  void release(MonotonicTime now, Output& out);

  void beat(State& s, MonotonicTime now, Output& out);
  // On its way out: with times to live, and under the names that the client uses.
  void dress(State& s, Response& response, MonotonicTime now);
  Version complete_version(const State& s) const;
  const Exception* exception(const State& s, std::string_view name) const;
  // Null pointers where it has nothing; what they point to is as old as `s` and what it was sent.
  const ResourcePtr& has(const State& s, std::string_view name) const;
  const ResourcePtr& has_wanted(const State& s, std::string_view name) const;  // of a name that it subscribes to
  ResourcePtr wanted(const State& s, std::string_view name, const ResourcePtr* in_snapshot) const;
  ResourcePtr last_good(const State& s, std::string_view name) const;
  bool is_refused(const State& s, const resources::Resource& r) const;
  bool refusal_stands(const State& s) const;  // something refused is still what the snapshot wants
  bool must_wait(const State& s, const resources::Resource& r, MonotonicTime since, MonotonicTime now) const;
  bool must_hold(const State& s, const resources::Resource& r, const resources::Resource* in_use, MonotonicTime since,
                 MonotonicTime now) const;
  bool kept_is_due(const State& s, MonotonicTime now) const { return !options_.incomplete && !s.kept.empty() && now >= s.kept_until; }

  std::vector<std::pair<std::string, std::string>> spellings_;  // of the request at hand: our name, the client's (empty: it has given it up)
  std::string node_id_;
};

// State of the world: LDS and CDS responses are complete, other types carry what changed (rules 41-43).
class SotwSession final : public Session {
 public:
  SotwSession(SessionOptions options, NameTable& table, SnapshotPtr snapshot);

 private:
  Output take(const Request& request, MonotonicTime now, const SnapshotPtr& latest) override;
};

class DeltaSession final : public Session {
 public:
  DeltaSession(SessionOptions options, NameTable& table, SnapshotPtr snapshot);

 private:
  Output take(const Request& request, MonotonicTime now, const SnapshotPtr& latest) override;
  Settled compare(State& s, const Request& request, MonotonicTime now);
};

}  // namespace fairlead::cpstream
