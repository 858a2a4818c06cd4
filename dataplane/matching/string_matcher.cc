// Regex and StringMatcher; see matchers.h.
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <re2/re2.h>

#include "base/status.h"
#include "dataplane/matching/matchers.h"
#include "envoy/type/matcher/v3/regex.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"

namespace fairlead::matching {
namespace {

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

bool equals(std::string_view a, std::string_view b, bool ignore_case) { return ignore_case ? absl::EqualsIgnoreCase(a, b) : a == b; }

bool contains(std::string_view text, std::string_view part, bool ignore_case) {
  if (!ignore_case) return text.find(part) != std::string_view::npos;
  if (part.size() > text.size()) return false;
  for (size_t at = 0; at + part.size() <= text.size(); ++at) {
    if (absl::EqualsIgnoreCase(text.substr(at, part.size()), part)) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<Regex> Regex::compile(std::string_view pattern) {
  re2::RE2::Options options;
  options.set_log_errors(false);
  auto re = std::make_shared<const re2::RE2>(piece(pattern), options);
  if (!re->ok()) return absl::InvalidArgumentError(re->error());
  Regex regex;
  regex.re_ = std::move(re);
  regex.pattern_ = std::string(pattern);
  return regex;
}

absl::StatusOr<Regex> Regex::compile(const envoy::type::matcher::v3::RegexMatcher& proto) {
  FL_ASSIGN_OR_RETURN(Regex regex, compile(proto.regex()));
  if (proto.google_re2().has_max_program_size()) {
    const uint32_t most = proto.google_re2().max_program_size().value();
    const int size = regex.re_->ProgramSize();
    if (size > 0 && static_cast<uint32_t>(size) > most) {
      return absl::InvalidArgumentError(absl::StrCat("regex '", proto.regex(), "' RE2 program size of ", size, " > max program size of ", most));
    }
  }
  return regex;
}

bool Regex::full_match(std::string_view text) const { return re2::RE2::FullMatch(piece(text), *re_); }

bool Regex::global_replace(std::string& text, std::string_view substitution) const {
  return re2::RE2::GlobalReplace(&text, *re_, piece(substitution)) > 0;
}

bool Regex::check_substitution(std::string_view substitution, std::string* error) const {
  return re_->CheckRewriteString(piece(substitution), error);
}

StringMatcher StringMatcher::regex(Regex regex) {
  StringMatcher matcher(Kind::Regex, regex.pattern(), false);
  matcher.regex_ = std::move(regex);
  return matcher;
}

absl::StatusOr<StringMatcher> StringMatcher::compile(const envoy::type::matcher::v3::StringMatcher& proto) {
  using Proto = envoy::type::matcher::v3::StringMatcher;
  const bool ignore_case = proto.ignore_case();
  switch (proto.match_pattern_case()) {
    case Proto::kExact: return StringMatcher(Kind::Exact, proto.exact(), ignore_case);
    case Proto::kPrefix: return StringMatcher(Kind::Prefix, proto.prefix(), ignore_case);
    case Proto::kSuffix: return StringMatcher(Kind::Suffix, proto.suffix(), ignore_case);
    case Proto::kContains: return StringMatcher(Kind::Contains, proto.contains(), ignore_case);
    case Proto::kSafeRegex: {
      if (ignore_case) return absl::InvalidArgumentError("ignore_case has no effect for safe_regex.");
      FL_ASSIGN_OR_RETURN(Regex regex, Regex::compile(proto.safe_regex()));
      return StringMatcher::regex(std::move(regex));
    }
    case Proto::kCustom: return absl::InvalidArgumentError("custom: string matcher extensions are not supported");
    case Proto::MATCH_PATTERN_NOT_SET: break;
  }
  return absl::InvalidArgumentError("match_pattern: one of exact, prefix, suffix, contains, safe_regex must be set");
}

bool StringMatcher::match(std::string_view text) const {
  switch (kind_) {
    case Kind::Exact: return equals(text, text_, ignore_case_);
    case Kind::Prefix: return text.size() >= text_.size() && equals(text.substr(0, text_.size()), text_, ignore_case_);
    case Kind::Suffix: return text.size() >= text_.size() && equals(text.substr(text.size() - text_.size()), text_, ignore_case_);
    case Kind::Contains: return contains(text, text_, ignore_case_);
    case Kind::Regex: return regex_->full_match(text);
  }
  return false;
}

std::string StringMatcher::describe() const {
  static constexpr std::string_view words[] = {"exact", "prefix", "suffix", "contains", "regex"};
  return absl::StrCat(words[static_cast<size_t>(kind_)], " \"", text_, "\"", ignore_case_ ? " (any case)" : "");
}

}  // namespace fairlead::matching
