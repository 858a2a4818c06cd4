// See object_keeper.h.
#include "adapters/kubernetes/object_keeper.h"

#include <algorithm>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/doc_at.h"
#include "base/hash.h"

namespace fairlead::adapters::kubernetes {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAfterOthers{500};

std::string applied_hash(const doc::Value& object) {
  const doc::Value* annotations = object.find_path("metadata.annotations");
  const doc::Value* v = annotations ? annotations->find(kAppliedAnnotation) : nullptr;
  return v && v->is_string() ? v->as_string() : std::string();
}

// Of the Gateway that owns it; empty: none does.
std::string owner_of(const doc::Value& object) {
  const doc::Value* owners = object.find_path("metadata.ownerReferences");
  for (const doc::Value& o : owners ? owners->items() : std::span<const doc::Value>()) {
    const doc::Value* controller = o.find("controller");
    if (text_at(o, "kind") == "Gateway" && controller && controller->as_boolean()) return text_at(o, "uid");
  }
  return "";
}

ObjectKey key_of(const doc::Value& object) {
  return {std::string(group_of(text_at(object, "apiVersion"))), text_at(object, "kind"), text_at(object, "metadata.namespace"), text_at(object, "metadata.name")};
}

// Versions of one object are numbers that rise; where they are not, the watch has the last word.
bool is_newer(const doc::Value& a, const doc::Value& b) {
  uint64_t x = 0, y = 0;
  return text_at(a, "metadata.uid") == text_at(b, "metadata.uid") && absl::SimpleAtoi(text_at(a, "metadata.resourceVersion"), &x) &&
         absl::SimpleAtoi(text_at(b, "metadata.resourceVersion"), &y) && x > y;
}

// What of an object is compared: not what controllers and the server count in it.
uint64_t hash_of(const doc::Value& object) {
  const doc::Value* metadata = object.find("metadata");
  if (metadata == nullptr) return 0;
  doc::Value lean = *metadata;
  for (std::string_view counted : {"resourceVersion", "managedFields", "generation"}) lean = doc::without(lean, counted);
  return xx_hash64(doc::to_json(doc::without(doc::with(object, "metadata", lean), "status")));
}

}  // namespace

bool covers(const doc::Value& present, const doc::Value& wanted) {
  if (wanted.is_map()) {
    return present.is_map() && std::all_of(wanted.entries().begin(), wanted.entries().end(), [&](const doc::Entry& e) {
             const doc::Value* there = present.find(e.key);
             // an empty list or map is left out by many
             return there ? covers(*there, e.value) : (e.value.is_map() || e.value.is_list()) && e.value.size() == 0;
           });
  }
  if (wanted.is_list()) {
    if (!present.is_list() || present.size() != wanted.size()) return false;
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (!covers(present.items()[i], wanted.items()[i])) return false;
    }
    return true;
  }
  return present == wanted;
}

bool ObjectKeeper::is_ours(const doc::Value& object) const {
  const doc::Value* labels = object.find_path("metadata.labels");
  const doc::Value* manager = labels ? labels->find(provision::kManagedByLabel) : nullptr;
  const auto gateway = gateways_.find(owner_of(object));
  return manager && manager->is_string() && manager->as_string() == provision::kManager && gateway != gateways_.end() && !gateway->second;
}

// How long what is no longer wanted for a Gateway is to wait: until what is wanted for it is there, however long that takes.
milliseconds ObjectKeeper::wait_of(const std::string& gateway) const {
  milliseconds wait{0};
  for (const auto& [key, state] : states_) {
    if (!state.wanted || state.uid != gateway) continue;
    if (!state.problem.empty()) return options_.look_again;
    if (queued_.contains(key)) wait = kAfterOthers;
  }
  return wait;
}

void ObjectKeeper::enqueue(const ObjectKey& key, MonotonicTime at) {
  dequeue(key);
  queue_.emplace(at, key);
  queued_[key] = at;
}

