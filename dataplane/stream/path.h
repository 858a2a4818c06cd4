// What the connection manager does to a request's path before routes see it: fragments, escaped slashes, RFC 3986 dot segments and
// doubled slashes, in Envoy's order. Pure text; any thread. A path without anything to change is recognised without allocating.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fairlead::stream {

// Envoy 1.40: HttpConnectionManager.PathWithEscapedSlashesAction
enum class EscapedSlashes : uint8_t { kKeep, kReject, kUnescapeAndRedirect, kUnescapeAndForward };

struct PathOptions {
  bool normalize = false;      // Envoy 1.40: normalize_path, false
  bool merge_slashes = false;  // Envoy 1.40: merge_slashes, false
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  bool strip_fragment = false;  // Envoy 1.40: a path with '#' is refused
};

enum class PathVerdict : uint8_t { kContinue, kReject, kRedirect };

// Replaces `path` (with its query) by its normal form when that differs. kRedirect: `path` is the place to redirect to.
struct PathResult {
  PathVerdict verdict = PathVerdict::kContinue;
  std::optional<std::string> path;  // set if changed
};
PathResult normalize_path(std::string_view path, const PathOptions& options);

// The pieces, for tests and for filters: each takes a path without query.
std::optional<std::string> remove_dot_segments(std::string_view path);  // decodes unreserved escapes and '\' too; nothing if not absolute
std::string merge_slashes(std::string_view path);
std::string unescape_slashes(std::string_view path);  // %2F and %5C in either case

}  // namespace fairlead::stream
