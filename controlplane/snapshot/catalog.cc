// Effective scopes and their conflicts: two makers of one name, two versions for one type.
#include "controlplane/snapshot/catalog.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::snapshot {
namespace {

using intent::Finding;
using intent::Severity;

// `of_first`: how bad it is for that one.
void tell_both(std::vector<Finding>& to, const std::string& scope, const std::string& reason, const intent::Origins& first, Severity of_first,
               const intent::Origins& second, const std::string& what, std::string_view outcome) {
  auto tell = [&](Severity severity, const intent::Origins& mine, const intent::Origins& other) {
    const std::string theirs = other.empty() ? "another object" : absl::StrCat(other[0].object(), " (", other[0].place(), ")");
    for (const intent::Origin& o : mine) to.push_back({severity, o, scope, reason, absl::StrCat(what, " ", theirs, "; ", outcome)});
  };
  tell(of_first, first, second);
  tell(Severity::kError, second, first);
}

}  // namespace

// Adds the resources of the scope's raw sets to what the plan made. The plan wins a name; among raw sets the first by name.
void Catalog::add_raw(const std::string& name, Scope& scope, std::vector<ResourcePtr>& all,
                      std::array<std::string, resources::kTypeCount>& verbatim) {
  struct Made {
    ResourcePtr resource;
    bool planned;
  };
  std::map<std::pair<Type, std::string>, Made> made;
  std::array<bool, resources::kTypeCount> planned{};
  std::array<const resources::RawSet*, resources::kTypeCount> first{};
  std::array<bool, resources::kTypeCount> versions_conflict{};
  for (const ResourcePtr& r : all) {
    made.emplace(std::pair(r->type, r->name), Made{r, true});
    planned[resources::index(r->type)] = true;
  }
  std::vector<const resources::RawSet*> members;
  for (const resources::RawSetPtr& set : raw_) {
    if (std::find(scope.raw.begin(), scope.raw.end(), set->name) == scope.raw.end()) continue;
    members.push_back(set.get());
    for (const ResourcePtr& r : set->resources) {
      const resources::RawSet*& of_type = first[resources::index(r->type)];
      // Of two versions that of the object that was there before, so that one that comes changes nothing.
      if (!of_type || (!established(*of_type) && established(*set))) of_type = set.get();
    }
  }
  bool known = true;
  for (const resources::RawSet* set : members) {
    std::array<bool, resources::kTypeCount> told{};
    for (const ResourcePtr& r : set->resources) {
      const size_t i = resources::index(r->type);
      if (first[i]->version != set->version) {
        versions_conflict[i] = true;
        known = known && established(*first[i]);
        if (!std::exchange(told[i], true)) {
          auto version = [](const resources::RawSet& s) { return s.version.empty() ? std::string("none") : absl::StrCat("\"", s.version, "\""); };
          tell_both(scope.findings, name, "VersionConflict", {first[i]->origin}, Severity::kError, {set->origin},
                    absl::StrCat(resources::short_name(r->type), " is given versions ", version(*first[i]), " and ", version(*set),
                                 " in one scope; the other object is"),
                    scope.snapshot && scope.snapshot->sets[i]->size() ? "what was served before is kept"
                    : established(*first[i])                          ? "the one that was there before is served"
                                                                      : "the first by name is served");
        }
        continue;
      }
      auto [at, fresh] = made.emplace(std::pair(r->type, r->name), Made{r, false});
      if (!fresh) {
        // whose it stays loses nothing
        tell_both(scope.findings, name, "NameConflict", at->second.resource->origins, Severity::kWarning, r->origins,
                  absl::StrCat(resources::short_name(r->type), " \"", r->name, "\" is also made by"),
                  at->second.planned ? "the one made from the Gateway is served" : "the first by name is served");
        continue;
      }
      all.push_back(r);
      if (!planned[i]) verbatim[i] = set->version;
    }
  }
  const bool conflict = std::find(versions_conflict.begin(), versions_conflict.end(), true) != versions_conflict.end();
  scope.incomplete = conflict && (scope.incomplete || (!scope.snapshot && !known));
  for (size_t i = 0; i < resources::kTypeCount; ++i) {
    if (!versions_conflict[i] || !scope.snapshot || scope.snapshot->sets[i]->size() == 0) continue;
    std::erase_if(all, [i](const ResourcePtr& r) { return resources::index(r->type) == i; });
    scope.snapshot->sets[i]->for_each([&](const ResourcePtr& r) { all.push_back(r); });
    verbatim[i] = scope.snapshot->sets[i]->verbatim() ? scope.snapshot->sets[i]->version() : "";
  }
}

