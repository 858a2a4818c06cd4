// Words about objects whose newest version failed its check, for the condition Accepted=False that says so in the generation that is wrong, also where
// an older version of them stays in use or there never was one. Pure; any thread. It looks at the snapshot that it was made for, which outlives it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"

namespace fairlead::adapters {

// The errors among them, as "spec.rules[0].filters[1]: …; spec.hostnames[2]: …", the first ones and how many more there are; empty: there are none.
std::string errors_text(const std::vector<const Diagnostic*>& diagnostics);

class Rejections {
 public:
  Rejections(const ObjectSnapshot& snapshot, std::string_view group);

  // What is wrong with the object, and that its last good version stays in use, where it does.
  std::string message(const ObjectKey& key) const;
  // Accepted=False, "Invalid", of all objects of the kind that have been rejected.
  void report(std::string_view kind, StatusSink& status) const;

 private:
  const ObjectSnapshot& snapshot_;
  const std::string group_;
  std::map<ObjectKey, std::vector<const Diagnostic*>> errors_;
};

}  // namespace fairlead::adapters
