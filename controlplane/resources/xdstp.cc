// See xdstp.h.
#include "controlplane/resources/xdstp.h"

#include <algorithm>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

namespace fairlead::resources {
namespace {

struct Parts {
  std::string_view authority, type, id, query;
  bool good = false;
};

Parts parts_of(std::string_view name) {
  Parts out;
  constexpr std::string_view kScheme = "xdstp://";
  if (!name.starts_with(kScheme) || name.find('#') != std::string_view::npos) return out;
  name.remove_prefix(kScheme.size());
  if (const size_t question = name.find('?'); question != std::string_view::npos) {
    out.query = name.substr(question + 1);
    name = name.substr(0, question);
  }
  const size_t first = name.find('/');
  const size_t second = first == std::string_view::npos ? first : name.find('/', first + 1);
  if (second == std::string_view::npos) return out;
  out.authority = name.substr(0, first);
  out.type = name.substr(first + 1, second - first - 1);
  out.id = name.substr(second + 1);
  out.good = !out.type.empty() && !out.id.empty();
  return out;
}

bool escapes_are_good(std::string_view text) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'); };
  for (size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (at + 2 >= text.size() || !hex(text[at + 1]) || !hex(text[at + 2])) return false;
  }
  return true;
}

}  // namespace

std::optional<std::string> canonical_xdstp(std::string_view name) {
  const Parts parts = parts_of(name);
  if (!parts.good || !escapes_are_good(name)) return std::nullopt;
  std::vector<std::pair<std::string_view, std::string_view>> parameters;  // by key
  if (!parts.query.empty()) {
    for (std::string_view one : absl::StrSplit(parts.query, '&')) {
      const size_t equals = one.find('=');
      if (equals == 0 || equals == std::string_view::npos) return std::nullopt;
      parameters.emplace_back(one.substr(0, equals), one.substr(equals + 1));
    }
  }
  std::sort(parameters.begin(), parameters.end());
  const auto twice = std::adjacent_find(parameters.begin(), parameters.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != parameters.end()) return std::nullopt;
  std::string out = absl::StrCat("xdstp://", parts.authority, "/", parts.type, "/", parts.id);
  char before = '?';
  for (const auto& [key, value] : parameters) {
    absl::StrAppend(&out, std::string_view(&before, 1), key, "=", value);
    before = '&';
  }
  return out;
}

std::string_view type_in_xdstp(std::string_view name) {
  const Parts parts = parts_of(name);
  return parts.good ? parts.type : std::string_view();
}

bool is_glob(std::string_view name) {
  if (!is_xdstp(name)) return false;
  const Parts parts = parts_of(name);
  return parts.good && (parts.id == "*" || parts.id.ends_with("/*"));
}

std::string glob_of(std::string_view name) {
  if (!is_xdstp(name)) return {};
  const Parts parts = parts_of(name);
  if (!parts.good) return {};
  const size_t slash = parts.id.rfind('/');
  const std::string_view directory = slash == std::string_view::npos ? std::string_view() : parts.id.substr(0, slash + 1);
  return absl::StrCat("xdstp://", parts.authority, "/", parts.type, "/", directory, "*", parts.query.empty() ? "" : "?", parts.query);
}

}  // namespace fairlead::resources
