// From findings and refusals to conditions.
#include "controlplane/verdict/ledger.h"

#include <algorithm>
#include <tuple>

#include <absl/strings/str_cat.h>

namespace fairlead::verdict {
namespace {

// Object, scope and condition type; messages of one key are joined.
using Key = std::tuple<std::string, std::string, std::string, std::string, std::string, std::string>;

Key key_of(const intent::Origin& o, const std::string& scope, const std::string& type) {
  return {o.kind, o.ns, o.name, o.group, scope, type};
}

// The object's own place: the field is told in the message.
intent::Origin object_of(intent::Origin o) {
  o.field.clear();
  return o;
}

void say(Condition& c, Truth status, std::string_view reason, std::string_view message) {
  // False outranks Unknown outranks True; the first of a rank gives the reason.
  const auto rank = [](Truth t) { return t == Truth::kFalse ? 2 : t == Truth::kUnknown ? 1 : 0; };
  if (c.reason.empty() || rank(status) > rank(c.status)) {
    c.status = status;
    c.reason = reason;
    c.message = message;
  } else if (rank(status) == rank(c.status) && c.message.find(message) == std::string::npos) {
    absl::StrAppend(&c.message, "; ", message);
  }
}

}  // namespace

std::string describe(const Refused& r) {
  if (r.foreseen) {
    return absl::StrCat(resources::short_name(r.type), " \"", r.name, "\" is not sent to clients of class ", r.client_class.name, ", which would refuse it: ", r.message, " (",
                        r.last_good ? "the last good one is still served" : "it is left out for that class", ")");
  }
  return absl::StrCat(resources::short_name(r.type), " \"", r.name, "\" was refused by ", r.nodes.size(),
                      r.nodes.size() == 1 ? " proxy" : " proxies", " of class ", r.client_class.name, ": ", r.message, " (",
                      r.last_good ? "the last good one is still served"
                      : r.frozen  ? "it is left out for that class"
                                  : "those proxies go on without it",
                      ")");
}

std::string_view truth_name(Truth t) {
  switch (t) {
    case Truth::kTrue: return "True";
    case Truth::kFalse: return "False";
    case Truth::kUnknown: return "Unknown";
  }
  return "Unknown";
}

void Ledger::set_findings(std::string stage, std::vector<intent::Finding> findings) {
  if (findings.empty()) {
    findings_.erase(stage);
  } else {
    findings_[std::move(stage)] = std::move(findings);
  }
}

void Ledger::clear_findings(std::string_view stage) {
  if (auto at = findings_.find(stage); at != findings_.end()) findings_.erase(at);
}

void Ledger::set_progress(std::string_view scope, size_t streams, const TypeCounts& synced) { progress_[std::string(scope)] = {streams, synced}; }

void Ledger::remove_progress(std::string_view scope) {
  if (auto at = progress_.find(scope); at != progress_.end()) progress_.erase(at);
}

std::vector<intent::Finding> Ledger::findings(std::string_view stages) const {
  std::vector<intent::Finding> out;
  for (auto at = findings_.lower_bound(stages); at != findings_.end() && at->first.starts_with(stages); ++at)
    out.insert(out.end(), at->second.begin(), at->second.end());
  return out;
}

std::vector<Condition> Ledger::conditions(const std::vector<snapshot::SnapshotPtr>& wanted, const Quarantine& quarantine) const {
  std::map<Key, Condition> out;
  auto at = [&](const intent::Origin& origin, const std::string& scope, const std::string& type) -> Condition& {
    Condition& c = out[key_of(origin, scope, type)];
    if (c.type.empty()) {
      c.origin = object_of(origin);
      c.scope = scope;
      c.type = type;
    }
    return c;
  };
  for (const auto& [stage, findings] : findings_) {
    for (const intent::Finding& f : findings) {
      const std::string message = f.origin.field.empty() ? f.message : absl::StrCat(f.origin.field, ": ", f.message);
      say(at(f.origin, f.scope, "Accepted"), f.severity == intent::Severity::kError ? Truth::kFalse : Truth::kTrue, f.reason, message);
    }
  }
  std::map<std::tuple<std::string, Type, std::string>, std::vector<const Refused*>> refused;
  for (const Refused* r : quarantine.list()) refused[{r->scope, r->type, r->name}].push_back(r);
  for (const snapshot::SnapshotPtr& s : wanted) {
    const auto progress = progress_.find(s->scope);
    const Progress p = progress == progress_.end() ? Progress{} : progress->second;
    for (Type type : resources::all_types()) {
      const size_t synced = p.synced[resources::index(type)];
      const bool all = p.streams > 0 && synced >= p.streams;
      const std::string state = p.streams == 0 ? "no proxy of this scope is connected" : absl::StrCat(synced, " of ", p.streams, " proxies have it");
      s->of(type).for_each([&](const ResourcePtr& r) {
        const auto said = refused.find({s->scope, type, r->name});
        for (const intent::Origin& origin : r->origins) {
          Condition& c = at(origin, s->scope, "Programmed");
          say(c, all ? Truth::kTrue : Truth::kUnknown, all ? "Programmed" : "Pending", state);
          if (said == refused.end()) continue;
          for (const Refused* entry : said->second) {
            if (entry->hash == r->hash) say(c, Truth::kFalse, entry->foreseen ? "NotSent" : "Refused", describe(*entry));
          }
        }
      });
    }
  }
  std::vector<Condition> list;
  for (auto& [key, condition] : out) list.push_back(std::move(condition));
  return list;
}

}  // namespace fairlead::verdict