bool Catalog::established(const resources::RawSet& set) const {
  auto before = versions_before_.find(set.name);
  return before != versions_before_.end() && before->second == set.version;
}

bool Catalog::rebuild(const std::string& name, Scope& scope) {
  scope.findings.clear();
  std::vector<ResourcePtr> all;
  std::array<std::string, resources::kTypeCount> verbatim;
  for (const intent::ScopeKey& key : scope.gateway) {
    if (auto found = gateways_.find(key); found != gateways_.end()) {
      for (const auto& [at, resource] : found->second) all.push_back(resource);
    }
  }
  const bool was_incomplete = scope.incomplete;
  if (!scope.raw.empty()) add_raw(name, scope, all, verbatim);
  incomplete_ += int{scope.incomplete} - int{was_incomplete};
  SnapshotPtr next = replace(scope.snapshot, name, all, verbatim);
  for (Finding& f : check_references(*next)) scope.findings.push_back(std::move(f));
  if (next == scope.snapshot) return false;
  scope.snapshot = std::move(next);
  return true;
}

std::vector<std::string> Catalog::rebuild_all() {
  std::vector<std::string> changed;
  for (auto& [name, scope] : scopes_) {
    if (rebuild(name, scope)) changed.push_back(name);
  }
  return changed;
}

void Catalog::drop_orphans() {
  auto gone = [this](const std::string& raw) {
    return std::none_of(raw_.begin(), raw_.end(), [&](const auto& set) { return set->name == raw; });
  };
  std::erase_if(scopes_, [&](const auto& entry) {
    const Scope& scope = entry.second;
    const bool orphan = (!scope.gateway.empty() && !gateways_.contains(scope.gateway[0])) || std::any_of(scope.raw.begin(), scope.raw.end(), gone);
    if (orphan && !scope.gateway.empty()) scopes_of_[scope.gateway[0]].erase(entry.first);
    if (orphan && scope.incomplete) --incomplete_;
    return orphan;
  });
  std::erase_if(scopes_of_, [](const auto& entry) { return entry.second.empty(); });
}

void Catalog::open(const Selection& selection) {
  const std::string name = selection.scope();
  auto [at, fresh] = scopes_.try_emplace(name);
  if (!fresh) return;
  if (selection.gateway) {
    at->second.gateway.push_back(*selection.gateway);
    scopes_of_[*selection.gateway].insert(name);
  }
  for (const resources::RawSet* r : selection.raw) at->second.raw.push_back(r->name);
  rebuild(name, at->second);
}

void Catalog::open_scope_of(const intent::ScopeKey& key) {
  if (key.mesh()) {
    Selection mesh;
    mesh.gateway = &key;
    return open(mesh);
  }
  Node node;
  node.gateway = key.str();
  node.cluster = key.name;
  open(select(node, keys_, raw_));
}

void Catalog::open_scopes_of_raw() {
  for (const resources::RawSetPtr& set : raw_) {
    for (const std::string& id : set->node_ids) {
      Node node;
      node.id = id;
      open(select(node, keys_, raw_));
    }
    for (const std::string& cluster : set->node_clusters) {
      Node node;
      node.cluster = cluster;
      open(select(node, keys_, raw_));
    }
    if (set->for_unclaimed()) open(select(Node{}, keys_, raw_));
  }
}

void Catalog::open_known_scopes() {
  for (const intent::ScopeKey& key : keys_) open_scope_of(key);
  open_scopes_of_raw();
}

std::vector<std::string> Catalog::rebuild_of(const intent::ScopeKey& key) {
  std::vector<std::string> changed;
  const auto of = scopes_of_.find(key);
  if (of == scopes_of_.end()) return changed;
  for (const std::string& name : of->second) {
    if (rebuild(name, scopes_.find(name)->second)) changed.push_back(name);
  }
  return changed;
}

