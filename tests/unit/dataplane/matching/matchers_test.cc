// Tables for the small matchers: strings, headers, query parameters, networks and fractions.
#include "dataplane/matching/matchers.h"

#include <catch2/catch.hpp>

#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::matching;
using test::from_yaml;

TEST_CASE("string matchers") {
  struct Row {
    std::string_view yaml, text;
    bool match;
  };
  const Row table[] = {
      {"{exact: abc}", "abc", true},       {"{exact: abc}", "ABC", false},       {"{exact: abc, ignore_case: true}", "aBC", true},
      {"{exact: ''}", "", true},           {"{prefix: ab}", "abc", true},        {"{prefix: ab}", "a", false},
      {"{prefix: AB, ignore_case: true}", "abc", true}, {"{suffix: bc}", "abc", true}, {"{suffix: bc}", "c", false},
      {"{contains: b}", "abc", true},      {"{contains: x}", "abc", false},      {"{contains: B, ignore_case: true}", "abc", true},
      {"{contains: abcd}", "abc", false},  {"{safe_regex: {regex: 'a.c'}}", "abc", true},
      {"{safe_regex: {regex: 'a'}}", "abc", false},  {"{safe_regex: {regex: '.*'}}", "", true},
  };
  for (const Row& row : table) {
    INFO(row.yaml << " on " << row.text);
    auto matcher = StringMatcher::compile(from_yaml<envoy::type::matcher::v3::StringMatcher>(row.yaml));
    REQUIRE(matcher.ok());
    CHECK(matcher->match(row.text) == row.match);
  }
  CHECK_FALSE(StringMatcher::compile(from_yaml<envoy::type::matcher::v3::StringMatcher>("{safe_regex: {regex: '('}}")).ok());
  CHECK_FALSE(StringMatcher::compile(from_yaml<envoy::type::matcher::v3::StringMatcher>("{ignore_case: true}")).ok());
}

TEST_CASE("header matchers: presence, inversion, missing headers, ranges, several values") {
  test::Headers headers{{":authority", "example.com"}, {"x-a", "user"}, {"x-a", "admin"}, {"x-n", "10"}, {"x-empty", ""}};
  struct Row {
    std::string_view yaml;
    bool match;
  };
  const Row table[] = {
      {"{name: x-a}", true},
      {"{name: x-none}", false},
      {"{name: X-A, present_match: true}", true},
      {"{name: x-a, present_match: false}", false},
      {"{name: x-none, present_match: false}", true},
      {"{name: x-none, invert_match: true}", true},
      {"{name: x-a, present_match: true, invert_match: true}", false},
      {"{name: x-a, string_match: {exact: user}}", true},
      {"{name: x-a, string_match: {exact: admin}}", true},
      {"{name: x-a, string_match: {exact: 'user,admin'}}", false},
      {"{name: x-a, string_match: {exact: admin}, invert_match: true}", false},
      {"{name: x-none, string_match: {exact: a}, invert_match: true}", false},
      {"{name: x-none, string_match: {exact: ''}}", false},
      {"{name: x-none, string_match: {exact: ''}, treat_missing_header_as_empty: true}", true},
      {"{name: x-none, string_match: {exact: a}, invert_match: true, treat_missing_header_as_empty: true}", true},
      {"{name: x-empty, string_match: {exact: ''}}", true},
      {"{name: x-n, range_match: {start: 10, end: 11}}", true},
      {"{name: x-n, range_match: {start: 9, end: 10}}", false},
      {"{name: x-a, range_match: {start: 0, end: 100}}", false},
      {"{name: x-n, exact_match: '10'}", true},
      {"{name: x-n, prefix_match: '1'}", true},
      {"{name: x-n, suffix_match: '0'}", true},
      {"{name: x-n, contains_match: '2'}", false},
      {"{name: x-n, safe_regex_match: {regex: '[0-9]+'}}", true},
      {"{name: host, string_match: {exact: example.com}}", true},
  };
  for (const Row& row : table) {
    INFO(row.yaml);
    auto matcher = HeaderMatcher::compile(from_yaml<envoy::config::route::v3::HeaderMatcher>(row.yaml));
    REQUIRE(matcher.ok());
    CHECK(matcher->match(*headers) == row.match);
  }
}

TEST_CASE("query matchers use the first value of a key") {
  struct Row {
    std::string_view yaml, path;
    bool match;
  };
  const Row table[] = {
      {"{name: a}", "/p?a=1", true},        {"{name: a}", "/p?a", true},
      {"{name: a}", "/p?b=1", false},       {"{name: a}", "/p", false},
      {"{name: a, present_match: false}", "/p", true}, {"{name: a, string_match: {exact: '1'}}", "/p?a=1&a=2", true},
      {"{name: a, string_match: {exact: '2'}}", "/p?a=1&a=2", false}, {"{name: a, string_match: {exact: ''}}", "/p?a", true},
      {"{name: a, string_match: {exact: '1'}}", "/p?b=2&a=1#x", true}, {"{name: aa}", "/p?a=1", false},
  };
  for (const Row& row : table) {
    INFO(row.yaml << " on " << row.path);
    auto matcher = QueryMatcher::compile(from_yaml<envoy::config::route::v3::QueryParameterMatcher>(row.yaml));
    REQUIRE(matcher.ok());
    CHECK(matcher->match(row.path) == row.match);
  }
}

