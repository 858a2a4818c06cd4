// The vocabulary of raw resources: objects of kind EnvoyResources -> RawSets. Pure; any thread. A resource is read
// strictly and held to Envoy's own rules before anything is sent; a bad one costs only itself, and the last good one of
// its type and name stays.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"
#include "controlplane/resources/raw.h"

namespace fairlead::adapters::xds {

inline constexpr std::string_view kGroup = "fairlead.io";
inline constexpr std::string_view kKind = "EnvoyResources";

struct Translation {
  struct Entry {
    ObjectPtr object;
    resources::RawSetPtr set;
    std::vector<Diagnostic> diagnostics;
    std::vector<intent::Finding> findings;
  };
  std::map<std::string, Entry> sets;  // by "ns/name"
  StatusSink status;                  // Accepted, and Programmed as far as it is no proxy's to say

  std::vector<Diagnostic> diagnostics() const;       // of all sets: bad resources, each with its place
  std::vector<intent::Finding> findings() const;     // of all sets: bytes changed under an unchanged version
};

// Objects that are as they were in `previous` keep their set's pointer.
Translation translate(const ObjectSnapshot& snapshot, const Translation* previous = nullptr);

// For Store::register_group(kGroup, …): the shape of the object. Its resources are looked at by translate().
bool check_fairlead(const Object& object, std::vector<Diagnostic>& out);

// The kind that it takes, for sources that ask by kind: a CRD, which may be missing.
std::vector<WatchedKind> watched_kinds();

void register_groups(Store& store);

}  // namespace fairlead::adapters::xds
