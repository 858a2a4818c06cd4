// A file's text as documents, each on its own: a broken one is reported and the others are read. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "adapters/file/file_tree.h"
#include "base/doc.h"

namespace fairlead::adapters {

struct Documents {
  std::vector<doc::Value> values;       // in order; the items of a `kind: List` stand in its place
  std::vector<Diagnostic> diagnostics;  // one for each document that could not be read
  bool broken() const { return !diagnostics.empty(); }
};

Documents read_documents(std::string_view text, const std::string& file, const FileLimits& limits);

}  // namespace fairlead::adapters