std::vector<std::string> Catalog::set_gateway(const intent::ScopeKey& key, std::vector<ResourcePtr> resources) {
  Planned& planned = gateways_[key];
  for (const auto& [at, old] : planned) {
    if (at.first != Type::kEndpoint) continue;
    const auto in = assigned_.find(at.second);
    in->second.erase(key);
    if (in->second.empty()) assigned_.erase(in);
  }
  planned.clear();
  for (ResourcePtr& r : resources) {
    if (r->type == Type::kEndpoint) assigned_[r->name].insert(key);
    planned[{r->type, r->name}] = std::move(r);
  }
  const auto place = std::lower_bound(keys_.begin(), keys_.end(), key);
  const bool fresh = place == keys_.end() || *place != key;
  if (fresh) keys_.insert(place, key);
  std::vector<std::string> changed = rebuild_of(key);
  if (fresh) {
    ++membership_;
    const auto before = scopes();
    open_scope_of(key);
    open_scopes_of_raw();
    if (before.size() != scopes_.size()) {
      for (const std::string& name : scopes()) {
        if (!std::binary_search(before.begin(), before.end(), name)) changed.push_back(name);
      }
    }
  }
  return changed;
}

std::vector<std::string> Catalog::remove_gateway(const intent::ScopeKey& key) {
  const auto found = gateways_.find(key);
  if (found == gateways_.end()) return {};
  for (const auto& [at, old] : found->second) {
    if (at.first == Type::kEndpoint) assigned_[at.second].erase(key);
  }
  std::erase_if(assigned_, [](const auto& entry) { return entry.second.empty(); });
  gateways_.erase(found);
  keys_.erase(std::lower_bound(keys_.begin(), keys_.end(), key));
  ++membership_;
  std::vector<std::string> changed = rebuild_of(key);
  drop_orphans();
  open_known_scopes();
  return changed;
}

std::vector<std::string> Catalog::set_raw(std::vector<resources::RawSetPtr> sets) {
  std::sort(sets.begin(), sets.end(), [](const auto& a, const auto& b) { return a->name < b->name; });
  const bool same_selectors =
      sets.size() == raw_.size() && std::equal(sets.begin(), sets.end(), raw_.begin(), [](const auto& a, const auto& b) {
        return a->name == b->name && a->node_ids == b->node_ids && a->node_clusters == b->node_clusters;
      });
  versions_before_.clear();
  for (const resources::RawSetPtr& set : raw_) versions_before_[set->name] = set->version;
  raw_ = std::move(sets);
  std::vector<std::string> changed = rebuild_all();
  if (!same_selectors) {
    ++membership_;
    drop_orphans();
    const auto before = scopes();
    open_known_scopes();
    for (const std::string& name : scopes()) {
      if (!std::binary_search(before.begin(), before.end(), name)) changed.push_back(name);
    }
  }
  return changed;
}

std::vector<std::string> Catalog::set_assignment(const ResourcePtr& assignment) {
  std::vector<std::string> changed;
  const auto in = assigned_.find(assignment->name);
  if (in == assigned_.end()) return changed;
  for (const intent::ScopeKey& key : in->second) {
    gateways_.find(key)->second[{Type::kEndpoint, assignment->name}] = assignment;
    const auto of = scopes_of_.find(key);
    if (of == scopes_of_.end()) continue;
    for (const std::string& name : of->second) {
      Scope& scope = scopes_.find(name)->second;
      SnapshotPtr next = amend(scope.snapshot, {assignment});
      if (next == scope.snapshot) continue;
      scope.snapshot = std::move(next);
      changed.push_back(name);
    }
  }
  std::sort(changed.begin(), changed.end());
  return changed;
}

Catalog::Joined Catalog::join(const Node& node) {
  const Selection selection = select(node, keys_, raw_);
  if (selection.matched()) open(selection);
  return {selection.scope(), selection.reason, selection.matched()};
}

SnapshotPtr Catalog::find(std::string_view scope) const {
  auto found = scopes_.find(scope);
  return found == scopes_.end() ? empty_snapshot() : found->second.snapshot;
}

std::vector<std::string> Catalog::scopes() const {
  std::vector<std::string> names;
  for (const auto& [name, scope] : scopes_) names.push_back(name);
  return names;
}

std::vector<Finding> Catalog::findings() const {
  std::vector<Finding> out;
  for (const auto& [name, scope] : scopes_) out.insert(out.end(), scope.findings.begin(), scope.findings.end());
  auto key = [](const Finding& f) { return std::tie(f.origin, f.scope, f.reason, f.message); };
  std::sort(out.begin(), out.end(), [&](const Finding& a, const Finding& b) { return key(a) < key(b); });
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace fairlead::snapshot
