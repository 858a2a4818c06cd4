// What stands at "a.b.c" of a document, where it may be absent or something else: for objects whose shape has been checked, or is another's.
// Checked reading, with errors: base/doc_reader.h.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/doc.h"

namespace fairlead::doc {

// "" when it is not a string.
inline std::string text_at(const Value& value, std::string_view path) {
  const Value* at = value.find_path(path);
  return at != nullptr ? at->as_string() : std::string();
}

// Empty when it is not a list.
inline std::span<const Value> items_at(const Value& value, std::string_view path) {
  const Value* at = value.find_path(path);
  return at != nullptr ? at->items() : std::span<const Value>();
}

}  // namespace fairlead::doc
