// The first line of a request and its four forms of target (room-private). Pure; any thread.
#pragma once

#include <string_view>

#include "dataplane/http/h1/head.h"

namespace fairlead::h1 {

inline constexpr Verdict kCodecError{400, "http1.codec_error"};
inline constexpr Verdict kInvalidCharacters{400, "http1.invalid_characters"};
inline constexpr Verdict kLowVersion{426, "low_version"};

struct RequestLine {
  std::string_view method;
  std::string_view path;
  std::string_view authority;  // of CONNECT and absolute-form
  std::string_view scheme;     // of absolute-form
  int major = 0;
  int minor = 0;
};

// `line` without its line end. Views in `out` point into it.
Verdict read_request_line(std::string_view line, const Settings& settings, RequestLine& out);

}  // namespace fairlead::h1
