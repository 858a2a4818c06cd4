// Conditions on values of metadata, and on what is missing.
#include "dataplane/matching/metadata_matcher.h"

#include <catch2/catch.hpp>

#include "envoy/config/core/v3/base.pb.h"
#include "envoy/type/matcher/v3/metadata.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace metadata_matcher_test {

using namespace fairlead;
using namespace fairlead::matching;
using test::from_yaml;

namespace {

absl::StatusOr<MetadataMatcher> compile(std::string_view yaml) {
  return MetadataMatcher::compile(from_yaml<envoy::type::matcher::v3::MetadataMatcher>(yaml), "m");
}

}  // namespace

TEST_CASE("metadata matchers: every pattern, at any depth, and what is missing") {
  const auto metadata = from_yaml<envoy::config::core::v3::Metadata>(
      "{filter_metadata: {f: {text: abc, number: 3.5, yes: true, nothing: null, list: [a, 7], deep: {er: {most: x}}}}}");
  struct Row {
    std::string_view path, value;
    bool match;
  };
  const Row table[] = {
      {"text", "string_match: {prefix: ab}", true},
      {"text", "string_match: {exact: ab}", false},
      {"number", "string_match: {prefix: '3'}", false},
      {"number", "double_match: {exact: 3.5}", true},
      {"number", "double_match: {range: {start: 3.5, end: 4}}", true},
      {"number", "double_match: {range: {start: 3, end: 3.5}}", false},
      {"text", "double_match: {exact: 3.5}", false},
      {"yes", "bool_match: true", true},
      {"yes", "bool_match: false", false},
      {"none", "bool_match: false", false},
      {"nothing", "null_match: {}", true},
      {"none", "null_match: {}", false},
      {"nothing", "present_match: true", true},
      {"none", "present_match: true", false},
      {"none", "present_match: false", false},
      {"text", "present_match: false", false},
      {"list", "present_match: true", false},
      {"deep", "present_match: true", false},
      {"list", "list_match: {one_of: {string_match: {exact: a}}}", true},
      {"list", "list_match: {one_of: {double_match: {exact: 8}}}", false},
      {"text", "list_match: {one_of: {string_match: {exact: abc}}}", false},
      {"text", "or_match: {value_matchers: [{bool_match: true}, {string_match: {suffix: c}}]}", true},
      {"text", "or_match: {value_matchers: [{bool_match: true}, {string_match: {suffix: d}}]}", false},
  };
  for (const Row& row : table) {
    const std::string entry = "filter: f, path: [{key: " + std::string(row.path) + "}], value: {" + std::string(row.value) + "}";
    INFO(entry);
    const auto matcher = compile("{" + entry + "}");
    REQUIRE(matcher.ok());
    CHECK(matcher->match(&metadata) == row.match);
    CHECK(compile("{" + entry + ", invert: true}")->match(&metadata) != row.match);
  }
  const auto deep = compile("{filter: f, path: [{key: deep}, {key: er}, {key: most}], value: {string_match: {exact: x}}}").value();
  CHECK(deep.match(&metadata));
  CHECK(deep.describe() == "metadata f[deep][er][most]");
  CHECK_FALSE(compile("{filter: f, path: [{key: text}, {key: er}], value: {present_match: true}}")->match(&metadata));
  CHECK_FALSE(compile("{filter: other, path: [{key: text}], value: {present_match: true}}")->match(&metadata));
  CHECK_FALSE(deep.match(static_cast<const envoy::config::core::v3::Metadata*>(nullptr)));
  CHECK(compile("{filter: f, path: [{key: deep}], value: {present_match: true}, invert: true}")->describe() == "not metadata f[deep]");
}

TEST_CASE("a metadata matcher that cannot be compiled names its part") {
  CHECK(compile("{filter: f, path: [{key: a}], value: {}}").status().message() == "m.value: one of its patterns must be set");
  const auto broken = compile("{filter: f, path: [{key: a}], value: {or_match: {value_matchers: [{bool_match: true}, {string_match: {safe_regex: {regex: '('}}}]}}}");
  CHECK_THAT(std::string(broken.status().message()), Catch::Contains("m.value.or_match.value_matchers[1].string_match"));
}

}  // namespace metadata_matcher_test
