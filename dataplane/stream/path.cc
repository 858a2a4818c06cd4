// Path normalisation; see path.h. The canonical form is that of the URL standard, which Envoy takes from Chromium's parser.
#include "dataplane/stream/path.h"

#include <absl/strings/match.h>

namespace fairlead::stream {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte that the escape at `at` stands for, or -1.
int escape_at(std::string_view s, size_t at) {
  if (s[at] != '%' || at + 2 >= s.size()) return -1;
  const int high = hex_value(s[at + 1]), low = hex_value(s[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool is_unreserved(int c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' || c == '~';
}

bool must_escape(unsigned char c) { return c <= 0x20 || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '`' || c == '{' || c == '}' || c == '^'; }

void append_escaped(std::string& out, unsigned char c) {
  constexpr char kHex[] = "0123456789ABCDEF";
  out += '%';
  out += kHex[c >> 4];
  out += kHex[c & 15];
}

// True when no rule below could change the path: the usual case, checked without writing.
bool is_plain(std::string_view path, const PathOptions& options) {
  for (size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '%' || c == '\\' || c == '#' || must_escape(static_cast<unsigned char>(c))) return false;
    if (c == '/' && i + 1 < path.size()) {
      if (options.normalize && path[i + 1] == '.') return false;
      if (options.merge_slashes && path[i + 1] == '/') return false;
    }
  }
  return true;
}

}  // namespace

std::optional<std::string> remove_dot_segments(std::string_view path) {
  if (path.empty() || path[0] != '/') return std::nullopt;
  std::string decoded;
  decoded.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    const int escaped = escape_at(path, i);
    if (escaped >= 0 && is_unreserved(escaped)) {
      decoded += static_cast<char>(escaped);
      i += 2;
    } else if (path[i] == '\\') {
      decoded += '/';
    } else if (must_escape(static_cast<unsigned char>(path[i]))) {
      append_escaped(decoded, static_cast<unsigned char>(path[i]));
    } else {
      decoded += path[i];
    }
  }
  std::string out;
  out.reserve(decoded.size());
  for (size_t at = 0; at < decoded.size();) {
    const size_t next = decoded.find('/', at + 1);
    const size_t end = next == std::string::npos ? decoded.size() : next;
    const std::string_view segment(decoded.data() + at + 1, end - at - 1);
    const bool last = next == std::string::npos;
    if (segment == ".") {
      if (last) out += '/';
    } else if (segment == "..") {
      const size_t slash = out.rfind('/');
      out.resize(slash == std::string::npos ? 0 : slash);
      if (last) out += '/';
    } else {
      out.append(decoded, at, end - at);
    }
    at = end;
  }
  return out.empty() ? "/" : out;
}

std::string merge_slashes(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (char c : path) {
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  }
  return out;
}

std::string unescape_slashes(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    const int escaped = escape_at(path, i);
    if (escaped == '/' || escaped == '\\') {
      out += static_cast<char>(escaped);
      i += 2;
    } else {
      out += path[i];
    }
  }
  return out;
}

PathResult normalize_path(std::string_view path, const PathOptions& options) {
  if (path.empty() || path[0] != '/') return {};
  const size_t query_at = path.find('?');
  const std::string_view bare = path.substr(0, query_at);
  if (is_plain(bare, options) && path.find('#') == std::string_view::npos) return {};
  const size_t fragment = path.find('#');
  if (fragment != std::string_view::npos) {
    if (!options.strip_fragment) return {PathVerdict::kReject, std::nullopt};
    PathResult rest = normalize_path(path.substr(0, fragment), options);
    if (!rest.path) rest.path = std::string(path.substr(0, fragment));
    return rest;
  }
  std::string current(bare);
  PathVerdict verdict = PathVerdict::kContinue;
  if (options.escaped_slashes != EscapedSlashes::kKeep) {
    std::string unescaped = unescape_slashes(current);
    if (unescaped != current) {
      if (options.escaped_slashes == EscapedSlashes::kReject) return {PathVerdict::kReject, std::nullopt};
      if (options.escaped_slashes == EscapedSlashes::kUnescapeAndRedirect) verdict = PathVerdict::kRedirect;
      current = std::move(unescaped);
    }
  }
  if (options.normalize) {
    auto canonical = remove_dot_segments(current);
    if (!canonical) return {PathVerdict::kReject, std::nullopt};
    current = std::move(*canonical);
  }
  if (options.merge_slashes) current = merge_slashes(current);
  if (current == bare) return {};
  if (query_at != std::string_view::npos) current.append(path.substr(query_at));
  return {verdict, std::move(current)};
}

}  // namespace fairlead::stream
