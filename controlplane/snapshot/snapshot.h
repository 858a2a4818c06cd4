// Immutable sets of resources: what the proxies of one scope shall have. A new snapshot shares all that did not change
// with the one before (O(change · log n) to make), and knows what changed, so that a stream that was up to date
// finds its work without comparing. Built on the pipeline's thread, read on any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include <absl/container/flat_hash_map.h>

#include "base/hash.h"
#include "base/persistent_map.h"
#include "controlplane/intent/origin.h"
#include "controlplane/resources/resource.h"

namespace fairlead::snapshot {

using resources::ResourcePtr;
using resources::Type;

// One name's step from one set to the next; a null side means absent there.
struct Step {
  ResourcePtr before;
  ResourcePtr after;
  const std::string& name() const { return after ? after->name : before->name; }
};

// Of a set of resources or what a client has of it; one object for all who have it, and never null unless it says so.
using Version = std::shared_ptr<const std::string>;

class TypeSet;
using TypeSetPtr = std::shared_ptr<const TypeSet>;

// All resources of one type in one scope.
class TypeSet {
 public:
  static const TypeSetPtr& empty_set();
  // `verbatim` is the raw set's version for the type; empty for content hashes.
  // The result is `previous` itself when nothing changes. `set` replaces by name, `erase` names what goes.
  static TypeSetPtr update(const TypeSetPtr& previous, const std::vector<ResourcePtr>& set, const std::vector<std::string>& erase,
                           std::string_view verbatim = {});

  const ResourcePtr* find(std::string_view name) const;
  // To be called before that many look-ups: where they are worth it, going over the set once makes all of them cheaper. From any thread.
  void expect(size_t lookups) const;
  size_t size() const { return by_name_.size(); }
  // The type's version: the verbatim one, or a hash over all (name, version, hash). Equal content has equal versions on
  // every replica and after every restart.
  const std::string& version() const { return *version_; }
  const Version& shared_version() const { return version_; }
  bool verbatim() const { return verbatim_; }
  template <typename F>
  void for_each(F&& f) const {  // in name order
    by_name_.for_each([&](std::string_view, const ResourcePtr& r) { f(r); });
  }
  // The resource that goes by that alias, too; null when none does.
  ResourcePtr find_alias(std::string_view alias) const;
  bool aliased() const { return aliases_ > 0; }  // some resource has one
  // True when some resource of this set refers to that name of that type.
  bool refers_to(Type type, std::string_view name) const;

  // What differs, in name order. Free when `after` was made from `before` by one update.
  static std::vector<Step> diff(const TypeSetPtr& before, const TypeSetPtr& after);
  // The steps of the update that made this set out of `before`; null when it was made from another set.
  const std::vector<Step>* steps_from(const TypeSetPtr& before) const;

 private:
  TypeSet() = default;
  using Map = PersistentMap<std::string_view, ResourcePtr>;
  using Index = absl::flat_hash_map<std::string_view, const ResourcePtr*>;
  Map by_name_;
  mutable std::once_flag indexed_once_;
  mutable std::unique_ptr<const Index> index_;
  mutable std::atomic<const Index*> indexed_{nullptr};  // index_, once it is whole
  uint64_t sum_high_ = 0, sum_low_ = 0;  // order-free sum of the members' hashes: version in O(change)
  Version version_;
  bool verbatim_ = false;
  void add(const resources::Resource& r, bool negative);
  uint64_t serial_ = 0, made_from_ = 0;  // which set this is, and which one it was updated from
  std::vector<Step> steps_;
  size_t aliases_ = 0;
  mutable std::once_flag aliased_once_;
  mutable std::map<std::string, ResourcePtr, std::less<>> by_alias_;  // made when first asked for
  mutable std::once_flag referenced_once_;
  mutable std::unordered_set<std::string> referenced_;  // "type index:name", made when first asked for
};

// All types of one scope at one moment.
struct Snapshot {
  std::string scope;         // "gateway:ns/name", "raw:ns/name", joined by '+'; "unmatched"
  uint64_t generation = 0;   // rises with every change of the scope
  std::array<TypeSetPtr, resources::kTypeCount> sets;
  std::vector<std::pair<Type, std::string>> left_out;  // by substitute(): few

  Snapshot();
  const TypeSet& of(Type t) const { return *sets[resources::index(t)]; }
  const TypeSetPtr& set(Type t) const { return sets[resources::index(t)]; }
  ResourcePtr find(Type t, std::string_view name) const;
  // Whether there is one of that name that those who are given this snapshot have refused, and no other to give them.
  bool leaves_out(Type t, std::string_view name) const;
  size_t size() const;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

const SnapshotPtr& empty_snapshot();

// The snapshot that holds exactly `resources` (of any types, no name twice within a type), made from `previous` so that
// what did not change is shared. Returns `previous` when nothing changed. `verbatim[type]`: a raw set's own version.
SnapshotPtr replace(const SnapshotPtr& previous, std::string_view scope, const std::vector<ResourcePtr>& resources,
                    const std::array<std::string, resources::kTypeCount>& verbatim = {});
// `previous` with some resources set: the endpoint fast path.
SnapshotPtr amend(const SnapshotPtr& previous, const std::vector<ResourcePtr>& set);
// `previous` with some resources replaced or (null) left out: what one class of clients is to see, see verdict/.
struct Substitution {
  Type type;
  std::string name;
  ResourcePtr instead;
};
SnapshotPtr substitute(const SnapshotPtr& wanted, const std::vector<Substitution>& substitutions);

// References within the snapshot that lead nowhere (an EDS cluster without assignment, a listener without its route
// table; clusters that routes name), as findings on the referring resource's origins.
std::vector<intent::Finding> check_references(const Snapshot& snapshot);

}  // namespace fairlead::snapshot
