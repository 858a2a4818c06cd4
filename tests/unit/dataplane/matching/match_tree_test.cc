// The unified matcher over values given by name.
#include "dataplane/matching/match_tree.h"

#include <catch2/catch.hpp>

#include <map>

#include "tests/unit/dataplane/from_yaml.h"
#include "xds/core/v3/extension.pb.h"
#include "xds/type/matcher/v3/matcher.pb.h"

using namespace fairlead;
using namespace fairlead::matching;
using Catch::Matchers::Contains;

namespace {

// Inputs are named "0", "1", …; actions "1", "2", …
absl::StatusOr<uint32_t> number(const xds::core::v3::TypedExtensionConfig& config, const std::string& field) {
  if (config.name().empty() || config.name()[0] < '0' || config.name()[0] > '9') return absl::InvalidArgumentError(field + ": unknown");
  return static_cast<uint32_t>(std::stoul(config.name()));
}

absl::StatusOr<MatchTree> compile(const std::string& yaml) {
  return MatchTree::compile(test::from_yaml<xds::type::matcher::v3::Matcher>(yaml), {.input = number, .action = number, .server_names = true}, "matcher");
}

struct Values final : MatchInputs {
  explicit Values(std::map<uint32_t, std::string> values) : values(std::move(values)) {}
  std::optional<std::string_view> value(uint32_t input, std::string& scratch) const override {
    const auto it = values.find(input);
    if (it == values.end()) return std::nullopt;
    return scratch = it->second;
  }
  std::map<uint32_t, std::string> values;
};

// 0: nothing
uint32_t answer(const std::string& yaml, std::map<uint32_t, std::string> values) {
  const auto tree = compile(yaml);
  INFO(tree.status().message());
  REQUIRE(tree.ok());
  return tree->match(Values(std::move(values))).value_or(0);
}

std::string fault(const std::string& yaml) {
  const auto tree = compile(yaml);
  return tree.ok() ? "" : std::string(tree.status().message());
}

std::string input(int n) { return "input: {name: '" + std::to_string(n) + "', typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}"; }
std::string act(int n) { return "action: {name: '" + std::to_string(n) + "', typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}"; }
std::string is(int n, const std::string& what) { return "{single_predicate: {" + input(n) + ", value_match: {" + what + "}}}"; }
std::string list(const std::string& entries, const std::string& otherwise = "") {
  return "{matcher_list: {matchers: [" + entries + "]}" + (otherwise.empty() ? "" : ", on_no_match: {" + otherwise + "}") + "}";
}
std::string custom(const std::string& message, const std::string& fields) {
  return "custom_match: {name: m, typed_config: {'@type': type.googleapis.com/xds.type.matcher.v3." + message + ", " + fields + "}}";
}

}  // namespace

TEST_CASE("a matcher without entries is its on_no_match") {
  CHECK(answer("{on_no_match: {" + act(4) + "}}", {}) == 4);
  CHECK(answer("{}", {}) == 0);
}

TEST_CASE("the first entry of a list whose predicate holds decides") {
  const std::string yaml = list("{predicate: " + is(0, "exact: a") + ", on_match: {" + act(1) + "}}, {predicate: " + is(0, "prefix: a") + ", on_match: {" + act(2) + "}}", act(9));
  CHECK(answer(yaml, {{0, "a"}}) == 1);
  CHECK(answer(yaml, {{0, "ab"}}) == 2);
  CHECK(answer(yaml, {{0, "b"}}) == 9);
  CHECK(answer(yaml, {}) == 9);  // no value matches nothing
}

TEST_CASE("predicates: and, or, not, and each way to look at a value") {
  const auto holds = [](const std::string& predicate, std::map<uint32_t, std::string> values) {
    return answer(list("{predicate: " + predicate + ", on_match: {" + act(1) + "}}"), std::move(values)) == 1;
  };
  const std::string both = "{and_matcher: {predicate: [" + is(0, "suffix: x") + ", " + is(1, "contains: y") + "]}}";
  CHECK(holds(both, {{0, "ax"}, {1, "ayb"}}));
  CHECK_FALSE(holds(both, {{0, "ax"}, {1, "b"}}));
  const std::string either = "{or_matcher: {predicate: [" + is(0, "safe_regex: {google_re2: {}, regex: 'a+'}") + ", " + is(1, "exact: Y, ignore_case: true") + "]}}";
  CHECK(holds(either, {{0, "aaa"}}));
  CHECK(holds(either, {{1, "y"}}));
  CHECK_FALSE(holds(either, {{0, "aab"}, {1, "z"}}));
  CHECK(holds("{not_matcher: " + is(0, "exact: a") + "}", {}));
  CHECK_FALSE(holds("{not_matcher: " + is(0, "exact: a") + "}", {{0, "a"}}));
}

