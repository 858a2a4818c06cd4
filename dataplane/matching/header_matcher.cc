// HeaderMatcher and QueryMatcher; see matchers.h.
#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>

#include "base/status.h"
#include "dataplane/http/header_map.h"
#include "dataplane/matching/matchers.h"
#include "envoy/config/route/v3/route_components.pb.h"

namespace fairlead::matching {

absl::StatusOr<HeaderMatcher> HeaderMatcher::compile(const envoy::config::route::v3::HeaderMatcher& proto) {
  using Proto = envoy::config::route::v3::HeaderMatcher;
  HeaderMatcher matcher;
  matcher.name_ = absl::AsciiStrToLower(proto.name());
  if (matcher.name_ == "host") matcher.name_ = ":authority";
  matcher.invert_ = proto.invert_match();
  matcher.missing_as_empty_ = proto.treat_missing_header_as_empty();
  const auto text = [&](StringMatcher::Kind kind, const std::string& pattern) {
    matcher.kind_ = Kind::String;
    matcher.string_ = StringMatcher::of(kind, pattern);
  };
  switch (proto.header_match_specifier_case()) {
    case Proto::kExactMatch: text(StringMatcher::Kind::Exact, proto.exact_match()); break;
    case Proto::kPrefixMatch: text(StringMatcher::Kind::Prefix, proto.prefix_match()); break;
    case Proto::kSuffixMatch: text(StringMatcher::Kind::Suffix, proto.suffix_match()); break;
    case Proto::kContainsMatch: text(StringMatcher::Kind::Contains, proto.contains_match()); break;
    case Proto::kSafeRegexMatch: {
      auto regex = Regex::compile(proto.safe_regex_match());
      if (!regex.ok()) return prefix("safe_regex_match", regex.status());
      matcher.kind_ = Kind::String;
      matcher.string_ = StringMatcher::regex(std::move(*regex));
      break;
    }
    case Proto::kStringMatch: {
      auto compiled = StringMatcher::compile(proto.string_match());
      if (!compiled.ok()) return prefix("string_match", compiled.status());
      matcher.kind_ = Kind::String;
      matcher.string_ = std::move(*compiled);
      break;
    }
    case Proto::kRangeMatch:
      matcher.kind_ = Kind::Range;
      matcher.range_begin_ = proto.range_match().start();
      matcher.range_end_ = proto.range_match().end();
      break;
    case Proto::kPresentMatch:
      matcher.present_ = proto.present_match();
      break;
    case Proto::HEADER_MATCH_SPECIFIER_NOT_SET: break;
  }
  return matcher;
}

bool HeaderMatcher::match_value(std::string_view value) const {
  if (kind_ == Kind::String) return string_->match(value);
  int64_t number = 0;
  return absl::SimpleAtoi(value, &number) && number >= range_begin_ && number < range_end_;
}

bool HeaderMatcher::match(const http::HeaderMap& headers) const {
  const http::Header* first = headers.find(name_);
  if (kind_ == Kind::Present) return ((first != nullptr || missing_as_empty_) == present_) != invert_;
  if (first == nullptr) return missing_as_empty_ && match_value("") != invert_;
  bool any = match_value(first->value());
  for (const http::Header* at = first + 1; !any && at != headers.end(); ++at) {
    if (at->token() == first->token() && at->name() == name_) any = match_value(at->value());
  }
  return any != invert_;
}

std::string HeaderMatcher::describe() const {
  std::string what;
  switch (kind_) {
    case Kind::Present: what = present_ ? "present" : "absent"; break;
    case Kind::String: what = string_->describe(); break;
    case Kind::Range: what = absl::StrCat("in [", range_begin_, ", ", range_end_, ")"); break;
  }
  return absl::StrCat("header ", name_, invert_ ? " not " : " ", what);
}

absl::StatusOr<QueryMatcher> QueryMatcher::compile(const envoy::config::route::v3::QueryParameterMatcher& proto) {
  using Proto = envoy::config::route::v3::QueryParameterMatcher;
  QueryMatcher matcher;
  matcher.name_ = proto.name();
  if (proto.query_parameter_match_specifier_case() == Proto::kStringMatch) {
    auto compiled = StringMatcher::compile(proto.string_match());
    if (!compiled.ok()) return prefix("string_match", compiled.status());
    matcher.string_ = std::move(*compiled);
  } else if (proto.query_parameter_match_specifier_case() == Proto::kPresentMatch) {
    matcher.present_ = proto.present_match();
  }
  return matcher;
}

std::optional<std::string_view> query_value(std::string_view path, std::string_view key) {
  const size_t mark = path.find('?');
  if (mark == std::string_view::npos) return std::nullopt;
  std::string_view query = path.substr(mark + 1);
  query = query.substr(0, query.find('#'));
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    return equals == std::string_view::npos ? std::string_view("") : pair.substr(equals + 1);
  }
  return std::nullopt;
}

bool QueryMatcher::match(std::string_view path_with_query) const {
  const auto value = query_value(path_with_query, name_);
  if (!string_) return value.has_value() == present_;
  return value && string_->match(*value);
}

std::optional<std::string_view> cookie_value(const http::HeaderMap& headers, std::string_view name) {
  std::optional<std::string_view> found;
  headers.for_each_value("cookie", [&](std::string_view rest) {
    while (!found && !rest.empty()) {
      std::string_view pair = rest.substr(0, rest.find(';'));
      rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
      const size_t equals = pair.find('=');
      const size_t start = std::min(pair.find_first_not_of(' '), equals);
      if (equals == std::string_view::npos || pair.substr(start, equals - start) != name) continue;
      std::string_view value = pair.substr(equals + 1);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      found = value;
    }
  });
  return found;
}

absl::StatusOr<CookieMatcher> CookieMatcher::compile(const envoy::config::route::v3::CookieMatcher& proto) {
  auto value = StringMatcher::compile(proto.string_match());
  if (!value.ok()) return prefix("string_match", value.status());
  return CookieMatcher(proto.name(), std::move(*value), proto.invert_match());
}

bool CookieMatcher::match(const http::HeaderMap& headers) const {
  const auto value = cookie_value(headers, name_);
  return (value && value_.match(*value)) != invert_;
}

std::string CookieMatcher::describe() const { return absl::StrCat("cookie ", name_, invert_ ? " not " : " ", value_.describe()); }

std::string QueryMatcher::describe() const {
  return absl::StrCat("query ", name_, " ", string_ ? string_->describe() : present_ ? "present" : "absent");
}

}  // namespace fairlead::matching
