// See status_keeper.h.
#include "adapters/kubernetes/status_keeper.h"

#include <algorithm>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/hash.h"
#include "base/strings.h"

namespace fairlead::adapters::kubernetes {

namespace {

using std::chrono::milliseconds;

std::string version_of(const doc::Value& body) {
  const doc::Value* v = body.find_path("metadata.resourceVersion");
  return v && v->is_string() ? v->as_string() : std::string();
}

std::string uid_of(const doc::Value& body) {
  const doc::Value* v = body.find_path("metadata.uid");
  return v && v->is_string() ? v->as_string() : std::string();
}

// Versions of one object are numbers that rise (KEP-5504); where they are not, the source has the last word.
bool is_newer(const doc::Value& a, const doc::Value& b) {
  uint64_t x = 0, y = 0;
  return uid_of(a) == uid_of(b) && absl::SimpleAtoi(version_of(a), &x) && absl::SimpleAtoi(version_of(b), &y) && x > y;
}

uint64_t hash_of(const doc::Value& value) { return xx_hash64(doc::to_json(value)); }

doc::Value status_of(const doc::Value& body) {
  const doc::Value* v = body.find("status");
  return v ? *v : doc::Value();
}

bool is_open(const StatusSink::Scopes& scopes) {
  return std::any_of(scopes.begin(), scopes.end(), [](const auto& entry) {
    const Condition* c = entry.second.find("Programmed");
    return c && c->status == Truth::kUnknown;
  });
}

const StatusSink::Scopes& scopes_of(const StatusSink& said, const ObjectKey& key) {
  static const StatusSink::Scopes kNone;
  const auto at = said.objects().find(key);
  return at == said.objects().end() ? kNone : at->second;
}

milliseconds retry_after(const Response& response) {
  const auto at = response.headers.find("retry-after");
  int seconds = 0;
  return at != response.headers.end() && absl::SimpleAtoi(at->second, &seconds) && seconds > 0 ? std::chrono::seconds(std::min(seconds, 60)) : milliseconds(0);
}

}  // namespace

Shaped StatusKeeper::shape(const State& state, MonotonicTime now, const std::string& wall) const {
  Shaping shaping;
  shaping.controller = options_.controller;
  shaping.addresses = options_.addresses;
  shaping.features = options_.features;
  shaping.plane = state.plane;
  shaping.now = wall;
  if (state.object->key.kind == "Ingress" && !state.said.empty()) {  // those of its class
    const ObjectPtr of_class = objects_->find(state.said.begin()->first.parent);
    if (std::vector<Address> there = of_class ? announced(*of_class) : std::vector<Address>(); !there.empty()) shaping.addresses = std::move(there);
  }
  shaping.hold_programmed = state.open && now < state.open_since + options_.hold;
  return shape_status(*state.object, *status_kind(state.object->key), state.said, present(state), shaping);
}

void StatusKeeper::enqueue(const ObjectKey& key, State& state, MonotonicTime at) {
  at = std::max(at, state.not_before);
  dequeue(key, state);
  queue_.emplace(at, key);
  queued_[key] = at;
}

void StatusKeeper::dequeue(const ObjectKey& key, State&) {
  const auto at = queued_.find(key);
  if (at == queued_.end()) return;
  queue_.erase({at->second, key});
  queued_.erase(at);
}

// The last write of the same over the same has left it like that: the server knows better.
bool StatusKeeper::as_left(const State& state, const Shaped& shaped) const {
  return state.written != 0 && state.written == hash_of(shaped.status) && state.left == hash_of(status_of(present(state)));
}

// Whether there is something to do about it, and when.
void StatusKeeper::compare(const ObjectKey& key, State& state, MonotonicTime now) {
  state.compared = true;
  if (state.read_first) return enqueue(key, state, now);
  if (!state.newest.is_null() && uid_of(state.newest) != uid_of(state.object->body)) return dequeue(key, state);  // another of that name: the source will bring it
  const Shaped shaped = shape(state, now, "");
  if (shaped.differs && !state.refused && !as_left(state, shaped)) return enqueue(key, state, state.open ? std::max(now, state.open_since + options_.settle) : now);
  // what is held back is looked at again when its time is up
  if (shaped.held) return enqueue(key, state, state.open_since + options_.hold);
  dequeue(key, state);
}

void StatusKeeper::note_news(State& state) {
  Outcome out{Outcome::Kind::kTold, state.object, "", {}};
  std::map<std::pair<StatusScope, std::string>, Condition> wrong;
  for (const auto& [scope, status] : state.said) {
    for (const Condition& c : status.conditions) {
      const bool good_when_false = c.type == "Conflicted" || c.type == "PartiallyInvalid";
      const auto before = state.told.find({scope, c.type});
      const bool was_wrong = before != state.told.end();
      if (c.status == (good_when_false ? Truth::kTrue : Truth::kFalse)) {
        const bool same = was_wrong && before->second.reason == c.reason && before->second.message == c.message;
        if (!same) out.transitions.push_back({c.type, c.reason, message_of(c), Truth::kUnknown, Truth::kFalse, ""});
        wrong[{scope, c.type}] = c;
      } else if (was_wrong && c.status != Truth::kUnknown) {
        out.transitions.push_back({c.type, c.reason, message_of(c), Truth::kFalse, Truth::kTrue, ""});
      } else if (was_wrong) {
        wrong[{scope, c.type}] = before->second;  // nobody knows yet
      }
    }
  }
  state.told = std::move(wrong);
  if (!out.transitions.empty()) news_.push_back(std::move(out));
}

void StatusKeeper::take_object(const ObjectPtr& object, bool verdicts_changed, MonotonicTime now) {
  const ObjectKey& key = object->key;
  State& state = states_[key];
  const StatusSink::Scopes& drafted = scopes_of(*said_, key);
  const bool moved = state.object != object;
  std::optional<Plane> plane = key.kind == "Gateway" && options_.plane && !drafted.empty() ? options_.plane(*objects_, key) : std::nullopt;
  if (!moved && !verdicts_changed && state.drafted == drafted && state.plane == plane && state.compared) return;
  state.plane = std::move(plane);
  if (moved) {
    const bool replaced = state.object && uid_of(state.object->body) != uid_of(object->body);
    state.object = object;
    if (replaced || !is_newer(state.newest, object->body)) state.newest = {};
    if (state.newest.is_null()) state.read_first = false;
    state.refused = false;
  }
  StatusSink::Scopes joined = drafted;
  if (!joined.empty()) {
    if (state.plane) {
      check_plane(*object, *state.plane, joined);
    } else if (key.kind == "Gateway") {
      check_addresses(*object, joined);
    }
    join(joined, key, listener_names(*object), [this](const ObjectKey& parent) { return gateway_of(*objects_, parent); }, verdicts_);
    if (state.plane) add_note(*state.plane, joined);
  }
  if (joined != state.said) {
    state.refused = false;
    const bool open = is_open(joined);
    // Counted from when it became open, or from when something new was said that is still open.
    if (open && (!state.open || state.drafted != drafted)) state.open_since = now;
    state.open = open;
    state.said = std::move(joined);
    if (!status_kind(key)->has_conditions()) note_news(state);
  }
  state.drafted = drafted;
  compare(key, state, now);
}

// The version that failed its check, where that came after the last good one.
const ObjectPtr& StatusKeeper::newest(const ObjectKey& key, const ObjectPtr& good) const {
  const auto rejected = objects_->rejected().find(key);
  return rejected == objects_->rejected().end() ? good : rejected->second;
}

void StatusKeeper::take(const std::shared_ptr<const StatusSink>& said, const ObjectSnapshotPtr& objects, const Verdicts& verdicts, MonotonicTime now) {
  const bool verdicts_changed = !(verdicts == verdicts_);
  if (verdicts_changed) verdicts_ = verdicts;
  const bool said_changed = std::exchange(said_, said) != said;
  const ObjectSnapshotPtr before = std::exchange(objects_, objects);
  if (before != nullptr && !said_changed && !verdicts_changed && &before->rejected() == &objects->rejected()) return take_changed(*before, now);

  std::set<ObjectKey> there;
  for (const StatusKind& kind : status_kinds()) {
    for (const auto& [key, good] : objects->of(kind.group, kind.kind)) {
      const ObjectPtr& object = newest(key, good);
      if (!ours(*object)) continue;
      there.insert(key);
      take_object(object, verdicts_changed, now);
    }
  }
  for (const auto& [key, object] : objects->rejected()) {
    if (status_kind(key) == nullptr || there.contains(key) || !ours(*object)) continue;
    there.insert(key);
    take_object(object, verdicts_changed, now);
  }
  for (auto it = states_.begin(); it != states_.end();) {
    if (there.contains(it->first)) {
      ++it;
      continue;
    }
    dequeue(it->first, it->second);
    it = states_.erase(it);
  }
}

// The same is said of them, and what was rejected is the same: whatever object is the same needs no look, but for Gateways, whose data plane may be another.
void StatusKeeper::take_changed(const ObjectSnapshot& before, MonotonicTime now) {
  const auto take_one = [&](const ObjectPtr& was, const ObjectPtr& is) {
    const ObjectKey key = (is != nullptr ? is : was)->key;
    const ObjectPtr& object = newest(key, is);
    if (object != nullptr && ours(*object)) return take_object(object, false, now);
    const auto state = states_.find(key);
    if (state == states_.end()) return;
    dequeue(key, state->second);
    states_.erase(state);
  };
  for (const StatusKind& kind : status_kinds()) {
    const KindObjects& objects = objects_->of(kind.group, kind.kind);
    KindObjects::for_each_difference(before.of(kind.group, kind.kind), objects, take_one);
    if (kind.kind != "Gateway" || !options_.plane) continue;
    for (const auto& [key, gateway] : objects) take_one(gateway, gateway);
  }
}

void StatusKeeper::reset() {
  states_.clear();
  queue_.clear();
  queued_.clear();
  verdicts_ = {};
  said_ = nullptr;
  objects_ = nullptr;
  news_.clear();
  asked_.reset();
}

std::optional<MonotonicTime> StatusKeeper::due(MonotonicTime now) const {
  if (queue_.empty()) return std::nullopt;
  MonotonicTime at = std::max(queue_.begin()->first, paused_until_);
  const double tokens = tokens_ < 0 ? options_.burst : std::min(options_.burst, tokens_ + std::chrono::duration<double>(now - filled_).count() * options_.writes_per_second);
  if (tokens < 1) at = std::max(at, now + std::chrono::duration_cast<MonotonicTime::duration>(std::chrono::duration<double>((1 - tokens) / options_.writes_per_second)));
  return at;
}

std::optional<StatusKeeper::Request> StatusKeeper::next(MonotonicTime now, SystemTime wall) {
  while (true) {
    const std::optional<MonotonicTime> at = due(now);
    if (!at || *at > now) return std::nullopt;
    const ObjectKey key = queue_.begin()->second;
    State& state = states_.at(key);
    dequeue(key, state);
    const StatusKind& kind = *status_kind(key);
    Request request{key, "GET", object_path(*state.object, kind), "", ""};
    asked_read_ = state.read_first;
    if (!state.read_first) {
      const std::string now_text = format_rfc3339(std::chrono::duration_cast<std::chrono::seconds>(wall.time_since_epoch()).count(), 0);
      Shaped shaped = shape(state, now, now_text);
      if (!shaped.differs) {
        if (shaped.held) enqueue(key, state, state.open_since + options_.hold);
        continue;
      }
      request.method = "PATCH";
      request.content_type = "application/apply-patch+yaml";
      absl::StrAppend(&request.path, "/status?fieldManager=", options_.field_manager, "&force=true");
      request.body = apply_body(*state.object, kind, present(state), shaped.status);
      asked_transitions_ = std::move(shaped.transitions);
    }
    tokens_ = (tokens_ < 0 ? options_.burst : std::min(options_.burst, tokens_ + std::chrono::duration<double>(now - filled_).count() * options_.writes_per_second)) - 1;
    filled_ = now;
    asked_ = key;
    return request;
  }
}

void StatusKeeper::learn(State& state, const std::string& body) {
  absl::StatusOr<doc::Value> value = doc::parse_json(body, "");
  if (!value.ok() || value->find("metadata") == nullptr) return;
  // of the spec the source's is the one that counts
  state.newest = doc::without(doc::with(*value, "metadata", doc::without(*value->find("metadata"), "managedFields")), "spec");
}

void StatusKeeper::retry(const ObjectKey& key, State& state, MonotonicTime now, milliseconds at_least) {
  const int doublings = std::min(state.failures++, 16);
  const milliseconds wait = std::min(options_.last_retry, options_.first_retry * (int64_t{1} << doublings));
  state.not_before = now + std::max(wait, at_least);
  enqueue(key, state, state.not_before);
}

StatusKeeper::Outcome StatusKeeper::answered(const absl::StatusOr<Response>& answer, MonotonicTime now) {
  Outcome out;
  if (!asked_) return out;
  const ObjectKey key = *std::exchange(asked_, std::nullopt);
  const auto found = states_.find(key);
  if (found == states_.end()) return out;  // gone meanwhile
  State& state = found->second;
  out.object = state.object;
  const std::string what = absl::StrCat("the status of ", key.str());
  if (!answer.ok()) {
    out.message = absl::StrCat(what, ": ", answer.status().message());
    paused_until_ = now + std::min(options_.last_retry, options_.first_retry * (int64_t{1} << std::min(unreached_++, 16)));
    enqueue(key, state, now);
    return out;
  }
  unreached_ = 0;
  const Response& r = *answer;
  if (r.status == 200 || r.status == 201) {
    out.kind = asked_read_ ? Outcome::Kind::kRead : Outcome::Kind::kWritten;
    learn(state, r.body);
    state.read_first = false;
    if (!asked_read_) {
      state.failures = 0;
      state.not_before = {};
      const Shaped after = shape(state, now, "");
      state.written = after.differs ? hash_of(after.status) : 0;
      state.left = after.differs ? hash_of(status_of(present(state))) : 0;
      out.transitions = std::move(asked_transitions_);
    }
    compare(key, state, now);
    return out;
  }
  out.message = absl::StrCat(what, ": the API server answered ", status_message(r));
  switch (r.status) {
    case 404:  // the source will say that it is gone
      out.kind = Outcome::Kind::kGone;
      dequeue(key, state);
      state.refused = true;
      break;
    case 409:  // somebody wrote since: look at what is there now, then again. The first time at once
      out.kind = Outcome::Kind::kConflict;
      state.read_first = true;
      if (state.failures++ == 0) {
        enqueue(key, state, now);
      } else {
        retry(key, state, now, milliseconds(0));
      }
      break;
    case 400:
    case 422:  // it will not be more valid for being sent again
      out.kind = Outcome::Kind::kRefused;
      state.refused = true;
      dequeue(key, state);
      break;
    default:
      retry(key, state, now, retry_after(r));
      break;
  }
  return out;
}

}  // namespace fairlead::adapters::kubernetes