void ObjectKeeper::dequeue(const ObjectKey& key) {
  const auto at = queued_.find(key);
  if (at == queued_.end()) return;
  queue_.erase({at->second, key});
  queued_.erase(at);
}

// What is to be done about it, and when at the earliest.
ObjectKeeper::Step ObjectKeeper::step(State& state, MonotonicTime now, MonotonicTime& at) const {
  const doc::Value& present = there(state);
  at = now;
  if (!present.is_null() && !text_at(present, "metadata.deletionTimestamp").empty()) return Step::kNothing;  // on its way out: the watch will say when it has gone
  if (!state.wanted) {
    const std::string uid = present.is_null() ? "" : text_at(present, "metadata.uid");
    if (present.is_null() || state.deleted == uid || state.refused || !is_ours(present)) return Step::kNothing;
    at = now + wait_of(owner_of(present));
    return Step::kDelete;
  }
  if (present.is_null()) {
    if (state.refused) return Step::kNothing;
    return state.absent ? Step::kApply : Step::kRead;
  }
  if (owner_of(present) != state.uid) {
    at = now + options_.look_again;
    return Step::kRead;
  }
  if (state.refused || (applied_hash(present) == state.hash && covers(present, state.body))) return Step::kNothing;
  const bool as_left = state.written != 0 && state.written == xx_hash64(state.hash) && state.left == hash_of(present);
  if (as_left) return Step::kNothing;
  const bool hands_over = state.handed != state.hash && text_at(state.body, "kind") == "Deployment" && present.find_path("spec.replicas") && !state.body.find_path("spec.replicas");
  return hands_over ? Step::kHandOver : Step::kApply;
}

void ObjectKeeper::compare(const ObjectKey& key, State& state, MonotonicTime now) {
  const doc::Value& present = there(state);
  const bool foreign = state.wanted && !present.is_null() && owner_of(present) != state.uid;
  if (foreign) {
    state.problem = absl::StrCat(key.str(), " is there already and is not this Gateway's: it is left as it is");
  } else if (!state.refused && state.failures == 0) {
    state.problem.clear();
  }
  MonotonicTime at;
  if (!synced_ || step(state, now, at) == Step::kNothing) return dequeue(key);
  if (foreign && queued_.contains(key)) return;  // its turn comes
  enqueue(key, std::max(at, state.not_before));
}

void ObjectKeeper::want(const std::vector<Wanted>& gateways, MonotonicTime now) {
  gateways_.clear();
  std::map<ObjectKey, std::pair<const Wanted*, const doc::Value*>> wanted;
  for (const Wanted& g : gateways) {
    gateways_[g.uid] = g.held;
    if (!g.objects) continue;
    for (const doc::Value& object : *g.objects) wanted.emplace(key_of(object), std::make_pair(&g, &object));
  }
  for (const auto& [key, of] : wanted) {
    State& state = states_[key];
    if (state.wanted && state.among == of.first->objects && state.uid == of.first->uid) continue;
    state.among = of.first->objects;
    const std::string hash = hex64(xx_hash64(doc::to_json(*of.second)));
    if (state.wanted && state.hash == hash && state.uid == of.first->uid) continue;
    const doc::Value* metadata = of.second->find("metadata");
    const doc::Value* annotations = metadata->find("annotations");
    const doc::Value marked = doc::with(annotations ? *annotations : doc::map({}), kAppliedAnnotation, doc::string(hash));
    state.wanted = true;
    state.body = doc::with(*of.second, "metadata", doc::with(*metadata, "annotations", marked));
    state.hash = hash;
    state.gateway = of.first->gateway;
    state.uid = of.first->uid;
    state.refused = false;
    state.failures = 0;
    state.not_before = {};
    compare(key, state, now);
  }
  for (auto it = states_.begin(); it != states_.end();) {
    State& state = it->second;
    if (!wanted.contains(it->first)) {
      const auto held = gateways_.find(state.uid);
      if (state.wanted && (held == gateways_.end() || !held->second)) {
        state.wanted = state.refused = false;
        state.failures = 0;
        state.problem.clear();
      }
      compare(it->first, state, now);
      if (!state.wanted && there(state).is_null() && asked_ != it->first) {
        dequeue(it->first);
        it = states_.erase(it);
        continue;
      }
    }
    ++it;
  }
}