TEST_CASE("an entry whose tree finds nothing leaves the choice to the next") {
  const std::string nothing = "matcher: " + list("{predicate: " + is(1, "exact: x") + ", on_match: {" + act(1) + "}}");
  const std::string yaml = list("{predicate: " + is(0, "exact: a") + ", on_match: {" + nothing + "}}, {predicate: " + is(0, "prefix: a") + ", on_match: {" + act(2) + "}}", act(9));
  CHECK(answer(yaml, {{0, "a"}, {1, "x"}}) == 1);
  CHECK(answer(yaml, {{0, "a"}, {1, "y"}}) == 2);
  const std::string map = "{matcher_tree: {" + input(0) + ", exact_match_map: {map: {a: {" + nothing + "}}}}, on_no_match: {" + act(9) + "}}";
  CHECK(answer(map, {{0, "a"}, {1, "y"}}) == 9);
}

TEST_CASE("an entry that keeps matching is passed over") {
  const std::string yaml = list("{predicate: " + is(0, "exact: a") + ", on_match: {" + act(1) + ", keep_matching: true}}, {predicate: " + is(0, "exact: a") + ", on_match: {" + act(2) + "}}");
  CHECK(answer(yaml, {{0, "a"}}) == 2);
}

TEST_CASE("maps of values: exact, and the longest prefix that leads anywhere") {
  const std::string exact = "{matcher_tree: {" + input(0) + ", exact_match_map: {map: {a: {" + act(1) + "}, '': {" + act(2) + "}}}}, on_no_match: {" + act(9) + "}}";
  CHECK(answer(exact, {{0, "a"}}) == 1);
  CHECK(answer(exact, {{0, ""}}) == 2);
  CHECK(answer(exact, {{0, "b"}}) == 9);
  CHECK(answer(exact, {}) == 9);
  const std::string never = "matcher: " + list("{predicate: " + is(7, "exact: x") + ", on_match: {" + act(1) + "}}");
  const std::string prefix = "{matcher_tree: {" + input(0) + ", prefix_match_map: {map: {a: {" + act(1) + "}, ab: {" + act(2) + "}, abc: {" + never + "}}}}}";
  CHECK(answer(prefix, {{0, "a"}}) == 1);
  CHECK(answer(prefix, {{0, "abz"}}) == 2);
  CHECK(answer(prefix, {{0, "abcd"}}) == 2);  // the longest finds nothing
  CHECK(answer(prefix, {{0, "z"}}) == 0);
}

TEST_CASE("networks: the longest first, then the shorter ones that are not exclusive") {
  const auto range = [](const std::string& prefix, int bits) { return "{address_prefix: '" + prefix + "', prefix_len: " + std::to_string(bits) + "}"; };
  const std::string never = "matcher: " + list("{predicate: " + is(7, "exact: x") + ", on_match: {" + act(1) + "}}");
  const auto tree = [&](bool exclusive) {
    return "{matcher_tree: {" + input(0) + ", " +
           custom("IPMatcher", "range_matchers: [{ranges: [" + range("10.0.0.0", 8) + "], on_match: {" + act(1) + "}" + (exclusive ? ", exclusive: true" : "") + "}, {ranges: [" +
                                   range("10.1.0.0", 16) + ", " + range("::1", 128) + "], on_match: {" + act(2) + "}}, {ranges: [" + range("10.1.1.0", 24) + "], on_match: {" + never + "}}, " +
                                   "{ranges: [" + range("10.2.2.0", 24) + "], on_match: {" + never + "}}]") +
           "}, on_no_match: {" + act(9) + "}}";
  };
  CHECK(answer(tree(false), {{0, "10.9.9.9"}}) == 1);
  CHECK(answer(tree(false), {{0, "10.1.9.9"}}) == 2);
  CHECK(answer(tree(false), {{0, "10.1.1.1"}}) == 2);
  CHECK(answer(tree(false), {{0, "10.2.2.2"}}) == 1);
  CHECK(answer(tree(true), {{0, "10.2.2.2"}}) == 9);
  CHECK(answer(tree(true), {{0, "10.9.9.9"}}) == 1);  // the first to fit may be exclusive
  CHECK(answer(tree(false), {{0, "::1"}}) == 2);
  CHECK(answer(tree(false), {{0, "11.0.0.1"}}) == 9);
  CHECK(answer(tree(false), {{0, "no address"}}) == 9);
}

