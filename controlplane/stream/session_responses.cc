// How a session says what it has found to say: complete or by what changed, in parts, with times to live, under the names that the client uses.
// Rule numbers are those of docs/xds-rules.md.
#include <algorithm>
#include <iterator>
#include <utility>

#include <absl/strings/str_cat.h>

#include "controlplane/resources/resource.h"
#include "controlplane/stream/session.h"

namespace fairlead::cpstream {

Session::Unacked& Session::issue(State& s, Version version, MonotonicTime now) {
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
  Version version = s.sent->shared_version();
  if (!resources::is_root(s.type)) {
    for (const Item& item : items) response.resources.push_back(item.now);
  } else {
    response.resources = sent(s.type);  // rule 41
    version = complete_version(s);
  }
  s.reply = false;
  Unacked& u = issue(s, std::move(version), now);
  for (Item& item : items) item.name = item.now ? item.now->name : item.before->name;
  u.items = std::move(items);
  if (resources::is_root(s.type)) u.whole = response.resources;
  response.version = *u.version;
  response.nonce = absl::StrCat(u.nonce);
  dress(s, response, now);
  out.responses.push_back(std::move(response));
}

// What differs from the snapshot differs in its version too, but a verbatim one is the author's word.
Version Session::complete_version(const State& s) const {
  if (s.exceptions.empty() || s.sent->verbatim()) return s.sent->shared_version();
  ContentHasher hasher;
  for (const Exception& e : s.exceptions) hasher.add_field(e.name).add_field(e.has ? e.has->version : "");
  return std::make_shared<const std::string>(absl::StrCat(s.sent->version(), "-", hex64(hasher.finish().low).substr(0, 8)));
}

void Session::respond_delta(State& s, std::vector<Item> items, MonotonicTime now, Output& out) {
  s.reply = false;
  size_t next = 0;
  do {  // once even without items: rule 49
    Response response;
    response.type = s.type;
    Unacked& u = issue(s, s.sent->shared_version(), now);
    size_t bytes = 0;
    const size_t first = next;
    for (; next < items.size(); ++next) {
      Item& item = items[next];
      const size_t size = item.now ? item.now->delta_frame.size() : item.name.size() + 4;
      if (bytes > 0 && bytes + size > options_.max_delta_bytes) break;
      bytes += size;
      if (item.now) {
        response.resources.push_back(item.now);
      } else if (!item.before && s.type == Type::kVirtualHost && item.name.find('/') != std::string_view::npos) {
        // Envoy 1.40 waits for a host that it asks for on demand until it is resolved, if only to nothing: a removal does not do that.
        response.resources.push_back(resources::unresolved(s.type, std::string(item.name)));
      } else {
        response.removed.emplace_back(item.name);
      }
      if (item.now || item.before) item.name = item.now ? item.now->name : item.before->name;
    }
    if (first == 0 && next == items.size()) {
      u.items = std::exchange(items, {});
    } else {
      u.items.assign(std::move_iterator(items.begin() + first), std::move_iterator(items.begin() + next));
    }
    std::erase_if(u.items, [](const Item& item) { return !item.now && !item.before; });  // the name alone was answered: nothing to settle
    response.version = *u.version;
    response.nonce = absl::StrCat(u.nonce);
    dress(s, response, now);
    out.responses.push_back(std::move(response));
  } while (next < items.size());
}

void Session::dress(State& s, Response& response, MonotonicTime now) {
  if (options_.ttl) {
    for (const ResourcePtr& r : response.resources) {
      if (r->envelope.ttl.count() == 0) continue;
      response.timed = true;
      const MonotonicTime due = now + r->envelope.ttl / 2;  // one that is late or lost does no harm yet
      if (s.beat_at == MonotonicTime{} || due < s.beat_at) s.beat_at = due;
    }
  }
  if (!s.spelled || s.spelled->empty() || !delta_) return;  // in state of the world a name is within the bytes
  for (ResourcePtr& r : response.resources) {
    const auto at = s.spelled->find(r->name);
    if (at != s.spelled->end()) r = r->body().empty() ? resources::unresolved(r->type, at->second) : resources::with_name(*r, at->second);
  }
  for (std::string& name : response.removed) {
    if (const auto at = s.spelled->find(name); at != s.spelled->end()) name = at->second;
  }
}

// Rule 53: what has a time to live is told to be there still. A complete response has to carry everything, so that it is sent as it is.
void Session::beat(State& s, MonotonicTime now, Output& out) {
  s.beat_at = {};
  Response response;
  response.type = s.type;
  const bool complete = !delta_ && resources::is_root(s.type);
  bool any = false;
  for (ResourcePtr& r : sent(s.type)) {
    any |= r->envelope.ttl.count() > 0;
    if (complete || r->envelope.ttl.count() > 0) response.resources.push_back(std::move(r));
  }
  if (!any) return;
  if (s.unacked.size() >= options_.max_unacked) {  // it does not listen
    s.beat_at = now + std::chrono::seconds(1);
    return;
  }
  Unacked& u = issue(s, complete ? complete_version(s) : s.sent->shared_version(), now);
  if (complete) u.whole = response.resources;
  response.beat = !complete;
  response.version = *u.version;
  response.nonce = absl::StrCat(u.nonce);
  dress(s, response, now);
  out.responses.push_back(std::move(response));
}

// Rules 55 and 56: what a sent resource names is sent again after it, or a client that starts to warm it waits for ever.
void Session::force_dependents(const State& from, const std::vector<Item>& items) {
  for (const Item& item : items) {
    if (!item.now) continue;
    for (const resources::Reference& ref : item.now->references) {
      if (ref.type <= from.type) continue;
      State* s = find(ref.type);
      if (s && s->started && s->subscription.names_explicitly(ref.name) && s->sent) s->forced.own().push_back(ref.name);
    }
  }
}

}  // namespace fairlead::cpstream
