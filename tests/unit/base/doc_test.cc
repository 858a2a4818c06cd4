// Parsing YAML and JSON with places, refusing what would hurt, writing back.
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <limits>

#include "base/doc.h"
#include "tests/slowness.h"

namespace fairlead::doc {
namespace {

Value one(std::string_view text) {
  auto parsed = parse_yaml(text, "t.yaml");
  INFO(text);
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  REQUIRE(parsed->size() == 1);
  return parsed->front();
}

std::string yaml_error(std::string_view text, const Limits& limits = {}) {
  const auto parsed = parse_yaml(text, "t.yaml", limits);
  INFO(text);
  REQUIRE_FALSE(parsed.ok());
  return std::string(parsed.status().message());
}

std::string json_error(std::string_view text, const Limits& limits = {}) {
  const auto parsed = parse_json(text, "t.json", limits);
  INFO(text);
  REQUIRE_FALSE(parsed.ok());
  return std::string(parsed.status().message());
}

TEST_CASE("plain scalars follow the core schema of YAML 1.2") {
  struct Case {
    const char* text;
    Value value;
  };
  const Case cases[] = {
      {"null", null()},           {"~", null()},
      {"true", boolean(true)},    {"False", boolean(false)},
      {"yes", string("yes")},     {"n", string("n")},
      {"on", string("on")},       {"12", integer(12)},
      {"-12", integer(-12)},      {"+12", integer(12)},
      {"0644", integer(644)},     {"0o17", integer(15)},
      {"0xFf", integer(255)},     {"1_000", string("1_000")},
      {"1.5", number(1.5)},       {"1e3", number(1000)},
      {".5", number(.5)},         {"5.", number(5)},
      {"-.inf", number(-HUGE_VAL)}, {".nan", number(std::nan(""))},
      {".", string(".")},         {"1.2.3.4", string("1.2.3.4")},
      {"12:30", string("12:30")}, {"0.25s", string("0.25s")},
      {"-", string("-x")},        {"0x", string("0x")},
      {"1e", string("1e")},       {"2020-01-01", string("2020-01-01")},
      {"18446744073709551615", unsigned_integer(std::numeric_limits<std::uint64_t>::max())},
      {"-9223372036854775808", integer(std::numeric_limits<std::int64_t>::min())},
      {"18446744073709551616", number(18446744073709551616.0)},
  };
  for (const Case& c : cases) {
    INFO(c.text);
    const std::string text = std::string_view(c.text) == "-" ? "-x" : c.text;
    CHECK(*one("v: " + text).find("v") == c.value);
  }
}

TEST_CASE("quotes and tags decide the type") {
  CHECK(*one("v: '12'").find("v") == string("12"));
  CHECK(*one("v: \"null\"").find("v") == string("null"));
  CHECK(*one("v: !!str 12").find("v") == string("12"));
  CHECK(*one("v: ! 12").find("v") == string("12"));
  CHECK(*one("v: !!int \"12\"").find("v") == integer(12));
  CHECK(*one("v: !!float 1").find("v") == number(1));
  CHECK(*one("v: !!map {}").find("v") == map({}));
  CHECK(*one("v: !!str null").find("v") == string("null"));
  CHECK(yaml_error("v: !!int x") == "t.yaml:1:4: \"x\" does not fit the tag !!int");
  CHECK(yaml_error("v: !secret x") == "t.yaml:1:4: unknown tag !secret");
  CHECK_THAT(yaml_error("v: !!binary aGk="), Catch::Contains("unknown tag"));
  CHECK_THAT(yaml_error("v: !!seq {}"), Catch::Contains("does not fit a map"));
}

TEST_CASE("values know their places") {
  const Value v = one("a: 1\nb:\n  - x\n  - c: {d: deep}\n");
  CHECK(v.find("a")->mark().to_string() == "t.yaml:1");
  CHECK(v.find_entry("b")->key_mark.line == 2);
  const Value deep = *v.find("b")->items()[1].find_path("c.d");
  CHECK(deep.as_string() == "deep");
  CHECK(deep.mark().line == 4);
  CHECK(deep.mark().column == 12);
  CHECK(deep.mark().file_name() == "t.yaml");
}

TEST_CASE("several documents; empty ones are left out") {
  const auto parsed = parse_yaml("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n---\nc: 3\n", "t.yaml");
  REQUIRE(parsed.ok());
  REQUIRE(parsed->size() == 3);
  CHECK((*parsed)[2].mark().line == 10);
  CHECK(parse_yaml("", "t.yaml")->empty());
  CHECK(parse_yaml("# only a comment\n", "t.yaml")->empty());
  CHECK(parse_one("", "t.yaml")->is_map());
  CHECK(parse_one("a: 1\n---\nb: 2\n", "t.yaml").status().message() == "t.yaml:3:1: a second document; expected one");
}

TEST_CASE("text that is cut off a document by a slip is an error, not a second document") {
  CHECK(yaml_error("- a\n-b\n").starts_with("t.yaml:2:1: text left over"));
  CHECK(yaml_error("a: [1, 2\nb: 3\n").starts_with("t.yaml:"));
  CHECK(yaml_error("a: [1]\n]\n").starts_with("t.yaml:2:1:"));
  CHECK(yaml_error("{a: b}\nc: d\n").starts_with("t.yaml:2:1:"));
  CHECK(yaml_error("a: b\n - c\nd\n") == "t.yaml:3:1: expected ':' after the key 'd'");
  const std::string line(64, 'M');  // of a private key, out of place
  CHECK(yaml_error("tls.key: |\n  -----BEGIN\n" + line + "\n").find(line.substr(0, 8)) == std::string::npos);
  CHECK(one("a: {b, c: d}\n? e\n") == map({{"a", map({{"b", null(), {}}, {"c", string("d"), {}}}), {}}, {"e", null(), {}}}));
  CHECK(yaml_error("  a: 1\nb: 2\n").starts_with("t.yaml:2:1:"));
}

TEST_CASE("broken YAML is refused with its place") {
  for (const char* text : {"a: b: c", "a: [1, 2", "a: {b: c", "a: 'x", "a: \"x", "\"k\":v\n", "a: *nope", "a: @x", "a:\n\tb: c\n\t- d", "? [a]\n: b",
                           "a: b\n  c: d", "%YAML 3.0\n---\na", "a: |x\n y", "a: \"\\q\"", "- a\nb: c", "[a]: b", "---\n, a", ", a", "--- ]", "a: 1\n---\n} x", "? {a: b}\n: c", "~: a"}) {
    INFO(text);
    CHECK(yaml_error(text).starts_with("t.yaml:"));
  }
}

TEST_CASE("a key twice names both lines") {
  CHECK(yaml_error("a: 1\nb: 2\na: 3\n") == "t.yaml:3:1: the key 'a' is given twice; first on line 1");
  CHECK(yaml_error("x: {a: 1, \"a\": 2}") == "t.yaml:1:11: the key 'a' is given twice; first on line 1");
  std::string many;
  for (int i = 0; i < 100; ++i) many += "k" + std::to_string(i) + ": 1\n";
  CHECK(yaml_error(many + "k7: 2\n") == "t.yaml:101:1: the key 'k7' is given twice; first on line 8");
  CHECK(json_error("{\"a\": 1,\n \"a\": 2}") == "t.json:2:2: the key 'a' is given twice; first on line 1");
}

TEST_CASE("aliases and merge keys") {
  const Value v = one("base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nmerged:\n  y: 0\n  <<: [*b, *o]\nsame: *b\ntext: &t hi\nagain: *t\n*t : key\n");
  CHECK(*v.find("merged") == map({{"x", integer(1), {}}, {"y", integer(0), {}}, {"z", integer(4), {}}}));
  CHECK(*v.find("same") == *v.find("base"));
  CHECK(v.find("same")->mark().line == 1);
  CHECK(v.find("again")->as_string() == "hi");
  CHECK(v.find("hi")->as_string() == "key");
  CHECK(*one("\"<<\": 1").find("<<") == integer(1));
  CHECK_THAT(yaml_error("a: &x [*x]"), Catch::Contains("inside the very value"));
  CHECK_THAT(yaml_error("a: {<<: 5}"), Catch::Contains("merges maps"));
  CHECK(yaml_error("a: &x 1\n---\nb: *x\n").starts_with("t.yaml:3:"));
}

TEST_CASE("alias bombs are refused by count") {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string last = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j == 0 ? "" : ",") + last;
    bomb += "]\n";
  }
  CHECK_THAT(yaml_error(bomb), Catch::Contains("too large: more than 1000000 values once aliases are expanded"));
  std::string deep = "a0: &a0 [x]\n";
  for (int i = 1; i < 200; ++i) deep += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  CHECK_THAT(yaml_error(deep), Catch::Contains("nested deeper than 100 levels once the alias is expanded"));
  // one long text, used often
  std::string longer = "t: &t " + std::string(500'000, 'x') + "\nl:\n";
  for (int i = 0; i < 2000; ++i) longer += "- *t\n";
  CHECK_THAT(yaml_error(longer), Catch::Contains("too large"));
}

TEST_CASE("depth is bounded and no depth exhausts the stack") {
  const auto repeated = [](std::string_view piece, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += piece;
    return out;
  };
  const std::pair<const char*, const char*> pairs[] = {{"- ", ""}, {"[", "]"}, {"{a: ", "}"}, {"[{a: ", "}]"}, {"[\n", "]\n"}};
  for (const auto& [open, close] : pairs) {
    INFO(open);
    CHECK_THAT(yaml_error(repeated(open, 100'000) + repeated(close, 100'000)), Catch::Contains("nested"));
    CHECK_THAT(yaml_error(repeated(open, 450) + repeated(close, 450), Limits{.max_depth = 1'000'000}), Catch::Contains("nested"));
  }
  // Never closed, yaml-cpp takes them for the start of a key, which only a scalar can be.
  for (const char* piece : {"[", "{a: ", "? ", "[{a: ", "- ? "}) {
    INFO(piece);
    CHECK_THAT(yaml_error(repeated(piece, 100'000)), Catch::Contains("a key must be a string"));
  }
  std::string indented;
  for (int i = 0; i < 3000; ++i) indented += std::string(static_cast<std::size_t>(i), ' ') + "a:\n";
  CHECK_THAT(yaml_error(indented), Catch::Contains("nested deeper than 100 levels"));
  CHECK(json_error(repeated("[", 100'000)) == "t.json:1:101: nested deeper than 100 levels");
  CHECK_THAT(json_error(repeated("[", 100'000), Limits{.max_depth = 1'000'000}), Catch::Contains("nested deeper"));
  CHECK(parse_yaml(repeated("[", 100) + repeated("]", 100), "t").ok());
  CHECK_FALSE(parse_yaml(repeated("[", 101) + repeated("]", 101), "t").ok());
  CHECK_THAT(yaml_error("[1,2,3]", Limits{.max_nodes = 3}), Catch::Contains("too large"));
  CHECK(parse_yaml("[1,2,3]", "t", Limits{.max_nodes = 4}).ok());
  CHECK(parse_yaml("abcd", "t", Limits{.max_bytes = 3}).status().code() == absl::StatusCode::kResourceExhausted);
}

TEST_CASE("what is not UTF-8 text is refused with its place") {
  CHECK(yaml_error("a: b\nc: \xff\n") == "t.yaml:2:4: the text is not UTF-8");
  CHECK(yaml_error(std::string("a: \x04 b", 7)) == "t.yaml:1:4: control character 4 is not allowed in text");
  CHECK_THAT(yaml_error(std::string("a\0:\0", 4)), Catch::Contains("control character 0"));
  CHECK_THAT(yaml_error("a: \xed\xa0\x80"), Catch::Contains("not UTF-8"));  // a surrogate
  CHECK_THAT(yaml_error("a: \xc0\xaf"), Catch::Contains("not UTF-8"));      // overlong
  CHECK(one("\xEF\xBB\xBF" "a: é").find("a")->as_string() == "é");
  CHECK(one("a: 1\r\nb: 2\r\n").find("b")->mark().line == 2);
}

TEST_CASE("escapes in double quotes give UTF-8") {
  CHECK(one(R"(a: "\_\N\xe9\u00e9\U0001F600\0x\t")").find("a")->as_string() == std::string("\xC2\xA0\xC2\x85\u00e9\u00e9\U0001F600\0x\t", 15));
  CHECK_THAT(yaml_error(R"(a: "\ud800")"), Catch::Contains("t.yaml:1:"));
}

TEST_CASE("long lines in flow style") {
  std::string inside = "k0: {x: [1, 2]}";
  for (int i = 1; i < 1000; ++i) inside += ", k" + std::to_string(i) + ": {x: [1, \"two\"]}";
  CHECK(one("a: {" + inside + "}").find("a")->size() == 1000);
  CHECK(one("{" + inside + "}").size() == 1000);
  CHECK(one("- {" + inside + "}\n- [{" + inside + "}]").size() == 2);
  CHECK(one("\"a\": \"" + std::string(5000, 'x') + "\"").find("a")->as_string().size() == 5000);
}

TEST_CASE("block scalars") {
  CHECK(one("a: |\n  x\n   y\n\n  z\nb: 1").find("a")->as_string() == "x\n y\n\nz\n");
  CHECK(one("a: |-\n  x\n").find("a")->as_string() == "x");
  CHECK(one("a: >\n  x\n  y\n").find("a")->as_string() == "x y\n");
}

TEST_CASE("strict JSON") {
  const Value v = *parse_json(" {\"a\": [1, -2.5, 1e2, true, null, \"x\\u00e9\\ud83d\\ude00\\n\"],\n\"b\": {}} ", "t.json");
  CHECK(v.find("a")->items()[0] == integer(1));
  CHECK(v.find("a")->items()[2] == number(100));
  CHECK(v.find("a")->items()[5].as_string() == "xé😀\n");
  CHECK(v.find("b")->mark().line == 2);
  CHECK(v.find("b")->mark().column == 6);
  for (const char* text : {"", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "1e", "-", "tru", "nul", "\"a", "\"\\x\"", "\"\\ud800\"", "\"\\udc00\"",
                           "\"\\ud800\\u0041\"", "[1 2]", "{\"a\" 1}", "1 2", "// c\n1", "\"a\nb\"", "'a'", "\"\\u12g4\"", "[", "{\"a\":", "NaN", "truex"}) {
    INFO(text);
    CHECK(json_error(text).starts_with("t.json:"));
  }
  CHECK(json_error("{\n  \"a\": x}") == "t.json:2:8: expected a value");
}

TEST_CASE("JSON or YAML is chosen by name and content") {
  CHECK(parse_any("{\"a\": 1}", "x")->front() == map({{"a", integer(1), {}}}));
  CHECK(parse_any("{a: 1}", "x")->front() == map({{"a", integer(1), {}}}));
  CHECK_FALSE(parse_any("{a: 1}", "x.json").ok());
  CHECK(parse_any("a: 1\n---\nb: 1", "x.yaml")->size() == 2);
}

TEST_CASE("large maps are found by key, and duplicates given to the maker resolve to the last") {
  std::vector<Entry> entries;
  for (int i = 0; i < 1000; ++i) entries.push_back({"k" + std::to_string(i % 500), integer(i), {}});
  const Value v = map(entries);
  CHECK(v.size() == 500);
  CHECK(*v.find("k7") == integer(507));
  CHECK(v.find("nope") == nullptr);
  CHECK(with(v, "k7", integer(1)).find("k7")->as_integer() == 1);
  CHECK(with(v, "new", integer(1)).size() == 501);
  CHECK(without(v, "k7").find("k7") == nullptr);
  CHECK(v.find("k7")->as_integer() == 507);
}

TEST_CASE("what is written is read back equal, as YAML and as JSON") {
  const std::vector<std::string> texts{"", " ", "a", "a b", " a", "a ", "a: b", "a:", ":a", "#x", "a #b", "a#b", "- a", "-", "?", "yes", "No", "null", "~", "true", "12", "1.5", "0x1f",
                                       "1e3", "2020-01-01", "12:30:45", "10.0.0.1", "0.25s", "a\nb", "a\nb\n", "a\n\nb\n\n", "\na", " a\nb", "\t", "a\tb", "tab\n\tline\n", "trail \nx",
                                       "quote\"s", "back\\slash", "'", "é😀", "\x7f", "\xC2\x85", "\xE2\x80\xA8", "\xEF\xBB\xBFx", "@type", "%x", "&a", "*a", "!t", "|", ">", "{a}", "[a]",
                                       "a,b", "<<", "---", "...", "a\r\nb", "\x01", "--- a\nb", "y", "=", "/path/x", "a  b", "line\n...\nend\n", "line\n---\n", "# c\nd\n", std::string(2000, 'k')};
  std::vector<Value> items;
  std::vector<Entry> entries;
  for (const std::string& text : texts) {
    items.push_back(string(text));
    entries.push_back({text, list({string(text), map({{"k", string(text), {}}})}), {}});
    INFO(to_yaml(string(text)));
    CHECK(one("v: " + std::string(1, '\n') + "  - " + to_json(string(text))).find("v")->items()[0] == string(text));
  }
  const Value all = map({{"items", list(items), {}},
                         {"map", map(entries), {}},
                         {"numbers", list({integer(-5), number(1.0), number(0.1), number(1e300), number(-0.0), number(5e-324), unsigned_integer(~0ULL)}), {}},
                         {"nested", list({list({list({}), list({integer(1), list({integer(2)})})}), map({}), null(), boolean(false)}), {}}});
  const std::string yaml = to_yaml(all);
  INFO(yaml);
  CHECK(one(yaml) == all);
  CHECK(to_yaml(one(yaml)) == yaml);
  for (const bool pretty : {false, true}) CHECK(*parse_json(to_json(all, pretty), "t") == all);
  const Value infinite = list({number(HUGE_VAL), number(-HUGE_VAL), number(std::nan(""))});
  CHECK(one(to_yaml(infinite)) == infinite);
  CHECK(to_json(infinite) == "[\"Infinity\",\"-Infinity\",\"NaN\"]");
}

TEST_CASE("the written YAML is what a person would write") {
  const Value v = one("a: {b: [1, {c: x, d: [z]}], e: {}}\ntext: \"one\\ntwo\\n\"\nport: '80'\n");
  CHECK(to_yaml(v) == "a:\n  b:\n  - 1\n  - c: x\n    d:\n    - z\n  e: {}\ntext: |\n  one\n  two\nport: \"80\"\n");
  CHECK(to_json(one("{a: [1, {}], b: []}"), true) == "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
  CHECK(to_json(string("bad \xff byte")) == "\"bad \\ufffd byte\"");
  CHECK(string(std::string(100, 'x')).describe() == "\"" + std::string(60, 'x') + "\"…");
}

TEST_CASE("ten megabytes parse in seconds", "[large]") {
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "cluster_" + std::to_string(i);
    text += "- name: " + name + "\n  type: STATIC\n  load_assignment:\n    cluster_name: " + name + "\n    endpoints:\n    - lb_endpoints:\n";
    for (int j = 0; j < 60; ++j) {
      text += "      - endpoint:\n          address:\n            socket_address:\n              address: 10.0.0." + std::to_string(j) +
              "\n              port_value: 8080\n        health_status: HEALTHY\n";
    }
  }
  const auto start = std::chrono::steady_clock::now();
  const auto parsed = parse_yaml(text, "large.yaml");
  const auto took = std::chrono::steady_clock::now() - start;
  REQUIRE(parsed.ok());
  CHECK(parsed->front().size() == 1000);
  CHECK(took < testing::kSlowness * std::chrono::seconds(20));
  const auto seconds = std::chrono::duration<double>(took).count();
  WARN(text.size() / 1e6 << " MB in " << seconds << " s");
}

}  // namespace
}  // namespace fairlead::doc
