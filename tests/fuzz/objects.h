// What fuzz targets of vocabularies share: bytes as a file of a source.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "adapters/file/documents.h"
#include "adapters/object/store.h"

namespace fairlead::adapters {

inline void require(bool holds) {
  if (!holds) std::abort();
}

inline SourceUpdate read(const std::string& source, std::string_view text) {
  SourceUpdate update;
  update.source = source;
  update.synced = true;
  FileLimits limits;
  limits.max_document_nodes = 100000;
  const Documents documents = read_documents(text, source + ".yaml", limits);
  update.diagnostics = documents.diagnostics;
  for (const auto& value : documents.values) {
    if (ObjectPtr object = read_object(value, source, source + ".yaml", update.diagnostics)) update.upserted.push_back(object);
  }
  return update;
}

}  // namespace fairlead::adapters