void ObjectKeeper::observe(const SourceUpdate& update, MonotonicTime now) {
  const bool begins = update.synced && !synced_;
  synced_ = synced_ || update.synced;
  for (const ObjectPtr& object : update.upserted) {
    State& state = states_[object->key];
    state.observed = object->body;
    if (!is_newer(state.newest, state.observed)) state.newest = {};
    state.absent = false;
    state.refused = false;
    compare(object->key, state, now);
  }
  for (const ObjectKey& key : update.removed) {
    const auto at = states_.find(key);
    if (at == states_.end()) continue;
    at->second.observed = at->second.newest = {};
    at->second.absent = at->second.refused = false;
    compare(key, at->second, now);
  }
  if (!begins) return;
  for (auto& [key, state] : states_) compare(key, state, now);
}

doc::Value ObjectKeeper::present(const ObjectKey& key) const {
  const auto at = states_.find(key);
  return at == states_.end() ? doc::Value() : there(at->second);
}

void ObjectKeeper::reset() {
  states_.clear();
  gateways_.clear();
  queue_.clear();
  queued_.clear();
  synced_ = false;
  asked_.reset();
}

std::optional<MonotonicTime> ObjectKeeper::due() const {
  if (queue_.empty()) return std::nullopt;
  return std::max(queue_.begin()->first, paused_until_);
}

std::optional<ObjectKeeper::Request> ObjectKeeper::next(MonotonicTime now) {
  while (true) {
    const std::optional<MonotonicTime> at = due();
    if (!at || *at > now) return std::nullopt;
    const ObjectKey key = queue_.begin()->second;
    dequeue(key);
    State& state = states_.at(key);
    MonotonicTime when;
    asked_step_ = step(state, now, when);
    if (asked_step_ == Step::kNothing) continue;
    if (asked_step_ == Step::kDelete && when > now) {
      enqueue(key, when);
      continue;
    }
    Request request{key, "GET", provision::object_path(*provision::managed_kind(key), key), "", ""};
    const std::string uid = there(state).is_null() ? "" : text_at(there(state), "metadata.uid");
    if (asked_step_ == Step::kApply) {
      request.method = "PATCH";
      absl::StrAppend(&request.path, "?fieldManager=", options_.field_manager, "&force=true");
      request.content_type = "application/apply-patch+yaml";
      // never another object of that name
      request.body = doc::to_json(uid.empty() ? state.body : doc::with(state.body, "metadata", doc::with(*state.body.find("metadata"), "uid", doc::string(uid))));
    } else if (asked_step_ == Step::kHandOver) {
      request.method = "PATCH";
      absl::StrAppend(&request.path, "?fieldManager=", options_.field_manager, "-replicas");  // without force: where it is another's already, well
      request.content_type = "application/apply-patch+yaml";
      const doc::Value metadata = doc::map({{"name", doc::string(key.name), {}}, {"namespace", doc::string(key.ns), {}}, {"uid", doc::string(uid), {}}});
      const doc::Value spec = doc::map({{"replicas", *there(state).find_path("spec.replicas"), {}}});
      request.body = doc::to_json(doc::map({{"apiVersion", *state.body.find("apiVersion"), {}}, {"kind", *state.body.find("kind"), {}}, {"metadata", metadata, {}}, {"spec", spec, {}}}));
    } else if (asked_step_ == Step::kDelete) {
      request.method = "DELETE";
      request.content_type = "application/json";
      const doc::Value only = doc::map({{"uid", doc::string(uid), {}}});
      request.body = doc::to_json(doc::map({{"apiVersion", doc::string("v1"), {}}, {"kind", doc::string("DeleteOptions"), {}}, {"propagationPolicy", doc::string("Background"), {}}, {"preconditions", only, {}}}));
    }
    asked_ = key;
    return request;
  }
}

