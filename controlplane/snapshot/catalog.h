// The current snapshot of every scope in use: gateways' resources and raw sets go in, snapshots per effective scope come
// out. Owned by the pipeline's thread; the snapshots it hands out may go anywhere.
// Invariant: a scope's snapshot changes only by a call that returns the scope's name.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "controlplane/intent/intent.h"
#include "controlplane/resources/raw.h"
#include "controlplane/snapshot/node.h"
#include "controlplane/snapshot/snapshot.h"

namespace fairlead::snapshot {

class Catalog {
 public:
  // All resources of a Gateway's plan, assignments included. Each call returns the names of effective scopes whose
  // snapshot changed. Errors (conflicting names or versions) keep the scope's last good snapshot for what conflicts; see
  // findings().
  std::vector<std::string> set_gateway(const intent::ScopeKey& key, std::vector<ResourcePtr> resources);
  std::vector<std::string> remove_gateway(const intent::ScopeKey& key);
  // Replaces all raw sets (after accept_raw_set).
  std::vector<std::string> set_raw(std::vector<resources::RawSetPtr> sets);
  // The endpoint fast path: puts the assignment into every scope that has one of that name from a plan.
  std::vector<std::string> set_assignment(const ResourcePtr& assignment);

  // Which scope a node belongs to; opens the scope when it is the first of its kind.
  struct Joined {
    std::string scope;
    std::string reason;
    bool matched = false;
  };
  Joined join(const Node& node);

  // Rises when join() may answer differently for some node: join every stream's node again then.
  uint64_t membership() const { return membership_; }

  // Never null for a scope that join() or scopes() named; the empty snapshot otherwise.
  SnapshotPtr find(std::string_view scope) const;
  std::vector<std::string> scopes() const;
  const std::vector<intent::ScopeKey>& gateways() const { return keys_; }
  const std::vector<resources::RawSetPtr>& raw() const { return raw_; }
  // Over all scopes: name and version conflicts, each on both sides (a warning for the one whose name it stays), and references that lead nowhere;
  // sorted, without duplicates.
  std::vector<intent::Finding> findings() const;
  // A conflict of versions stood from the start: what was served before it is not known.
  bool incomplete() const { return incomplete_ > 0; }

 private:
  struct Scope {
    std::vector<intent::ScopeKey> gateway;  // none or one
    std::vector<std::string> raw;           // names of raw sets
    SnapshotPtr snapshot;
    std::vector<intent::Finding> findings;
    bool incomplete = false;
  };
  bool rebuild(const std::string& name, Scope& scope);
  bool established(const resources::RawSet& set) const;  // had this version before the last set_raw() already
  void add_raw(const std::string& name, Scope& scope, std::vector<ResourcePtr>& all,
               std::array<std::string, resources::kTypeCount>& verbatim);
  std::vector<std::string> rebuild_all();
  // Drops scopes that no node can belong to any more.
  void drop_orphans();
  void open(const Selection& selection);
  // The scopes that are known without any proxy: each Gateway's and each raw set's, so that `check` sees their conflicts.
  void open_known_scopes();
  void open_scope_of(const intent::ScopeKey& key);
  void open_scopes_of_raw();
  std::vector<std::string> rebuild_of(const intent::ScopeKey& key);  // the scopes that changed

  using Planned = std::map<std::pair<Type, std::string>, ResourcePtr>;
  std::map<intent::ScopeKey, Planned> gateways_;
  std::vector<resources::RawSetPtr> raw_;
  std::map<std::string, std::string, std::less<>> versions_before_;  // of raw sets, by name, before the last set_raw()
  std::map<std::string, Scope, std::less<>> scopes_;
  std::vector<intent::ScopeKey> keys_;                               // of gateways_
  std::map<intent::ScopeKey, std::set<std::string>> scopes_of_;      // names of scopes, by Gateway
  std::map<std::string, std::set<intent::ScopeKey>, std::less<>> assigned_;  // assignments, by name: the Gateways whose plan has them
  uint64_t membership_ = 0;
  int incomplete_ = 0;  // scopes that are
};

}  // namespace fairlead::snapshot
