// Structs to documents. Field names here are the CLI's and the debug endpoints' interface.
#include "controlplane/inspect/inspect.h"

#include <algorithm>
#include <set>

#include "base/descriptors.h"
#include "base/doc_proto.h"
#include "base/strings.h"

namespace fairlead::inspect {
namespace {

// A map under construction.
class Fields {
 public:
  Fields& add(std::string_view key, doc::Value value) {
    entries_.push_back({std::string(key), std::move(value), {}});
    return *this;
  }
  Fields& text(std::string_view key, std::string_view value) { return add(key, doc::string(std::string(value))); }
  Fields& text_if(std::string_view key, std::string_view value) { return value.empty() ? *this : text(key, value); }
  Fields& number(std::string_view key, size_t value) { return add(key, doc::integer(static_cast<int64_t>(value))); }
  doc::Value done() { return doc::map(std::move(entries_)); }

 private:
  std::vector<doc::Entry> entries_;
};

doc::Value one(std::string_view key, std::vector<doc::Value> items) { return Fields().add(key, doc::list(std::move(items))).done(); }

doc::Value origins_doc(const intent::Origins& origins) {
  std::vector<doc::Value> items;
  for (const intent::Origin& o : origins) items.push_back(Fields().text("object", o.object()).text("place", o.place()).text_if("field", o.field).done());
  return doc::list(std::move(items));
}

SystemTime wall_time(MonotonicTime t, const Now& now) {
  return now.wall - std::chrono::duration_cast<SystemTime::duration>(now.mono - t);
}

doc::Value type_doc(const StreamRecord::PerType& t, const Now& now) {
  const cpstream::TypeStatus& s = t.status;
  Fields f;
  f.text("state", state_name(s.state)).text_if("sent", s.sent_version).text_if("accepted", s.accepted_version);
  if (!s.sent_version.empty() && s.sent_at != MonotonicTime{}) f.text("sent_at", format_time(wall_time(s.sent_at, now)));
  f.add("wildcard", doc::boolean(s.wildcard)).number("names", s.names);
  if (s.withheld > 0) f.number("withheld_removals", s.withheld);
  if (s.kept > 0) f.number("kept_names", s.kept);
  if (s.held) f.add("held", doc::boolean(true));
  if (!s.error.empty()) f.text("error", s.error).text("error_at", format_time(wall_time(s.error_at, now)));
  if (!s.refused.empty()) {
    std::vector<doc::Value> refused;
    for (const auto& [name, hash] : s.refused) refused.push_back(Fields().text("name", name).text("hash", hash.hex()).done());
    f.add("refused", doc::list(std::move(refused)));
  }
  return f.done();
}

}  // namespace

std::string_view state_name(cpstream::TypeStatus::State s) {
  using enum cpstream::TypeStatus::State;
  switch (s) {
    case kNotRequested: return "NOT REQUESTED";
    case kNotSent: return "NOT SENT";
    case kStale: return "STALE";
    case kSynced: return "SYNCED";
    case kError: return "ERROR";
  }
  return "NOT REQUESTED";
}

StreamRecord record(const snapshot::Node& node, std::string scope, std::string reason, bool matched, std::string peer,
                    std::string kind, SystemTime connected, const cpstream::Session& session) {
  StreamRecord r{node, std::move(scope), std::move(reason), matched, std::move(peer), std::move(kind), connected, {}};
  for (Type type : resources::all_types()) {
    cpstream::TypeStatus status = session.status(type);
    if (status.state != cpstream::TypeStatus::State::kNotRequested) r.types.push_back({type, std::move(status)});
  }
  return r;
}

doc::Value status(const std::vector<StreamRecord>& streams, const Now& now) {
  std::vector<const StreamRecord*> sorted;
  for (const StreamRecord& r : streams) sorted.push_back(&r);
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::tie(a->node.id, a->connected) < std::tie(b->node.id, b->connected);
  });
  std::vector<doc::Value> proxies, unmatched;
  for (const StreamRecord* r : sorted) {
    Fields types;
    for (const StreamRecord::PerType& t : r->types) types.add(resources::short_name(t.type), type_doc(t, now));
    proxies.push_back(Fields()
                          .text("node", r->node.id)
                          .text("cluster", r->node.cluster)
                          .text("scope", r->scope)
                          .text("reason", r->reason)
                          .text("class", snapshot::class_of(r->node).name)
                          .text("peer", r->peer)
                          .text("kind", r->kind)
                          .text("connected", format_time(r->connected))
                          .add("types", types.done())
                          .done());
    if (!r->matched) unmatched.push_back(Fields().text("node", r->node.id).text("cluster", r->node.cluster).text("reason", r->reason).done());
  }
  return Fields().add("proxies", doc::list(std::move(proxies))).add("unmatched", doc::list(std::move(unmatched))).done();
}