TEST_CASE("cookie matchers use the first cookie of a name, and inverted match when there is none") {
  struct Row {
    std::string_view yaml, first, second;
    bool match;
  };
  const Row table[] = {
      {"{name: a, string_match: {exact: '1'}}", "a=1", "a=2", true},     {"{name: a, string_match: {exact: '1'}}", "a=2; a=1", "a=1", false},
      {"{name: a, string_match: {exact: '1'}}", "b=x;a=1", "", true},    {"{name: a, string_match: {exact: '1'}}", "b=2", "c; a=1;", true},
      {"{name: a, string_match: {exact: '1'}}", "a=\"1\"", "", true},    {"{name: a, string_match: {exact: '\"1\"'}}", "a=\"1\"", "", false},
      {"{name: a, string_match: {exact: '1'}}", "A=1", "a =1", false},   {"{name: a, string_match: {exact: '1'}}", "ab=1", "", false},
      {"{name: a, string_match: {exact: ''}}", "a", "", false},          {"{name: a, string_match: {exact: ''}}", "a=", "", true},
      {"{name: a, string_match: {exact: ''}}", "a=\"\"", "", true},      {"{name: a, string_match: {prefix: '1='}}", "a=1=1", "", true},
      {"{name: a, string_match: {exact: '1'}, invert_match: true}", "", "", true}, {"{name: a, string_match: {exact: '1'}, invert_match: true}", "a=1", "", false},
      {"{name: a, string_match: {exact: '1'}, invert_match: true}", "a=2", "", true},
  };
  for (const Row& row : table) {
    INFO(row.yaml << " on " << row.first << " and " << row.second);
    auto matcher = CookieMatcher::compile(from_yaml<envoy::config::route::v3::CookieMatcher>(row.yaml));
    REQUIRE(matcher.ok());
    test::Headers headers;
    for (const std::string_view line : {row.first, row.second}) {
      if (!line.empty()) headers->add("cookie", line);
    }
    CHECK(matcher->match(*headers) == row.match);
  }
  CHECK_FALSE(CookieMatcher::compile(from_yaml<envoy::config::route::v3::CookieMatcher>("{name: a}")).ok());
}

TEST_CASE("networks") {
  CHECK(Cidr::parse("10.1.2.3", 8).value().contains_text("10.200.0.1"));
  CHECK_FALSE(Cidr::parse("10.0.0.0", 8).value().contains_text("11.0.0.1"));
  CHECK(Cidr::parse("10.0.0.128", 25).value().contains_text("10.0.0.200"));
  CHECK_FALSE(Cidr::parse("10.0.0.128", 25).value().contains_text("10.0.0.100"));
  CHECK(Cidr::parse("0.0.0.0", 0).value().contains_text("255.255.255.255"));
  CHECK(Cidr::parse("10.0.0.0", 8).value().contains_text("::ffff:10.1.1.1"));
  CHECK_FALSE(Cidr::parse("0.0.0.0", 0).value().contains_text("2001:db8::1"));
  CHECK(Cidr::parse("2001:db8::", 33).value().contains_text("2001:db8:7fff::1"));
  CHECK_FALSE(Cidr::parse("2001:db8::", 33).value().contains_text("2001:db8:8000::1"));
  CHECK_FALSE(Cidr::parse("10.0.0.0", 8).value().contains_text("not an address"));
  CHECK(Cidr::parse("10.1.2.3", 8).value().describe() == "10.0.0.0/8");
  CHECK_FALSE(Cidr::parse("10.0.0.0", 33).ok());
  CHECK_FALSE(Cidr::parse("example.com", 8).ok());
}

TEST_CASE("fractions follow the runtime when it has their key") {
  const auto fraction = Fraction::compile(from_yaml<envoy::config::core::v3::RuntimeFractionalPercent>(
                                              "{default_value: {numerator: 30, denominator: TEN_THOUSAND}, runtime_key: k}"))
                            .value();
  CHECK(fraction.match(29, nullptr));
  CHECK_FALSE(fraction.match(30, nullptr));
  CHECK(fraction.match(10'029, nullptr));
  Runtime runtime;
  runtime.set("k", {"50", 50.0, {}});
  CHECK(fraction.match(149, &runtime));
  CHECK_FALSE(fraction.match(150, &runtime));
  runtime.set("k", {"", {}, std::pair<uint32_t, uint32_t>(1, 1'000'000)});
  CHECK(fraction.match(0, &runtime));
  CHECK_FALSE(fraction.match(1, &runtime));
  CHECK_FALSE(Fraction(0).match(0, nullptr));
  CHECK(Fraction(100).match(99, nullptr));
}
