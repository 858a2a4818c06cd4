// Formats of START_TIME and EMIT_TIME: strftime conversions as absl::FormatTime knows them, plus Envoy's %f, %1f … %9f (digits
// below the second) and %s (seconds since 1970). Private to the room; parsed once, rendered on workers.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::format {

class TimeFormat {
 public:
  // An empty pattern is Envoy's default: 2016-12-15T16:07:37.012Z.
  explicit TimeFormat(std::string_view pattern = {}, bool local = false);
  void append(std::chrono::system_clock::time_point time, std::string& out) const;

 private:
  struct Part {
    std::string strftime;     // given to absl::FormatTime
    int fraction_digits = 0;  // 1 … 9: digits below the second
    bool epoch_seconds = false;
  };
  std::vector<Part> parts_;  // empty: the default
  bool local_ = false;
};

}  // namespace fairlead::format
