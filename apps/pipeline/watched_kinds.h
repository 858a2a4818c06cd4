// The kinds that all vocabularies read, for sources that ask by kind: the counterpart of register_vocabularies(). Pure.
#pragma once

#include <vector>

#include "adapters/object/watched_kind.h"

namespace fairlead::pipeline {

std::vector<adapters::WatchedKind> watched_kinds();

}  // namespace fairlead::pipeline
