// What both kinds of session share: bringing a type up to a snapshot, and settling ACKs and NACKs.
// Rule numbers are those of docs/xds-rules.md.
#include "controlplane/stream/session.h"

#include <algorithm>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "controlplane/resources/xdstp.h"
#include "controlplane/stream/attribution.h"

namespace fairlead::cpstream {
namespace {

const ResourcePtr kNothing;

bool same_bytes(const ResourcePtr& a, const ResourcePtr& b) {
  return a == b || (a && b && a->hash == b->hash && a->version == b->version);
}

}  // namespace

absl::Status check_first_request(const Request& request) {
  if (request.node && !request.node->id.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("the first request of a stream must name its node: node.id is empty");
}

Session::Session(SessionOptions options, NameTable& table, SnapshotPtr snapshot, bool delta)
    : snapshot_(snapshot ? std::move(snapshot) : snapshot::empty_snapshot()), delta_(delta), options_(options), table_(table) {}

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
  if (at == states_.end() || at->type != type) {
    const auto place = at - states_.begin();
    states_.reserve(states_.size() + 1);  // no more than there are: a few, for as long as the stream lives
    at = states_.insert(states_.begin() + place, State(type, options_.legacy_wildcard && resources::is_root(type)));
  }
  for (auto& [ours, theirs] : std::exchange(spellings_, {})) {
    if (!at->spelled) at->spelled = std::make_unique<std::map<std::string, std::string>>();
    if (theirs.empty() || theirs == ours) {
      at->spelled->erase(ours);
    } else {
      at->spelled->insert_or_assign(std::move(ours), std::move(theirs));
    }
  }
  return *at;
}

// Rule 60: names are compared in one form, and answered in the client's.
Output Session::on_request(const Request& request, MonotonicTime now, const SnapshotPtr& latest) {
  const auto plain = [](const std::vector<std::string>& names) { return std::none_of(names.begin(), names.end(), resources::is_xdstp); };
  const bool reports = std::any_of(request.initial_versions.begin(), request.initial_versions.end(), [](const auto& entry) { return resources::is_xdstp(entry.first); });
  if (plain(request.names) && plain(request.unsubscribe) && !reports) return take(request, now, latest);
  Request ours = request;
  const auto rewrite = [this](std::string& name, bool gone) {
    if (!resources::is_xdstp(name)) return;
    std::optional<std::string> canonical = resources::canonical_xdstp(name);
    if (!canonical) return;  // nobody has one of such a name
    spellings_.emplace_back(*canonical, gone ? std::string() : name);
    name = *std::move(canonical);
  };
  for (std::string& name : ours.unsubscribe) rewrite(name, true);
  for (std::string& name : ours.names) rewrite(name, false);
  for (size_t i = 0; i < ours.initial_versions.size(); ++i) {
    if (!resources::is_xdstp(ours.initial_versions[i].first)) continue;
    std::string name(ours.initial_versions[i].first);
    rewrite(name, false);
    ours.initial_versions.rename(i, name);
  }
  Output out = take(ours, now, latest);
  spellings_.clear();
  return out;
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

bool Session::wants(const State& s, const resources::Resource& r) const {
  const auto& aliases = r.envelope.aliases;
  return s.subscription.contains(r.name) || std::any_of(aliases.begin(), aliases.end(), [&](const std::string& alias) { return s.subscription.contains(alias); });
}

const ResourcePtr& Session::has(const State& s, std::string_view name) const {
  const ResourcePtr& found = has_wanted(s, name);
  return found && wants(s, *found) ? found : kNothing;
}

const ResourcePtr& Session::has_wanted(const State& s, std::string_view name) const {
  const Exception* e = exception(s, name);
  const ResourcePtr* found = e ? &e->has : s.sent ? s.sent->find(name) : nullptr;
  return found ? *found : kNothing;
}

bool Session::is_refused(const State& s, const resources::Resource& r) const {
  return std::any_of(s.refused.begin(), s.refused.end(), [&](const auto& entry) { return entry.first == r.name && entry.second == r.hash; });
}

// What the client has, or had before responses under way whose bytes it has refused since. Not what it had before it was taken from it.
ResourcePtr Session::last_good(const State& s, std::string_view name) const {
  ResourcePtr kept = has(s, name);
  if (!kept || !is_refused(s, *kept)) return kept;
  for (auto u = s.unacked.rbegin(); u != s.unacked.rend(); ++u) {
    for (const Item& item : u->items) {
      if (item.name != name) continue;
      if (!item.now || !item.before) return nullptr;
      if (!is_refused(s, *item.before)) return item.before;
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
    return r && r->hash == entry.second && wants(s, *r);
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

Session::Candidates Session::candidates(const State& s, const std::vector<std::string>& forced, const std::vector<snapshot::Step>& steps, Changed changed) const {
  Candidates names;
  names.reserve(forced.size() + steps.size() + s.exceptions.size() + (changed ? changed->size() : 0));
  for (const snapshot::Step& step : steps) names.push_back(step.name());
  if (changed) names.insert(names.end(), changed->begin(), changed->end());
  for (const Exception& e : s.exceptions) names.push_back(e.name);
  names.insert(names.end(), forced.begin(), forced.end());
  if (!std::is_sorted(names.begin(), names.end())) std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (s.subscription.wildcard()) return names;
  const auto by_alias = [&](const TypeSetPtr& set, std::string_view name) {
    const ResourcePtr* found = set && set->aliased() ? set->find(name) : nullptr;
    return found && wants(s, **found);
  };
  const auto others = [&](std::string_view name) { return !s.subscription.contains(name) && !by_alias(s.sent, name) && !by_alias(snapshot_->set(s.type), name); };
  names.erase(std::remove_if(names.begin(), names.end(), others), names.end());
  return names;
}

// Not while the type waits for its sources, for ACKs, or has nothing to say.
bool Session::may_bring(State& s, MonotonicTime now) {
  if (options_.incomplete && s.held) return false;
  if (!options_.incomplete && s.held) s.held = false;
  if (kept_is_due(s, now)) {
    for (std::string& name : s.kept.take()) {
      if (!snapshot_->find(s.type, name)) s.forced.own().push_back(std::move(name));
    }
  }
  if (s.sent == snapshot_->set(s.type) && s.forced.empty() && s.exceptions.empty() && !s.reply) return false;
  return s.unacked.size() < options_.max_unacked || !s.forced.empty() || s.reply;
}

// What a client may have from before it came, and nobody has any more. A cluster goes when what it knew of that names it has had time to change.
void Session::take_back(State& s, std::string_view name, MonotonicTime now, std::vector<Item>& items) {
  if (s.type != Type::kCluster) return items.push_back({name, nullptr, nullptr});
  s.kept.own().emplace_back(name);
  s.kept_until = now + options_.warming_grace;
}

void Session::bring(State& s, MonotonicTime now, Output& out, Changed changed) {
  if (!may_bring(s, now)) {
    s.behind |= s.sent != snapshot_->set(s.type);
    return;
  }
  const TypeSetPtr& target = snapshot_->set(s.type);
  if (s.behind || !s.sent) changed.reset();
  std::vector<std::string> forced = s.forced.take();
  if (!std::is_sorted(forced.begin(), forced.end())) std::sort(forced.begin(), forced.end());
  // Everything a candidate's name may point into lives to the end of this function: `forced`, the steps and the old state.
  std::vector<snapshot::Step> copied;
  const std::vector<snapshot::Step>* steps = s.sent && !changed ? target->steps_from(s.sent) : &copied;
  if (!steps) {
    copied = snapshot::TypeSet::diff(s.sent, target);
    steps = &copied;
  }
  std::vector<Item> items;
  std::vector<Exception> exceptions;
  auto next_forced = forced.begin();  // both lists are sorted
  const Candidates names = candidates(s, forced, *steps, changed);
  target->expect(names.size());
  const bool by_alias = target->aliased() || (s.sent && s.sent->aliased());  // then it may not subscribe to what it has of a candidate's name
  for (std::string_view name : names) {
    while (next_forced != forced.end() && *next_forced < name) ++next_forced;
    const bool force = next_forced != forced.end() && *next_forced == name;
    const ResourcePtr* in_target = target->find(name);
    const ResourcePtr& before = !s.sent ? kNothing : by_alias ? has(s, name) : has_wanted(s, name);
    const ResourcePtr want = wanted(s, name, in_target);
    const Exception* old = exception(s, name);
    // The client refused what there was of this name, and what it has had of it since before it came is not known.
    const bool unknown = delta_ && old && !old->has && !old->held && !in_target && s.type != Type::kExtensionConfig;
    const bool left_out = unknown && snapshot_->leaves_out(s.type, name);
    const bool outdated = std::find(s.outdated.begin(), s.outdated.end(), name) != s.outdated.end();
    const ResourcePtr* after = &want;
    bool withheld = false, held = false;
    const MonotonicTime since = old && (old->withheld || old->held) ? old->since : now;
    if (before && !want) {
      withheld = must_wait(s, *before, since, now);
      if (withheld) {
        after = &before;
      } else if (delta_ || resources::is_root(s.type)) {
        items.push_back({name, nullptr, before});
      }  // rule 43: in state of the world, other types are removed with what names them
    } else if (want && (force || !same_bytes(before, want))) {
      held = (before || outdated) && !same_bytes(before, want) && must_hold(s, *want, before.get(), since, now);
      if (held) after = &before;
      if (!held || (force && before)) items.push_back({name, *after, before});
      if (!held && outdated) std::erase(s.outdated.own(), name);
    } else if (!want && delta_ && ((force && s.type != Type::kExtensionConfig) || outdated)) {
      // Rule 46. Not for filters that the client never had: Envoy 1.40 would take that for an answer, wait for the filter for ever, and not start.
      items.push_back({name, nullptr, nullptr});
      if (outdated) std::erase(s.outdated.own(), name);
    } else if (unknown && !left_out) {
      take_back(s, name, now, items);
    }
    const bool as_target = in_target ? same_bytes(*after, *in_target) : !*after && !left_out;
    if (!as_target) exceptions.push_back({std::string(name), *after, withheld, held, since});
  }
  const TypeSetPtr previous = std::exchange(s.sent, target);  // names of items may be its
  s.behind = false;
  const std::vector<Exception> old_exceptions = s.exceptions.take();  // names of items may be theirs
  s.exceptions.set(std::move(exceptions));
  if (!items.empty() || s.reply) respond(s, std::move(items), now, out);
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
  if (s.error && !refusal_stands(s)) s.error.reset();
  out.acceptances.push_back({s.type, std::move(response.set), std::move(response.version)});
  return true;
}

void Session::refuse(State& s, Unacked response, const Request& request, MonotonicTime now, Output& out) {
  Refusal refusal{s.type, *response.version, absl::StrCat(response.nonce), *request.error, {}, false};
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
    if (!is_refused(s, *r)) s.refused.own().emplace_back(r->name, r->hash);
    refusal.at_fault.push_back(r);
  }
  for (Item& item : response.items) {
    if (!item.now) continue;  // a removal is not refused again and again: it counts as done
    const std::string name(item.name);
    // Of listeners and clusters Envoy applies the good ones, others do not: they count as had, and are sent once more.
    if (refusal.named && resources::is_root(s.type) && !is_refused(s, *item.now)) {
      s.forced.own().push_back(name);
      continue;
    }
    except(s, name, after_outstanding(s, name, item.before, response.nonce), now);
  }
  // What a client refuses it does not have, whatever was believed while responses were under way.
  auto correct = [&](std::string_view name) {
    const ResourcePtr believed = has(s, name);
    if (believed && is_refused(s, *believed)) except(s, name, last_good(s, name), now);
  };
  for (const ResourcePtr& r : refusal.at_fault) correct(r->name);
  for (const Item& item : response.items) correct(item.name);
  s.error = std::make_unique<const std::string>(*request.error);
  s.error_at = now;
  out.refusals.push_back(std::move(refusal));
}

// What the client will have of a name once it has taken all that was sent after `nonce`, if it has `has` now. On the way it is set right what those
// responses replace.
ResourcePtr Session::after_outstanding(State& s, std::string_view name, ResourcePtr has, uint64_t nonce) {
  const auto named = [name](auto& list, const auto& name_of) {
    const auto at = std::lower_bound(list.begin(), list.end(), name, [&](const auto& entry, std::string_view n) { return name_of(entry) < n; });
    return at != list.end() && name_of(*at) == name ? &*at : nullptr;
  };
  const bool complete = !delta_ && resources::is_root(s.type);  // what is not in them is deleted
  for (Unacked& u : s.unacked) {
    if (u.nonce < nonce) continue;
    Item* item = named(u.items, [](const Item& i) { return i.name; });
    if (item && item->now) item->before = has;
    if (!item && !complete) continue;
    ResourcePtr carried = item ? item->now : nullptr;
    if (const ResourcePtr* one = item ? nullptr : named(u.whole, [](const ResourcePtr& r) { return std::string_view(r->name); })) carried = *one;
    if (!carried) {
      has = nullptr;
    } else if (!is_refused(s, *carried)) {
      has = std::move(carried);
    }
  }
  return has;
}

void Session::except(State& s, std::string_view name, ResourcePtr has, MonotonicTime now) {
  std::vector<Exception>& exceptions = s.exceptions.own();
  auto at = std::lower_bound(exceptions.begin(), exceptions.end(), name, [](const Exception& e, std::string_view n) { return e.name < n; });
  if (at != exceptions.end() && at->name == name) {
    at->has = std::move(has);
  } else {
    exceptions.insert(at, {std::string(name), std::move(has), false, false, now});
  }
}

void Session::force_everything(State& s, const Settled& but) {
  const TypeSetPtr& set = snapshot_->set(s.type);
  std::vector<std::string>& forced = s.forced.own();
  if (but.empty()) forced.reserve(forced.size() + set->size());
  set->for_each([&](const ResourcePtr& r) {
    if (!but.contains(r->name)) forced.push_back(r->name);
  });
}

void Session::force(State& s, const std::vector<std::string>& names, const Settled& but) {
  const TypeSetPtr& set = snapshot_->set(s.type);
  for (const std::string& name : names) {
    if (but.contains(name)) continue;
    bool meant = false;
    const auto take = [&](const std::string& resource) {
      meant = true;
      if (!but.contains(resource)) s.forced.own().push_back(resource);
    };
    if (resources::is_glob(name)) {
      set->for_each([&](const ResourcePtr& r) {
        if (resources::is_xdstp(r->name) && resources::glob_of(r->name) == name) take(r->name);
      });
    } else if (set->aliased() && !set->find(name)) {
      if (const ResourcePtr r = set->find_alias(name)) take(r->name);
    }
    if (!meant) s.forced.own().push_back(name);
  }
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

Output Session::on_snapshot(SnapshotPtr snapshot, MonotonicTime now, Changed endpoints) {
  Output out;
  last_now_ = now;
  if (!snapshot) return out;
  snapshot_ = std::move(snapshot);
  // rules 54 and 58: all types, in push order
  for (State& s : states_) bring(s, now, out, s.type == Type::kEndpoint && s.subscription.by_name_alone() ? endpoints : std::nullopt);
  release(now, out);
  return out;
}

Output Session::on_time(MonotonicTime now) {
  Output out;
  last_now_ = now;
  release(now, out);
  for (State& s : states_) {
    if (s.beat_at != MonotonicTime{} && now >= s.beat_at) beat(s, now, out);
  }
  return out;
}

std::optional<MonotonicTime> Session::deadline() const {
  std::optional<MonotonicTime> first;
  for (const State& s : states_) {
    if (s.beat_at != MonotonicTime{} && (!first || s.beat_at < *first)) first = s.beat_at;
    if (!options_.incomplete && !s.kept.empty() && s.kept_until > last_now_ && (!first || s.kept_until < *first)) first = s.kept_until;
    for (const Exception& e : s.exceptions) {
      if (!e.held && !(e.withheld && s.type == Type::kCluster)) continue;
      const MonotonicTime at = e.since + (e.held ? options_.warming_grace : options_.removal_grace);
      if (at > last_now_ && (!first || at < *first)) first = at;
    }
  }
  return first;
}

}  // namespace fairlead::cpstream