doc::Value config(const snapshot::Snapshot& snapshot, std::optional<Type> type, std::string_view name) {
  std::vector<doc::Value> items;
  for (Type t : resources::all_types()) {
    if (type && t != *type) continue;
    snapshot.of(t).for_each([&](const ResourcePtr& r) {
      if (!name.empty() && r->name != name) return;
      Fields f;
      f.text("type", resources::short_name(t)).text("name", r->name).text("version", r->version).text("hash", r->hash.hex()).add("origins", origins_doc(r->origins));
      if (t == Type::kSecret) f.add("certificates", certificates(*r));
      items.push_back(f.add("config", shown(*r)).done());
    });
  }
  return one("resources", std::move(items));
}

doc::Value diff(const StreamRecord& stream, const snapshot::Snapshot& wanted, const cpstream::Session& session) {
  Fields types;
  for (const StreamRecord::PerType& t : stream.types) {
    std::vector<doc::Value> items;
    std::map<std::string, std::pair<ResourcePtr, ResourcePtr>> by_name;  // wanted, has
    for (const ResourcePtr& r : session.sent(t.type)) by_name[r->name].second = r;
    if (t.status.wildcard) {
      wanted.of(t.type).for_each([&](const ResourcePtr& r) { by_name[r->name].first = r; });
    } else {
      for (auto& [name, pair] : by_name) pair.first = wanted.find(t.type, name);
      for (const std::string& name : session.subscribed(t.type)) by_name[name].first = wanted.find(t.type, name);
    }
    const bool settled = t.status.state != cpstream::TypeStatus::State::kStale;
    for (const auto& [name, pair] : by_name) {
      const auto& [want, has] = pair;
      const bool same = want && has && want->hash == has->hash && want->version == has->version;
      if ((same && settled) || (!want && !has)) continue;
      const bool refused = want && std::any_of(t.status.refused.begin(), t.status.refused.end(), [&name = name, &want = want](const auto& entry) {
        return entry.first == name && entry.second == want->hash;
      });
      const ResourcePtr accepted = session.client_accepted(t.type, name);
      if (same && accepted && accepted->hash == want->hash) continue;
      items.push_back(Fields()
                          .text("name", name)
                          .text("wanted", want ? want->version : "")
                          .text("sent", has ? has->version : "")
                          .text("accepted", accepted ? accepted->version : "")
                          .text("why", refused  ? "refused by this proxy"
                                       : same   ? "sent, not acknowledged"
                                       : !want  ? "removal withheld or not yet sent"
                                                : "not yet sent")
                          .done());
    }
    if (!items.empty()) types.add(resources::short_name(t.type), doc::list(std::move(items)));
  }
  return Fields().text("proxy", stream.node.id).text("scope", stream.scope).add("types", types.done()).done();
}

doc::Value nacks(const verdict::Quarantine& quarantine) {
  std::vector<doc::Value> items;
  for (const verdict::Refused* r : quarantine.list()) {
    std::vector<doc::Value> nodes;
    for (const std::string& node : r->nodes) nodes.push_back(doc::string(node));
    items.push_back(Fields()
                        .text("type", resources::short_name(r->type))
                        .text("name", r->name)
                        .text("scope", r->scope)
                        .text("hash", r->hash.hex())
                        .text("class", r->client_class.name)
                        .add("nodes", doc::list(std::move(nodes)))
                        .number("count", r->count)
                        .text("first", format_time(r->first))
                        .text("latest", format_time(r->latest))
                        .text("message", r->message)
                        .add("origins", origins_doc(r->origins))
                        .add("frozen", doc::boolean(r->frozen))
                        .add("foreseen", doc::boolean(r->foreseen))
                        .text("serving", r->last_good ? r->last_good->version : "")
                        .done());
  }
  return one("nacks", std::move(items));
}

doc::Value conditions(const std::vector<verdict::Condition>& conditions) {
  std::vector<doc::Value> items;
  for (const verdict::Condition& c : conditions) {
    items.push_back(Fields()
                        .text("object", c.origin.object())
                        .text("place", c.origin.place())
                        .text_if("scope", c.scope)
                        .text("type", c.type)
                        .text("status", verdict::truth_name(c.status))
                        .text("reason", c.reason)
                        .text("message", c.message)
                        .done());
  }
  return one("conditions", std::move(items));
}

doc::Value findings(const std::vector<intent::Finding>& findings) {
  std::vector<doc::Value> items;
  for (const intent::Finding& f : findings) {
    items.push_back(Fields()
                        .text("severity", intent::severity_name(f.severity))
                        .text("object", f.origin.object())
                        .text("place", f.origin.place())
                        .text_if("field", f.origin.field)
                        .text_if("scope", f.scope)
                        .text("reason", f.reason)
                        .text("message", f.message)
                        .done());
  }
  return one("findings", std::move(items));
}

}  // namespace fairlead::inspect
