// Everything there is to say to the authors of objects, as conditions: findings of planning and building, and what the
// proxies said. Owned by the pipeline's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "controlplane/intent/origin.h"
#include "controlplane/verdict/quarantine.h"

namespace fairlead::verdict {

enum class Truth { kTrue, kFalse, kUnknown };
std::string_view truth_name(Truth t);  // "True", "False", "Unknown"

// One statement about one object in one scope.
struct Condition {
  intent::Origin origin;  // of the object (its own place)
  std::string scope;      // effective scope's name; empty when it holds everywhere
  std::string type;       // "Accepted" (what we found), "Programmed" (what proxies said)
  Truth status = Truth::kUnknown;
  std::string reason;     // "Programmed", "Refused", "Pending", or a finding's
  std::string message;    // names resource, client class, number of proxies and their words
  bool operator==(const Condition&) const = default;
};

// "RDS \"NAME\" was refused by 2 proxies of class CLASS: their words (what they go on with)".
std::string describe(const Refused& refused);

class Ledger {
 public:
  // Replaces the findings of one stage ("plan:ns/name", "catalog", "raw", an adapter's name).
  void set_findings(std::string stage, std::vector<intent::Finding> findings);
  void clear_findings(std::string_view stage);

  // Counts of streams per scope, for Programmed: how many there are, and how many of them have of each type (indexed by Type) all that is
  // meant for them, but for what they refused.
  using TypeCounts = std::array<size_t, resources::kTypeCount>;
  void set_progress(std::string_view scope, size_t streams, const TypeCounts& synced);
  void remove_progress(std::string_view scope);

  // All conditions, sorted by object, scope and type. `wanted`: the current snapshots, whose resources' origins get a
  // Programmed condition; refusals come from the quarantine.
  std::vector<Condition> conditions(const std::vector<snapshot::SnapshotPtr>& wanted, const Quarantine& quarantine) const;
  // Of all stages, or of those whose name begins so.
  std::vector<intent::Finding> findings(std::string_view stages = "") const;

 private:
  struct Progress {
    size_t streams = 0;
    TypeCounts synced{};
  };
  std::map<std::string, std::vector<intent::Finding>, std::less<>> findings_;
  std::map<std::string, Progress, std::less<>> progress_;
};

}  // namespace fairlead::verdict
