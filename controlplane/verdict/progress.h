// How far the clients of each scope are, what stands refused, and what is found wrong without asking any client, in short: for conditions that are
// written down elsewhere. Plain values.
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
    intent::Origins origins;  // of the resource; of a secret or an assignment those of what refers to it, too
    std::string text;         // which resource, refused by whom, and their words
    bool foreseen = false;    // known beforehand: not sent
  };
  // What keeps an object, or a part of it, from being served as it says: a name that another has, a reference that leads nowhere.
  struct Fault {
    std::string scope;
    intent::Origin origin;
    std::string reason;   // "NameConflict"
    std::string text;     // names the other side
    bool remark = false;  // it is served all the same
  };
  // A set of raw resources, and a hash of what is in it: the same content has the same with every replica.
  struct RawSet {
    std::string name;  // "ns/name" of its object
    std::string version;
  };
  std::vector<Scope> scopes;
  std::vector<Refusal> refusals;
  std::vector<Fault> faults;
  std::vector<RawSet> raw;
};

}  // namespace fairlead::verdict
