// The small matchers that routes, access-log filters and later policies share: strings, headers, query parameters,
// CIDR ranges and runtime fractions. Each is compiled once from its proto on the main thread and is an immutable value
// that any worker may use; `match` never allocates.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "dataplane/matching/runtime.h"

namespace re2 {
class RE2;
}
namespace envoy::type::matcher::v3 {
class StringMatcher;
class RegexMatcher;
}
namespace envoy::type::v3 {
class FractionalPercent;
}
namespace envoy::config::core::v3 {
class CidrRange;
class RuntimeFractionalPercent;
}
namespace envoy::config::route::v3 {
class HeaderMatcher;
class CookieMatcher;
class QueryParameterMatcher;
}
namespace fairlead::http {
class HeaderMap;
}

namespace fairlead::matching {

// An RE2 that must match the whole input. Copies share the compiled program.
class Regex {
 public:
  static absl::StatusOr<Regex> compile(std::string_view pattern);
  static absl::StatusOr<Regex> compile(const envoy::type::matcher::v3::RegexMatcher& proto);
  bool full_match(std::string_view text) const;
  // Replaces every match (RE2 syntax, \1 …); false when nothing matched. Used by regex_rewrite.
  bool global_replace(std::string& text, std::string_view substitution) const;
  bool check_substitution(std::string_view substitution, std::string* error) const;
  const std::string& pattern() const { return pattern_; }

 private:
  std::shared_ptr<const re2::RE2> re_;
  std::string pattern_;
};

class StringMatcher {
 public:
  enum class Kind : uint8_t { Exact, Prefix, Suffix, Contains, Regex };
  static absl::StatusOr<StringMatcher> compile(const envoy::type::matcher::v3::StringMatcher& proto);
  static StringMatcher exact(std::string_view text) { return {Kind::Exact, std::string(text), false}; }
  static StringMatcher of(Kind kind, std::string_view text, bool ignore_case = false) { return {kind, std::string(text), ignore_case}; }
  static StringMatcher regex(Regex regex);

  bool match(std::string_view text) const;
  Kind kind() const { return kind_; }
  const std::string& text() const { return text_; }  // the pattern of a regex
  bool ignore_case() const { return ignore_case_; }
  std::string describe() const;  // `prefix "/a"`, for explanations

 private:
  StringMatcher(Kind kind, std::string text, bool ignore_case) : kind_(kind), ignore_case_(ignore_case), text_(std::move(text)) {}
  Kind kind_;
  bool ignore_case_;
  std::string text_;
  std::optional<Regex> regex_;
};

// Envoy's HeaderMatcher: no specifier = presence; a missing header never matches a value, not even inverted,
// unless treat_missing_header_as_empty; ranges are half-open; each value of a repeated header is tried alone.
class HeaderMatcher {
 public:
  static absl::StatusOr<HeaderMatcher> compile(const envoy::config::route::v3::HeaderMatcher& proto);
  bool match(const http::HeaderMap& headers) const;
  const std::string& name() const { return name_; }
  std::string describe() const;

 private:
  enum class Kind : uint8_t { Present, String, Range };
  bool match_value(std::string_view value) const;
  std::string name_;  // lower case
  Kind kind_ = Kind::Present;
  bool present_ = true;
  bool invert_ = false;
  bool missing_as_empty_ = false;
  std::optional<StringMatcher> string_;
  int64_t range_begin_ = 0, range_end_ = 0;
};

// The query of a path is scanned in place; only the first value of a repeated key counts.
class QueryMatcher {
 public:
  static absl::StatusOr<QueryMatcher> compile(const envoy::config::route::v3::QueryParameterMatcher& proto);
  bool match(std::string_view path_with_query) const;
  const std::string& name() const { return name_; }
  std::string describe() const;

 private:
  std::string name_;
  std::optional<StringMatcher> string_;  // unset: presence
  bool present_ = true;
};

// First value of `key` in the query of `path`; nullopt when there is none.
std::optional<std::string_view> query_value(std::string_view path, std::string_view key);

// A cookie must be there to match; inverted, one that is missing matches too. Only the first cookie of the name counts.
class CookieMatcher {
 public:
  static absl::StatusOr<CookieMatcher> compile(const envoy::config::route::v3::CookieMatcher& proto);
  bool match(const http::HeaderMap& headers) const;
  std::string describe() const;

 private:
  CookieMatcher(std::string name, StringMatcher value, bool invert) : name_(std::move(name)), value_(std::move(value)), invert_(invert) {}
  std::string name_;
  StringMatcher value_;
  bool invert_;
};

// The first cookie of that name in the request, without quotes around it; nullopt when there is none.
std::optional<std::string_view> cookie_value(const http::HeaderMap& headers, std::string_view name);

// An IP network; v4 addresses are kept as v4, a v4-mapped v6 address equals its v4 form.
class Cidr {
 public:
  static absl::StatusOr<Cidr> compile(const envoy::config::core::v3::CidrRange& proto);
  static absl::StatusOr<Cidr> parse(std::string_view address, uint32_t prefix_length);
  // `address` is 4 or 16 bytes in network order.
  bool contains(std::string_view address) const;
  bool contains_text(std::string_view ip) const;  // "10.0.0.1"; false when it is no IP
  std::string describe() const;

 private:
  std::array<uint8_t, 16> bytes_{};
  uint8_t size_ = 4;  // 4 or 16
  uint8_t bits_ = 0;
};

// A percentage, optionally under a runtime key. `random` is the stream's stable random number.
class Fraction {
 public:
  Fraction() = default;
  explicit Fraction(uint32_t numerator, uint32_t denominator = 100) : numerator_(numerator), denominator_(denominator) {}
  static absl::StatusOr<Fraction> compile(const envoy::type::v3::FractionalPercent& proto);
  static absl::StatusOr<Fraction> compile(const envoy::config::core::v3::RuntimeFractionalPercent& proto);
  bool match(uint64_t random, const Runtime* runtime) const;
  void set_runtime_key(std::string key) { key_ = std::move(key); }
  const std::string& runtime_key() const { return key_; }
  uint32_t numerator() const { return numerator_; }
  uint32_t denominator() const { return denominator_; }

 private:
  uint32_t numerator_ = 0;
  uint32_t denominator_ = 100;
  std::string key_;
};

}  // namespace fairlead::matching
