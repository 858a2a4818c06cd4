// What both kinds of session share: bringing a type up to a snapshot, and settling ACKs and NACKs.
// Rule numbers are those of reference/controlplane.md, section 1.
#include "controlplane/stream/session.h"

#include <algorithm>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "controlplane/stream/attribution.h"

namespace fairlead::cpstream {
namespace {

bool same_bytes(const ResourcePtr& a, const ResourcePtr& b) {
  return a == b || (a && b && a->hash == b->hash && a->version == b->version);
}

}  // namespace

absl::Status check_first_request(const Request& request) {
  if (request.node && !request.node->id.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("the first request of a stream must name its node: node.id is empty");
}

Session::Session(SessionOptions options, NameTable& table, SnapshotPtr snapshot, bool delta)
    : options_(options), table_(table), snapshot_(snapshot ? std::move(snapshot) : snapshot::empty_snapshot()), delta_(delta) {}

// --- states ------------------------------------------------------------------------------------------------------

const Session::State* Session::find(Type type) const {
  for (const State& s : states_) {
    if (s.type == type) return &s;
  }
  return nullptr;
}

Session::State* Session::find(Type type) { return const_cast<State*>(std::as_const(*this).find(type)); }

Session::State& Session::open(Type type) {
  auto at = std::find_if(states_.begin(), states_.end(), [type](const State& s) { return s.type >= type; });
  if (at != states_.end() && at->type == type) return *at;
  const auto place = at - states_.begin();
  states_.reserve(states_.size() + 1);  // no more than there are: a few, for as long as the stream lives
  return *states_.insert(states_.begin() + place, State(type, options_.legacy_wildcard && resources::is_root(type)));
}

absl::StatusOr<std::optional<Type>> Session::type_of(const Request& request) {
  if (options_.only) {
    if (request.type_url.empty() || request.type_url == resources::type_url(*options_.only)) return std::optional<Type>(*options_.only);
    return absl::InvalidArgumentError(
        absl::StrCat("this service serves ", resources::type_url(*options_.only), ", not ", request.type_url));
  }
  if (request.type_url.empty()) return absl::InvalidArgumentError("a request on an aggregated stream must have a type_url");
  std::optional<Type> type = resources::type_from_url(request.type_url);
  if (!type) ++ignored_;  // rule 5: held, not refused
  return type;
}

void Session::observe_node(const Request& request) {
  if (!request.node || request.node->id.empty()) return;
  if (node_id_.empty()) {
    node_id_ = request.node->id;
  } else if (node_id_ != request.node->id) {
    ++ignored_;  // rule 3: the first one stays
  }
}

// --- what the client has, and shall have ----------------------------------------------------------------------------

const Session::Exception* Session::exception(const State& s, std::string_view name) const {
  if (s.exceptions.empty()) return nullptr;
  auto at = std::lower_bound(s.exceptions.begin(), s.exceptions.end(), name, [](const Exception& e, std::string_view n) { return e.name < n; });
  return at != s.exceptions.end() && at->name == name ? &*at : nullptr;
}

ResourcePtr Session::has(const State& s, std::string_view name) const {
  if (!s.subscription.contains(name)) return nullptr;
  if (const Exception* e = exception(s, name)) return e->has;
  const ResourcePtr* found = s.sent ? s.sent->find(name) : nullptr;
  return found ? *found : nullptr;
}

bool Session::is_refused(const State& s, const resources::Resource& r) const {
  return std::any_of(s.refused.begin(), s.refused.end(), [&](const auto& entry) { return entry.first == r.name && entry.second == r.hash; });
}

// What the client has, or had before responses under way whose bytes it has refused since.
ResourcePtr Session::last_good(const State& s, std::string_view name) const {
  ResourcePtr kept = has(s, name);
  if (!kept || !is_refused(s, *kept)) return kept;
  for (auto u = s.unacked.rbegin(); u != s.unacked.rend(); ++u) {
    for (const Item& item : u->items) {
      if (item.name == name && item.before && !is_refused(s, *item.before)) return item.before;
    }
  }
  return nullptr;
}

// The snapshot's resource, unless this client refused those bytes: then its last good one (rule 22).
ResourcePtr Session::wanted(const State& s, std::string_view name, const ResourcePtr* in_snapshot) const {
  if (!in_snapshot) return nullptr;
  if (s.refused.empty() || !is_refused(s, **in_snapshot)) return *in_snapshot;
  return last_good(s, name);
}

bool Session::refusal_stands(const State& s) const {
  return std::any_of(s.refused.begin(), s.refused.end(), [&](const auto& entry) {
    const ResourcePtr r = snapshot_->find(s.type, entry.first);
    return r && r->hash == entry.second && s.subscription.contains(entry.first);
  });
}

// Make before break: a removed cluster waits until no route table or listener the client may still use names it, but not
// longer than the grace, except for one the client fell back to; likewise a filter configuration until no listener names it, without
// which requests would get 500; an assignment waits for its cluster.
bool Session::must_wait(const State& s, const resources::Resource& r, MonotonicTime since, MonotonicTime now) const {
  auto names_it = [&](const resources::Resource& other) {
    return std::find(other.references.begin(), other.references.end(), resources::Reference{s.type, r.name}) != other.references.end();
  };
  if (s.type == Type::kEndpoint) {
    const State* clusters = find(Type::kCluster);
    if (!clusters || !clusters->sent) return false;
    return clusters->sent->refers_to(s.type, r.name) ||
           std::any_of(clusters->exceptions.begin(), clusters->exceptions.end(), [&](const Exception& e) { return e.has && names_it(*e.has); });
  }
  if (s.type != Type::kCluster && s.type != Type::kExtensionConfig) return false;
  const bool in_time = now < since + options_.removal_grace;
  for (Type user : {Type::kListener, Type::kRoute, Type::kScopedRoute, Type::kVirtualHost}) {
    const State* u = find(user);
    if (!u || !u->sent) continue;
    for (const Exception& e : u->exceptions) {
      if (e.has && names_it(*e.has)) return true;
    }
    if (!in_time) continue;
    if (u->sent->refers_to(s.type, r.name)) return true;
    // What is outstanding may be refused, and then what was before it is used on.
    if (u->unacked.empty()) continue;
    if (u->accepted && u->accepted->refers_to(s.type, r.name)) return true;
    for (const Unacked& outstanding : u->unacked) {
      if (outstanding.set->refers_to(s.type, r.name)) return true;
      for (const Item& item : outstanding.items) {
        if (item.before && names_it(*item.before)) return true;
      }
    }
  }
  return false;
}

// Make before break, the other way round: what is in use is not replaced by what names a cluster that the client has not got
// with its endpoints, or requests would fail until they come. Not waited for: clusters it does not subscribe to (gRPC asks for
// them once it has the table), what it has refused, and assignments that do not come from here. `in_use` is null when its
// bytes are not known: the client has it from before it connected.
bool Session::must_hold(const State& s, const resources::Resource& r, const resources::Resource* in_use, MonotonicTime since,
                        MonotonicTime now) const {
  if (s.type < Type::kListener || s.type > Type::kVirtualHost || now >= since + options_.warming_grace) return false;
  const State* clusters = find(Type::kCluster);
  if (!clusters || !clusters->sent) return false;
  const State* endpoints = find(Type::kEndpoint);
  for (const resources::Reference& ref : r.references) {
    if (ref.type != Type::kCluster || !clusters->subscription.contains(ref.name)) continue;
    if (in_use && std::binary_search(in_use->references.begin(), in_use->references.end(), ref)) continue;  // named already
    const ResourcePtr cluster = snapshot_->find(Type::kCluster, ref.name);
    if (!cluster || is_refused(*clusters, *cluster)) continue;
    if (!has(*clusters, ref.name)) return true;
    for (const resources::Reference& need : cluster->references) {
      const ResourcePtr assignment = snapshot_->find(need.type, need.name);
      if (need.type != Type::kEndpoint || !assignment || (endpoints && is_refused(*endpoints, *assignment))) continue;
      if (!endpoints || !has(*endpoints, need.name)) return true;
    }
  }
  return false;
}

// --- bringing a type up to the snapshot ---------------------------------------------------------------------------

std::vector<std::string_view> Session::candidates(const State& s, const std::vector<std::string>& forced, const std::vector<snapshot::Step>& steps,
                                                  const std::vector<std::string_view>* changed) const {
  std::vector<std::string_view> names;
  names.reserve(forced.size() + steps.size() + s.exceptions.size() + (changed ? changed->size() : 0));
  for (const snapshot::Step& step : steps) names.push_back(step.name());
  if (changed) names.insert(names.end(), changed->begin(), changed->end());
  for (const Exception& e : s.exceptions) names.push_back(e.name);
  names.insert(names.end(), forced.begin(), forced.end());
  if (!std::is_sorted(names.begin(), names.end())) std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (!s.subscription.wildcard()) std::erase_if(names, [&](std::string_view name) { return !s.subscription.contains(name); });
  return names;
}

// Not while the type waits for its sources, for ACKs, or has nothing to say.
bool Session::may_bring(State& s, MonotonicTime now) {
  if (options_.incomplete && s.held) return false;
  if (!options_.incomplete && s.held) s.held = false;
  if (kept_is_due(s, now)) {
    for (std::string& name : s.kept) {
      if (!snapshot_->find(s.type, name)) s.forced.push_back(std::move(name));
    }
    s.kept = {};
  }
  if (s.sent == snapshot_->set(s.type) && s.forced.empty() && s.exceptions.empty() && !s.reply) return false;
  return s.unacked.size() < options_.max_unacked || !s.forced.empty() || s.reply;
}

void Session::bring(State& s, MonotonicTime now, Output& out, const std::vector<std::string_view>* changed) {
  const TypeSetPtr target = snapshot_->set(s.type);
  if (!may_bring(s, now)) {
    s.behind |= s.sent != target;
    return;
  }
  if (s.behind || !s.sent) changed = nullptr;
  std::vector<std::string> forced = std::exchange(s.forced, {});
  if (!std::is_sorted(forced.begin(), forced.end())) std::sort(forced.begin(), forced.end());
  // Everything a candidate's name may point into lives to the end of this function: `forced`, the steps and the old state.
  const TypeSetPtr previous = s.sent;
  std::vector<snapshot::Step> copied;
  const std::vector<snapshot::Step>* steps = previous && !changed ? target->steps_from(previous) : &copied;
  if (!steps) {
    copied = snapshot::TypeSet::diff(previous, target);
    steps = &copied;
  }
  std::vector<Item> items;
  std::vector<Exception> exceptions;
  auto next_forced = forced.begin();  // both lists are sorted
  for (std::string_view name : candidates(s, forced, *steps, changed)) {
    while (next_forced != forced.end() && *next_forced < name) ++next_forced;
    const bool force = next_forced != forced.end() && *next_forced == name;
    const ResourcePtr* in_target = target->find(name);
    const ResourcePtr before = previous ? has(s, name) : nullptr;
    const ResourcePtr want = wanted(s, name, in_target);
    const Exception* old = exception(s, name);
    const auto outdated = std::find(s.outdated.begin(), s.outdated.end(), name);
    ResourcePtr after = want;
    bool withheld = false, held = false;
    const MonotonicTime since = old && (old->withheld || old->held) ? old->since : now;
    if (before && !want) {
      withheld = must_wait(s, *before, since, now);
      if (withheld) {
        after = before;
      } else if (delta_ || resources::is_root(s.type)) {
        items.push_back({name, nullptr, before});
      }  // rule 43: in state of the world, other types are removed with what names them
    } else if (want && (force || !same_bytes(before, want))) {
      held = (before || outdated != s.outdated.end()) && !same_bytes(before, want) && must_hold(s, *want, before.get(), since, now);
      if (held) after = before;
      if (!held || (force && before)) items.push_back({name, after, before});
      if (!held && outdated != s.outdated.end()) s.outdated.erase(outdated);
    } else if (!want && delta_ && ((force && s.type != Type::kExtensionConfig) || outdated != s.outdated.end())) {
      // Rule 46. Not for filters that the client never had: Envoy 1.40 would take that for an answer, wait for the filter for ever, and not start.
      items.push_back({name, nullptr, nullptr});
      if (outdated != s.outdated.end()) s.outdated.erase(outdated);
    }
    const bool as_target = in_target ? same_bytes(after, *in_target) : !after;
    if (!as_target) exceptions.push_back({std::string(name), after, withheld, held, since});
  }
  s.sent = target;
  s.behind = false;
  s.exceptions.swap(exceptions);
  if (!items.empty() || s.reply) respond(s, std::move(items), now, out);
}

Session::Unacked& Session::issue(State& s, std::string version, MonotonicTime now) {
  Unacked u;
  u.nonce = s.last_nonce = next_nonce_++;
  u.version = s.sent_version = std::move(version);
  std::vector<ResourcePtr> instead;  // of what is held back the client goes on with what it has
  std::vector<std::string> unknown;
  for (const Exception& e : s.exceptions) {
    if (e.held && !e.has) unknown.push_back(e.name);
    if (e.held && e.has) instead.push_back(e.has);
  }
  u.set = instead.empty() && unknown.empty() ? s.sent : snapshot::TypeSet::update(s.sent, instead, unknown);
  s.sent_at = now;
  s.unacked.push_back(std::move(u));
  return s.unacked.back();
}

void Session::respond(State& s, std::vector<Item> items, MonotonicTime now, Output& out) {
  force_dependents(s, items);
  if (delta_) return respond_delta(s, std::move(items), now, out);
  Response response;
  response.type = s.type;
  std::string version = s.sent->version();
  if (!resources::is_root(s.type)) {
    for (const Item& item : items) response.resources.push_back(item.now);
  } else {
    response.resources = sent(s.type);  // rule 41
    // What differs from the snapshot differs in its version too, but a verbatim one is the author's word.
    if (!s.exceptions.empty() && !s.sent->verbatim()) {
      ContentHasher hasher;
      for (const Exception& e : s.exceptions) hasher.add_field(e.name).add_field(e.has ? e.has->version : "");
      absl::StrAppend(&version, "-", hex64(hasher.finish().low).substr(0, 8));
    }
  }
  s.reply = false;
  Unacked& u = issue(s, std::move(version), now);
  for (Item& item : items) item.name = item.now ? item.now->name : item.before->name;
  u.items = std::move(items);
  if (resources::is_root(s.type)) u.whole = response.resources;
  response.version = u.version;
  response.nonce = absl::StrCat(u.nonce);
  out.responses.push_back(std::move(response));
}

void Session::respond_delta(State& s, std::vector<Item> items, MonotonicTime now, Output& out) {
  s.reply = false;
  size_t next = 0;
  do {  // once even without items: rule 49
    Response response;
    response.type = s.type;
    Unacked& u = issue(s, s.sent->version(), now);
    size_t bytes = 0;
    for (; next < items.size(); ++next) {
      Item& item = items[next];
      const size_t size = item.now ? item.now->delta_frame.size() : item.name.size() + 4;
      if (bytes > 0 && bytes + size > options_.max_delta_bytes) break;
      bytes += size;
      if (item.now) {
        response.resources.push_back(item.now);
      } else {
        response.removed.emplace_back(item.name);
      }
      if (!item.now && !item.before) continue;  // the name alone was answered: nothing to settle
      item.name = item.now ? item.now->name : item.before->name;
      u.items.push_back(std::move(item));
    }
    response.version = u.version;
    response.nonce = absl::StrCat(u.nonce);
    out.responses.push_back(std::move(response));
  } while (next < items.size());
}

// Rules 55 and 56: what a sent resource names is sent again after it, or a client that starts to warm it waits for ever.
void Session::force_dependents(const State& from, const std::vector<Item>& items) {
  for (const Item& item : items) {
    if (!item.now) continue;
    for (const resources::Reference& ref : item.now->references) {
      if (ref.type <= from.type) continue;
      State* s = find(ref.type);
      if (s && s->started && s->subscription.names_explicitly(ref.name) && s->sent) s->forced.push_back(ref.name);
    }
  }
}

// --- requests ------------------------------------------------------------------------------------------------------

bool Session::issued(std::string_view nonce) const {
  uint64_t value = 0;
  return absl::SimpleAtoi(nonce, &value) && value > 0 && value < next_nonce_;
}

bool Session::settle(State& s, const Request& request, MonotonicTime now, Output& out) {
  uint64_t nonce = 0;
  if (!absl::SimpleAtoi(request.nonce, &nonce)) return false;
  auto at = std::find_if(s.unacked.begin(), s.unacked.end(), [nonce](const Unacked& u) { return u.nonce == nonce; });
  if (at == s.unacked.end()) return false;
  Unacked response = std::move(*at);
  if (request.error) {  // rule 19
    s.unacked.erase(at);
    refuse(s, std::move(response), request, now, out);
    return true;
  }
  s.unacked.erase(s.unacked.begin(), at + 1);
  if (s.unacked.empty()) s.unacked.shrink_to_fit();
  s.accepted = response.set;
  s.accepted_version = response.version;
  if (!s.error.empty() && !refusal_stands(s)) s.error.clear();
  out.acceptances.push_back({s.type, std::move(response.set), std::move(response.version)});
  return true;
}

void Session::refuse(State& s, Unacked response, const Request& request, MonotonicTime now, Output& out) {
  Refusal refusal{s.type, response.version, absl::StrCat(response.nonce), *request.error, {}, false};
  std::vector<ResourcePtr> changed;
  for (const Item& item : response.items) {
    if (item.now) changed.push_back(item.now);
  }
  // A complete response may be refused for what an earlier one brought, which was then not known to be refused.
  const std::vector<ResourcePtr>& carried = response.whole.empty() ? changed : response.whole;
  std::vector<std::string> names;
  for (const ResourcePtr& r : carried) names.push_back(r->name);
  std::vector<std::string> named = named_by(*request.error, names);
  std::sort(named.begin(), named.end());
  refusal.named = !named.empty();
  for (const ResourcePtr& r : refusal.named ? carried : changed) {
    if (refusal.named && !std::binary_search(named.begin(), named.end(), r->name)) continue;
    if (!is_refused(s, *r)) s.refused.emplace_back(r->name, r->hash);
    refusal.at_fault.push_back(r);
  }
  for (Item& item : response.items) {
    if (!item.now) continue;  // a removal is not refused again and again: it counts as done
    const std::string name(item.name);
    // Of listeners and clusters Envoy applies the good ones, others do not: they count as had, and are sent once more.
    if (refusal.named && resources::is_root(s.type) && !is_refused(s, *item.now)) {
      s.forced.push_back(name);
      continue;
    }
    // The client still has what it had, unless a later response has changed that since.
    bool later = false;
    for (Unacked& u : s.unacked) {
      if (u.nonce < response.nonce) continue;
      for (Item& next : u.items) {
        if (next.name != name || later) continue;
        if (next.now) next.before = item.before;
        later = true;
      }
    }
    if (!later) except(s, name, item.before, now);
  }
  // What a client refuses it does not have, whatever was believed while responses were under way.
  auto correct = [&](std::string_view name) {
    const ResourcePtr believed = has(s, name);
    if (believed && is_refused(s, *believed)) except(s, name, last_good(s, name), now);
  };
  for (const ResourcePtr& r : refusal.at_fault) correct(r->name);
  for (const Item& item : response.items) correct(item.name);
  s.error = *request.error;
  s.error_at = now;
  out.refusals.push_back(std::move(refusal));
}

void Session::except(State& s, std::string_view name, ResourcePtr has, MonotonicTime now) {
  auto at = std::lower_bound(s.exceptions.begin(), s.exceptions.end(), name, [](const Exception& e, std::string_view n) { return e.name < n; });
  if (at != s.exceptions.end() && at->name == name) {
    at->has = std::move(has);
  } else {
    s.exceptions.insert(at, {std::string(name), std::move(has), false, false, now});
  }
}

void Session::force_everything(State& s) {
  s.forced.reserve(s.forced.size() + snapshot_->of(s.type).size());
  snapshot_->of(s.type).for_each([&](const ResourcePtr& r) { s.forced.push_back(r->name); });
}

void Session::answer(State& s, MonotonicTime now, Output& out) {
  last_now_ = now;
  bring(s, now, out);
  for (State& other : states_) {
    if (&other != &s && !other.forced.empty()) bring(other, now, out);
  }
  release(now, out);
}

// Brings the types of which something waits: for an ACK, for what another type has to bring first, or for its time to be up.

void Session::release(MonotonicTime now, Output& out) {
  for (State& s : states_) {
    const bool waits = std::any_of(s.exceptions.begin(), s.exceptions.end(), [](const Exception& e) { return e.withheld || e.held; });
    if (waits || kept_is_due(s, now)) bring(s, now, out);
  }
}

// --- snapshots and time ----------------------------------------------------------------------------------------------

Output Session::on_snapshot(SnapshotPtr snapshot, MonotonicTime now, const std::vector<std::string_view>* endpoints) {
  Output out;
  last_now_ = now;
  if (!snapshot) return out;
  snapshot_ = std::move(snapshot);
  // rules 54 and 58: all types, in push order
  for (State& s : states_) bring(s, now, out, s.type == Type::kEndpoint && !s.subscription.wildcard() ? endpoints : nullptr);
  release(now, out);
  return out;
}

Output Session::on_time(MonotonicTime now) {
  Output out;
  last_now_ = now;
  release(now, out);
  return out;
}

std::optional<MonotonicTime> Session::deadline() const {
  std::optional<MonotonicTime> first;
  for (const State& s : states_) {
    if (!options_.incomplete && !s.kept.empty() && s.kept_until > last_now_ && (!first || s.kept_until < *first)) first = s.kept_until;
    for (const Exception& e : s.exceptions) {
      if (!e.held && !(e.withheld && s.type == Type::kCluster)) continue;
      const MonotonicTime at = e.since + (e.held ? options_.warming_grace : options_.removal_grace);
      if (at > last_now_ && (!first || at < *first)) first = at;
    }
  }
  return first;
}

// --- inspection --------------------------------------------------------------------------------------------------------

TypeStatus Session::status(Type type) const {
  TypeStatus status;
  const State* s = find(type);
  if (!s || !s->started) return status;
  using enum TypeStatus::State;
  if (refusal_stands(*s)) {
    status.state = kError;
  } else if (s->last_nonce == 0 && !s->accepted) {
    status.state = kNotSent;
  } else if (!s->unacked.empty() || s->sent != snapshot_->set(type) ||
             std::any_of(s->exceptions.begin(), s->exceptions.end(), [](const Exception& e) { return e.held; })) {
    status.state = kStale;
  } else {
    status.state = kSynced;
  }
  status.sent_version = s->sent_version;
  status.accepted_version = s->accepted_version;
  status.error = s->error;
  status.error_at = s->error_at;
  status.sent_at = s->sent_at;
  status.wildcard = s->subscription.wildcard();
  status.names = s->subscription.names() ? s->subscription.names()->size() : 0;
  status.withheld = static_cast<size_t>(std::count_if(s->exceptions.begin(), s->exceptions.end(), [](const auto& e) { return e.withheld; }));
  status.kept = s->kept.size();
  status.held = s->held;
  status.refused = s->refused;
  return status;
}

ResourcePtr Session::client_has(Type type, std::string_view name) const {
  const State* s = find(type);
  return s ? has(*s, name) : nullptr;
}

ResourcePtr Session::client_accepted(Type type, std::string_view name) const {
  const State* s = find(type);
  if (!s) return nullptr;
  for (const Unacked& u : s->unacked) {  // the oldest that speaks of the name knows what was before
    for (const Item& item : u.items) {
      if (item.name == name) return item.before;
    }
  }
  return has(*s, name);
}

std::vector<std::string> Session::subscribed(Type type) const {
  const State* s = find(type);
  return s && s->subscription.names() ? s->subscription.names()->texts() : std::vector<std::string>{};
}

std::vector<ResourcePtr> Session::sent(Type type) const {
  std::vector<ResourcePtr> out;
  const State* s = find(type);
  if (!s || !s->sent) return out;
  auto exception_at = s->exceptions.begin();
  auto add = [&](const ResourcePtr& r) {
    if (r && s->subscription.contains(r->name)) out.push_back(r);
  };
  s->sent->for_each([&](const ResourcePtr& r) {  // both in name order
    while (exception_at != s->exceptions.end() && exception_at->name < r->name) add((exception_at++)->has);
    if (exception_at != s->exceptions.end() && exception_at->name == r->name) {
      add((exception_at++)->has);
    } else {
      add(r);
    }
  });
  while (exception_at != s->exceptions.end()) add((exception_at++)->has);
  return out;
}

}  // namespace fairlead::cpstream
