// Which resources of a scope a class of clients is known to refuse, put into the quarantine before they are pushed. Serving thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/snapshot/update.h"
#include "controlplane/verdict/quarantine.h"

namespace fairlead::verdict {

// Of that implementation and version: "envoy", "1.19.2"?
bool concerns(const snapshot::Unfit& unfit, std::string_view implementation, std::string_view version);

class Foresight {
 public:
  void set(std::vector<snapshot::Unfit> unfit);
  // Whether anything is known of the class at all: false for nearly all of them.
  bool concerns(const ClientClass& client_class) const;
  // True when what the class is to see of the scope has changed.
  bool apply(Quarantine& quarantine, const ClientClass& client_class, const snapshot::Snapshot& wanted, SystemTime now) const;

 private:
  std::vector<snapshot::Unfit> unfit_;
  std::vector<snapshot::Unfit> kinds_;  // each (implementation, version, below) once, without its resource
};

}  // namespace fairlead::verdict
