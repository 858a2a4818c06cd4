// What clients of the mesh ask for by name: the hand-over from the thread that serves to the thread that plans, the other way round than Update. A value.
#pragma once

#include <map>
#include <set>
#include <string>

#include "controlplane/intent/intent.h"

namespace fairlead::snapshot {

struct Asked {
  // By whom: a scope of the namespace that they say they run in, which need not have one of its own. Without names: there are such clients.
  using Names = std::map<intent::ScopeKey, std::set<std::string>>;
  Names names;
  bool all = false;  // these are all; else they come to those before
};

}  // namespace fairlead::snapshot