TEST_CASE("server names: exact, then wildcards from the longest, then any") {
  const std::string yaml = "{matcher_tree: {" + input(0) + ", " +
                           custom("ServerNameMatcher", "domain_matchers: [{domains: [a.com], on_match: {" + act(1) + "}}, {domains: ['*.a.com', '*.b.com'], on_match: {" + act(2) +
                                                           "}}, {domains: ['*.com'], on_match: {" + act(3) + "}}, {domains: ['*'], on_match: {" + act(4) + "}}]") +
                           "}, on_no_match: {" + act(9) + "}}";
  CHECK(answer(yaml, {{0, "a.com"}}) == 1);
  CHECK(answer(yaml, {{0, "x.a.com"}}) == 2);
  CHECK(answer(yaml, {{0, "y.x.b.com"}}) == 2);
  CHECK(answer(yaml, {{0, "c.com"}}) == 3);
  CHECK(answer(yaml, {{0, "org"}}) == 4);
  CHECK(answer(yaml, {{0, ".a.com"}}) == 2);
  CHECK(answer(yaml, {{0, "."}}) == 4);
  CHECK(answer(yaml, {{0, ""}}) == 9);
  CHECK(answer(yaml, {}) == 9);
}

TEST_CASE("what is wrong with a matcher is told with its place") {
  CHECK_THAT(fault(list("{predicate: {single_predicate: {input: {name: x}, value_match: {exact: a}}}, on_match: {" + act(1) + "}}")),
             Contains("matcher.matcher_list.matchers[0].predicate.single_predicate.input: unknown"));
  CHECK_THAT(fault("{on_no_match: {action: {name: x}}}"), Contains("matcher.on_no_match.action: unknown"));
  CHECK_THAT(fault(list("{predicate: " + is(0, "safe_regex: {google_re2: {}, regex: '('}") + ", on_match: {" + act(1) + "}}")), Contains("value_match.safe_regex.regex: "));
  CHECK_THAT(fault("{matcher_tree: {" + input(0) + ", custom_match: {name: m, typed_config: {'@type': type.googleapis.com/google.protobuf.Empty}}}}"),
             Contains("matcher.matcher_tree.custom_match: Didn't find a registered implementation for 'm' with type URL: 'type.googleapis.com/google.protobuf.Empty'"));
  CHECK_THAT(fault("{matcher_tree: {" + input(0) + ", " + custom("ServerNameMatcher", "domain_matchers: [{domains: ['a*'], on_match: {" + act(1) + "}}]") + "}}"),
             Contains("Invalid wildcard domain format: a*. Only '*' and '*.domain' patterns are supported"));
  CHECK_THAT(fault("{matcher_tree: {" + input(0) + ", " + custom("ServerNameMatcher", "domain_matchers: [{domains: [a, a], on_match: {" + act(1) + "}}]") + "}}"), Contains("Duplicate domain in ServerNameMatcher: a"));
  CHECK_THAT(fault("{matcher_tree: {" + input(0) + ", " + custom("IPMatcher", "range_matchers: [{ranges: [{address_prefix: x}], on_match: {" + act(1) + "}}]") + "}}"),
             Contains("matcher.matcher_tree.custom_match.typed_config.range_matchers[0].ranges[0]: malformed IP address: x"));
  std::string deep = act(1);
  for (int i = 0; i < 40; ++i) deep = "matcher: {on_no_match: {" + deep + "}}";
  CHECK_THAT(fault("{on_no_match: {" + deep + "}}"), Contains("more than 32 matchers within each other"));
}
