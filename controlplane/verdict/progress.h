// How far the clients of each scope are, and what stands refused, in short: for conditions that are written down elsewhere. Plain values.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "controlplane/intent/origin.h"

namespace fairlead::verdict {

struct Progress {
  struct Scope {
    std::string name;      // "gateway:ns/name", "raw:ns/name", joined by '+'
    std::string version;   // a hash of what they shall have but for endpoints: the same content has the same with every replica
    size_t streams = 0;
    size_t synced = 0;     // of them, those that have all that is meant for them but for what they refused; endpoints do not count
  };
  struct Refusal {
    std::string scope;
    intent::Origins origins;  // of the resource
    std::string text;         // which resource, refused by whom, and their words
    bool foreseen = false;    // known beforehand: not sent
  };
  std::vector<Scope> scopes;
  std::vector<Refusal> refusals;
};

}  // namespace fairlead::verdict
