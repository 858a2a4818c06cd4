// What the pipeline has worked out in one step: the hand-over from the thread that plans to the thread that serves. A value.
// Everything is optional; what is absent stays as it is.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/intent/intent.h"
#include "controlplane/resources/raw.h"
#include "controlplane/resources/resource.h"

namespace fairlead::snapshot {

// A resource that some clients are known to refuse before any of them is asked.
struct Unfit {
  resources::ResourcePtr resource;
  std::string implementation;  // of the client: "fairlead-proxy", "envoy"
  std::string version;         // exactly this one; or
  std::string below;           // any before this one: "1.22"
  std::string message;         // with the field
  bool operator==(const Unfit&) const = default;
};

struct Update {
  struct Gateway {
    intent::ScopeKey key;
    std::vector<resources::ResourcePtr> resources;  // all of the plan's, assignments included
  };
  std::vector<Gateway> gateways;
  std::vector<intent::ScopeKey> gone;
  std::optional<std::vector<resources::RawSetPtr>> raw;  // all raw sets
  std::vector<resources::ResourcePtr> assignments;       // the endpoint fast path
  std::vector<std::pair<std::string, std::vector<intent::Finding>>> findings;  // by stage, each replacing the one before
  // Something that cannot be read has no last good version: what the snapshots lack may still be meant.
  std::optional<bool> incomplete;
  std::optional<std::vector<Unfit>> unfit;  // all there are
  bool ready = false;  // every source has been read once; never taken back

  bool empty() const { return gateways.empty() && gone.empty() && !raw && assignments.empty() && findings.empty() && !incomplete && !unfit && !ready; }
};

}  // namespace fairlead::snapshot
