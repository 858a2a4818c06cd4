// What headers say that matters to codecs. Pure functions.
#pragma once

#include <algorithm>
#include <string_view>

#include <absl/strings/ascii.h>

#include "dataplane/http/header_map.h"

namespace fairlead::compression {

inline bool contains_ignoring_case(std::string_view text, std::string_view lower) {
  return std::search(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) { return absl::ascii_tolower(static_cast<unsigned char>(a)) == b; }) != text.end();
}

// cache-control: no-transform
inline bool forbids_transform(const http::HeaderMap& headers) {
  return headers.has(http::Token::CacheControl) && contains_ignoring_case(headers.joined("cache-control").value_or(""), "no-transform");
}

}  // namespace fairlead::compression