void ObjectKeeper::retry(const ObjectKey& key, State& state, MonotonicTime now) {
  state.not_before = now + std::min(options_.last_retry, options_.first_retry * (int64_t{1} << std::min(state.failures++, 16)));
  enqueue(key, state.not_before);
}

// What an answer other than success means.
void ObjectKeeper::fail(const ObjectKey& key, State& state, const Response& answer, Step asked, Outcome& out, MonotonicTime now) {
  const std::string message = status_message(answer);
  out.message = absl::StrCat(key.str(), ": the API server answered ", message);
  switch (answer.status) {
    case 404:
      if (asked == Step::kApply) break;  // its namespace or its kind
      out.kind = asked == Step::kRead ? Outcome::Kind::kRead : Outcome::Kind::kGone;
      out.message.clear();
      state.observed = state.newest = {};
      state.absent = true;
      compare(key, state, now);
      return;
    case 409:  // it is not the one that we know: look what is there
      out.kind = Outcome::Kind::kConflict;
      state.observed = state.newest = {};
      state.absent = false;
      if (state.wanted) retry(key, state, now);
      return;
    case 400:
    case 422:  // it will not be more valid for being sent again
      out.kind = Outcome::Kind::kRefused;
      state.refused = true;
      state.problem = out.message;
      dequeue(key);
      return;
    default:
      break;
  }
  state.problem = out.message;
  retry(key, state, now);
}

ObjectKeeper::Outcome ObjectKeeper::answered(const absl::StatusOr<Response>& answer, MonotonicTime now) {
  Outcome out;
  if (!asked_) return out;
  const ObjectKey key = *std::exchange(asked_, std::nullopt);
  const Step asked = asked_step_;
  out.object = key;
  const auto found = states_.find(key);
  if (found == states_.end()) return out;
  State& state = found->second;
  if (!answer.ok()) {
    out.message = absl::StrCat(key.str(), ": ", answer.status().message());
    paused_until_ = now + std::min(options_.last_retry, options_.first_retry * (int64_t{1} << std::min(unreached_++, 16)));
    enqueue(key, now);
    return out;
  }
  unreached_ = 0;
  if (asked == Step::kHandOver && (answer->ok() || answer->status == 409)) state.handed = state.hash;
  if (!answer->ok()) {
    fail(key, state, *answer, asked, out, now);
    return out;
  }
  state.failures = 0;
  state.not_before = {};
  if (asked == Step::kDelete) {
    out.kind = Outcome::Kind::kDeleted;
    state.deleted = text_at(there(state), "metadata.uid");
    return out;
  }
  absl::StatusOr<doc::Value> body = doc::parse_json(answer->body, "");
  if (body.ok() && body->find("metadata") != nullptr) {
    state.newest = doc::with(*body, "metadata", doc::without(*body->find("metadata"), "managedFields"));
    state.absent = false;
  }
  out.kind = asked == Step::kRead ? Outcome::Kind::kRead : Outcome::Kind::kApplied;
  if (asked == Step::kApply) {
    const doc::Value& present = there(state);
    const bool left = !(applied_hash(present) == state.hash && covers(present, state.body));
    state.written = left ? xx_hash64(state.hash) : 0;
    state.left = left ? hash_of(present) : 0;
  }
  compare(key, state, now);
  return out;
}

std::map<ObjectKey, std::string> ObjectKeeper::problems() const {
  std::map<ObjectKey, std::string> out;
  for (const auto& [key, state] : states_) {
    if (state.problem.empty() || state.gateway.name.empty()) continue;
    std::string& text = out[state.gateway];
    absl::StrAppend(&text, text.empty() ? "" : "; ", state.problem);
  }
  return out;
}

}  // namespace fairlead::adapters::kubernetes
