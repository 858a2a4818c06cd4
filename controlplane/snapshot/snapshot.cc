// Making sets out of sets. Pure; any thread.
#include "controlplane/snapshot/snapshot.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <absl/strings/str_cat.h>

namespace fairlead::snapshot {
namespace {

uint64_t next_serial() {
  static std::atomic<uint64_t> serial{1};
  return serial.fetch_add(1, std::memory_order_relaxed);
}

bool same_bytes(const ResourcePtr& a, const ResourcePtr& b) { return a == b || (a->hash == b->hash && a->version == b->version); }

}  // namespace

void TypeSet::add(const resources::Resource& r, bool negative) {
  // Members are summed, so that order is free and one change costs one addition and one subtraction.
  ContentHasher hasher;
  const ContentHash h = hasher.add_field(r.name).add_field(r.version).add_integer(r.hash.high).add_integer(r.hash.low).finish();
  sum_high_ += negative ? 0 - h.high : h.high;
  sum_low_ += negative ? 0 - h.low : h.low;
  const size_t aliases = r.envelope.aliases.size();
  aliases_ += negative ? 0 - aliases : aliases;
}

ResourcePtr TypeSet::find_alias(std::string_view alias) const {
  if (aliases_ == 0) return nullptr;
  std::call_once(aliased_once_, [this] {
    for_each([this](const ResourcePtr& r) {
      for (const std::string& one : r->envelope.aliases) by_alias_.try_emplace(one, r);
    });
  });
  const auto found = by_alias_.find(alias);
  return found == by_alias_.end() ? nullptr : found->second;
}

const TypeSetPtr& TypeSet::empty_set() {
  static const TypeSetPtr set = [] {
    auto made = std::shared_ptr<TypeSet>(new TypeSet);
    made->version_ = std::make_shared<const std::string>(hex64(0));
    made->serial_ = next_serial();
    return made;
  }();
  return set;
}

TypeSetPtr TypeSet::update(const TypeSetPtr& previous, const std::vector<ResourcePtr>& set, const std::vector<std::string>& erase,
                           std::string_view verbatim) {
  auto next = std::shared_ptr<TypeSet>(new TypeSet);
  next->by_name_ = previous->by_name_;
  next->sum_high_ = previous->sum_high_;
  next->sum_low_ = previous->sum_low_;
  next->aliases_ = previous->aliases_;
  bool changed = false;
  for (const ResourcePtr& r : set) {
    const ResourcePtr* found = next->by_name_.find(std::string_view(r->name));
    if (found && (*found == r || (same_bytes(*found, r) && (*found)->origins == r->origins))) continue;
    changed = true;
    if (found && same_bytes(*found, r)) {  // only its origin moved: nothing to send
      next->by_name_ = next->by_name_.set(r->name, r);
      continue;
    }
    const ResourcePtr before = found ? *found : nullptr;
    if (before) next->add(*before, true);
    next->add(*r, false);
    next->steps_.push_back({before, r});
    next->by_name_ = next->by_name_.set(r->name, r);
  }
  for (const std::string& name : erase) {
    const ResourcePtr* found = next->by_name_.find(std::string_view(name));
    if (!found) continue;
    changed = true;
    const ResourcePtr before = *found;
    next->add(*before, true);
    next->steps_.push_back({before, nullptr});
    next->by_name_ = next->by_name_.erase(std::string_view(name));
  }
  next->verbatim_ = !verbatim.empty();
  std::string version(verbatim);
  if (!next->verbatim_) {
    ContentHasher hasher;
    const bool empty = next->by_name_.empty();
    version = empty ? hex64(0) : hex64(hasher.add_integer(next->sum_high_).add_integer(next->sum_low_).finish().low);
  }
  if (!changed && version == previous->version() && next->verbatim_ == previous->verbatim_) return previous;
  next->version_ = std::make_shared<const std::string>(std::move(version));
  std::sort(next->steps_.begin(), next->steps_.end(), [](const Step& a, const Step& b) { return a.name() < b.name(); });
  next->serial_ = next_serial();
  next->made_from_ = previous->serial_;
  return next;
}

const std::vector<Step>* TypeSet::steps_from(const TypeSetPtr& before) const {
  return before && made_from_ == before->serial_ ? &steps_ : nullptr;
}

std::vector<Step> TypeSet::diff(const TypeSetPtr& before, const TypeSetPtr& after) {
  std::vector<Step> out;
  if (before == after) return out;
  if (const auto* steps = after->steps_from(before)) return *steps;
  Map::diff(before->by_name_, after->by_name_, [&](std::string_view, const ResourcePtr* a, const ResourcePtr* b) {
    if (a && b && same_bytes(*a, *b)) return;
    out.push_back({a ? *a : nullptr, b ? *b : nullptr});
  });
  return out;
}

const ResourcePtr* TypeSet::find(std::string_view name) const {
  if (const Index* index = indexed_.load(std::memory_order_acquire)) {
    const auto at = index->find(name);
    return at == index->end() ? nullptr : at->second;
  }
  // Of one change every stream looks for the same name in the set before and in the one after.
  struct Asked {
    uint64_t serial = 0;  // no set's
    std::string name;
    const ResourcePtr* found = nullptr;
  };
  thread_local std::array<Asked, 4> last;
  thread_local size_t next = 0;
  for (const Asked& a : last) {
    if (a.serial == serial_ && a.name == name) return a.found;
  }
  Asked& a = last[next++ % last.size()];
  a.serial = serial_;
  a.name = name;
  return a.found = by_name_.find(name);
}

void TypeSet::expect(size_t lookups) const {
  if (lookups < 16 || lookups * 8 < size() || indexed_.load(std::memory_order_relaxed) != nullptr) return;
  std::call_once(indexed_once_, [this] {
    auto index = std::make_unique<Index>(size());
    for_each([&index](const ResourcePtr& r) { index->emplace(r->name, &r); });
    index_ = std::move(index);
    indexed_.store(index_.get(), std::memory_order_release);
  });
}

bool TypeSet::refers_to(Type type, std::string_view name) const {
  std::call_once(referenced_once_, [this] {
    for_each([this](const ResourcePtr& r) {
      for (const resources::Reference& ref : r->references) referenced_.insert(absl::StrCat(resources::index(ref.type), ":", ref.name));
    });
  });
  return referenced_.contains(absl::StrCat(resources::index(type), ":", name));
}

Snapshot::Snapshot() { sets.fill(TypeSet::empty_set()); }

ResourcePtr Snapshot::find(Type t, std::string_view name) const {
  const ResourcePtr* found = of(t).find(name);
  return found ? *found : nullptr;
}

bool Snapshot::leaves_out(Type t, std::string_view name) const {
  return std::any_of(left_out.begin(), left_out.end(), [&](const auto& left) { return left.first == t && left.second == name; });
}

size_t Snapshot::size() const {
  size_t n = 0;
  for (const TypeSetPtr& set : sets) n += set->size();
  return n;
}

const SnapshotPtr& empty_snapshot() {
  static const SnapshotPtr snapshot = [] {
    auto made = std::make_shared<Snapshot>();
    made->scope = "unmatched";
    return made;
  }();
  return snapshot;
}

SnapshotPtr replace(const SnapshotPtr& previous, std::string_view scope, const std::vector<ResourcePtr>& resources,
                    const std::array<std::string, resources::kTypeCount>& verbatim) {
  std::array<std::vector<ResourcePtr>, resources::kTypeCount> by_type;
  for (const ResourcePtr& r : resources) by_type[resources::index(r->type)].push_back(r);
  const Snapshot& old = previous ? *previous : *empty_snapshot();
  auto next = std::make_shared<Snapshot>();
  next->scope = scope;
  next->generation = old.generation + 1;
  bool changed = !previous || previous->scope != scope;
  for (size_t i = 0; i < resources::kTypeCount; ++i) {
    std::unordered_set<std::string_view> keep;
    for (const ResourcePtr& r : by_type[i]) keep.insert(r->name);
    std::vector<std::string> erase;
    old.sets[i]->for_each([&](const ResourcePtr& r) {
      if (!keep.contains(r->name)) erase.push_back(r->name);
    });
    // An empty set has one version, whatever a raw set says of types it has nothing of.
    next->sets[i] = TypeSet::update(old.sets[i], by_type[i], erase, by_type[i].empty() ? "" : std::string_view(verbatim[i]));
    changed |= next->sets[i] != old.sets[i];
  }
  if (!changed) return previous;
  return next;
}

SnapshotPtr amend(const SnapshotPtr& previous, const std::vector<ResourcePtr>& set) {
  auto next = std::make_shared<Snapshot>(*previous);
  bool changed = false;
  for (size_t i = 0; i < resources::kTypeCount; ++i) {
    std::vector<ResourcePtr> of_type;
    for (const ResourcePtr& r : set) {
      if (resources::index(r->type) == i) of_type.push_back(r);
    }
    if (of_type.empty()) continue;
    next->sets[i] = TypeSet::update(previous->sets[i], of_type, {}, previous->sets[i]->verbatim() ? previous->sets[i]->version() : "");
    changed |= next->sets[i] != previous->sets[i];
  }
  if (!changed) return previous;
  ++next->generation;
  return next;
}

SnapshotPtr substitute(const SnapshotPtr& wanted, const std::vector<Substitution>& substitutions) {
  if (substitutions.empty()) return wanted;
  auto next = std::make_shared<Snapshot>(*wanted);
  for (size_t i = 0; i < resources::kTypeCount; ++i) {
    std::vector<ResourcePtr> set;
    std::vector<std::string> erase;
    for (const Substitution& s : substitutions) {
      if (resources::index(s.type) != i) continue;
      if (s.instead) {
        set.push_back(s.instead);
      } else {
        erase.push_back(s.name);
        next->left_out.emplace_back(s.type, s.name);
      }
    }
    // Never under a verbatim version: that one means the bytes its author wrote.
    if (!set.empty() || !erase.empty()) next->sets[i] = TypeSet::update(wanted->sets[i], set, erase);
  }
  return next;
}

std::vector<intent::Finding> check_references(const Snapshot& snapshot) {
  std::vector<intent::Finding> out;
  for (const TypeSetPtr& set : snapshot.sets) {
    set->for_each([&](const ResourcePtr& r) {
      for (const resources::Reference& ref : r->references) {
        if (snapshot.of(ref.type).find(ref.name)) continue;
        // A cluster or a secret may stand in the proxy's own bootstrap, a filter may have a default.
        const bool may_be_elsewhere = ref.type == Type::kCluster || ref.type == Type::kSecret || ref.type == Type::kExtensionConfig;
        const std::string message = absl::StrCat(resources::short_name(r->type), " \"", r->name, "\" refers to ",
                                                 resources::short_name(ref.type), " \"", ref.name, "\", which this scope does not have");
        for (const intent::Origin& origin : r->origins) {
          out.push_back({may_be_elsewhere ? intent::Severity::kWarning : intent::Severity::kError, origin, snapshot.scope,
                         "DanglingReference", message});
        }
      }
    });
  }
  return out;
}

}  // namespace fairlead::snapshot
