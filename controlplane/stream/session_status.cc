// What is asked of a session: its state, and what its client has. Nothing here changes anything.
#include <algorithm>
#include <map>
#include <set>

#include "controlplane/resources/xdstp.h"
#include "controlplane/stream/session.h"

namespace fairlead::cpstream {

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
  if (s->sent_version) status.sent_version = *s->sent_version;
  if (s->accepted_version) status.accepted_version = *s->accepted_version;
  if (s->error) status.error = *s->error;
  status.error_at = s->error_at;
  status.sent_at = s->sent_at;
  status.wildcard = s->subscription.wildcard();
  status.names = s->subscription.names() ? s->subscription.names()->size() : 0;
  status.withheld = static_cast<size_t>(std::count_if(s->exceptions.begin(), s->exceptions.end(), [](const auto& e) { return e.withheld; }));
  status.kept = s->kept.size();
  status.held = s->held;
  status.refused = s->refused.all();
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
    if (r && wants(*s, *r)) out.push_back(r);
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

std::vector<ResourceState> Session::resources(Type type, const snapshot::Snapshot& wanted) const {
  std::map<std::string, ResourceState> by_name;
  const State* s = find(type);
  if (!s || !s->started) return {};
  for (ResourcePtr& r : sent(type)) by_name[r->name].has = std::move(r);
  if (s->subscription.wildcard()) wanted.of(type).for_each([&](const ResourcePtr& r) { by_name[r->name].wanted = r; });
  for (std::string& name : subscribed(type)) {
    if (resources::is_glob(name)) {
      wanted.of(type).for_each([&](const ResourcePtr& r) {
        if (wants(*s, *r)) by_name[r->name].wanted = r;
      });
    } else if (const ResourcePtr r = wanted.find(type, name) ? nullptr : wanted.of(type).find_alias(name)) {
      by_name[r->name].wanted = r;
    } else {
      by_name[std::move(name)];
    }
  }
  std::set<std::string_view> underway;
  for (const Unacked& u : s->unacked) {
    for (const Item& item : u.items) underway.insert(item.name);
  }
  std::vector<ResourceState> out;
  for (auto& [name, state] : by_name) {
    if (!state.wanted) state.wanted = wanted.find(type, name);
    state.name = name;
    state.unanswered = underway.contains(name);
    state.refused = state.wanted && is_refused(*s, *state.wanted);
    out.push_back(std::move(state));
  }
  return out;
}

}  // namespace fairlead::cpstream
