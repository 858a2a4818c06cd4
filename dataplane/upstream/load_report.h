// What is reported of the clusters' loads, and from when on: the books between two load reports (LRS). Fed with what all workers have counted since they
// were last asked; a cluster that somebody begins to ask for begins at nothing, as in Envoy. No clock, no socket.
// Main thread. Invariant: what was counted while a cluster is asked for is in exactly one report, whatever hosts and clusters come and go meanwhile.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "dataplane/config/snapshot.h"
#include "dataplane/upstream/pool/load.h"

namespace fairlead::upstream {

class LoadReport {
 public:
  struct Wish {
    bool all = false;  // clusters
    std::set<std::string, std::less<>> clusters;  // else these, whether they exist or not
    bool endpoints = false;  // each endpoint beside its locality
  };

  // From now on that is wanted. `until_now`: what has been counted since the last call; of clusters that were not asked for before it is forgotten.
  void ask(Wish wish, const Loads& until_now, MonotonicTime now);
  // Counted, and not reported yet.
  void add(const Loads& more);
  // All that was added since the last time, as a serialised LoadStatsRequest; `snapshot` says which clusters there are (null: none). The busy ones come
  // first, and what it costs is theirs: of an idle one only its name is copied.
  std::string take(const config::Snapshot* snapshot, MonotonicTime now);

 private:
  bool wanted(std::string_view cluster) const { return wish_.all || wish_.clusters.contains(cluster); }
  MonotonicTime begun(std::string_view cluster) const;

  Wish wish_;
  Loads kept_;
  MonotonicTime begun_{};  // the report to come begins
  std::map<std::string, MonotonicTime, std::less<>> begun_earlier_;  // of clusters that were asked for before the others
};

}  // namespace fairlead::upstream
