// Text helpers that absl lacks and several rooms need: suggestions, globs, durations and byte sizes.
// Pure; any thread. Parsers take the whole text or fail, and say what form they expect.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fairlead {

// Edits (insert, delete, replace, swap of neighbours) from one to the other; gives up above `limit` and returns limit + 1.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit = 8);

// The candidate that was probably meant: ignoring case, '_' and '-', within a third of the length. Nothing when none is close.
std::optional<std::string> closest(std::string_view word, const std::vector<std::string_view>& candidates);

// '*' any run, '?' one byte. Linear in time for any pattern.
bool glob_match(std::string_view pattern, std::string_view text);

// "250ms", "1.5s", "1h30m", "10us", "5ns", "0": Go's and Gateway API's form, optional leading '-'.
absl::StatusOr<std::chrono::nanoseconds> parse_duration(std::string_view text);
// "250ms", "1.5s", "1h30m": exact and shortest; parse_duration reads it back.
std::string format_duration(std::chrono::nanoseconds duration);

// "0.250s": protobuf's JSON form, 0, 3, 6 or 9 decimals.
std::string format_proto_duration(std::int64_t seconds, std::int32_t nanos);
// The reverse, within protobuf's range of ±315576000000 s; both parts carry the sign.
struct SecondsNanos {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
};
std::optional<SecondsNanos> parse_proto_duration(std::string_view text);

// "512", "64KiB", "1MiB", "2GiB", and decimal "kB", "MB", "GB".
absl::StatusOr<std::uint64_t> parse_byte_size(std::string_view text);
std::string format_byte_size(std::uint64_t bytes);  // "512 B", "1.5 KiB", "3.2 MiB": for people

// 2020-01-01T00:00:00.000Z with milliseconds, UTC.
std::string format_time(std::chrono::system_clock::time_point time);
// RFC 3339 (what protobuf and Kubernetes write), any offset.
std::optional<SecondsNanos> parse_rfc3339(std::string_view text);
std::string format_rfc3339(std::int64_t seconds, std::int32_t nanos);  // 0, 3, 6 or 9 decimals, "Z"

// Standard or URL-safe alphabet, padding optional; nothing on any other byte.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace fairlead
