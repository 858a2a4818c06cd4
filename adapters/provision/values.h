// Private to provision: documents as they are made here.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/doc.h"

namespace fairlead::adapters::provision {

using Fields = std::vector<std::pair<std::string, doc::Value>>;

using doc::text;

// In their order; what is null is left out.
inline doc::Value map(Fields fields) {
  std::vector<doc::Entry> entries;
  for (auto& [key, value] : fields) {
    if (!value.is_null()) entries.push_back({std::move(key), std::move(value), {}});
  }
  return doc::map(std::move(entries));
}

}  // namespace fairlead::adapters::provision
