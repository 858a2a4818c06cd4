// Typed reading: errors with file, line and path; unknown fields with suggestions.
#include <catch2/catch.hpp>

#include "base/doc_reader.h"

namespace fairlead::doc {
namespace {

Reader read(std::string_view text) { return Reader(*parse_one(text, "a.yaml")); }

TEST_CASE("readers go down by key and index and name the path in errors") {
  const Reader root = read("spec:\n  rules:\n  - name: [x]\n    port: 80\n    on: true\n");
  const Reader rule = root.get("spec").get("rules").at(0);
  CHECK(rule.get("name").string().status().message() == "a.yaml:3: spec.rules[0].name: expected a string, got a list");
  CHECK(*rule.get("port").integer(1, 65535) == 80);
  CHECK(rule.get("port").integer(100, 200).status().message() == "a.yaml:4: spec.rules[0].port: expected an integer from 100 to 200, got 80");
  CHECK(*rule.get("on").boolean());
  CHECK(rule.get("port").string().status().message() == "a.yaml:4: spec.rules[0].port: expected a string, got 80");
  CHECK(root.get("spec").get("rules").at(5).get("x").string().status().message() == "a.yaml:3: spec.rules[5].x: is required (a string)");
  CHECK_FALSE(root.get("nope").present());
  CHECK(root.get("spec").list().status().message() == "a.yaml:2: spec: expected a list, got a map");
}

TEST_CASE("lists, maps, strings, durations, numbers") {
  const Reader root = read("l: [a, b]\nm: {x: '1', y: '2'}\nd: 250ms\nf: 1.5\nw: 8080.0\nbad: [a, 1]\n");
  CHECK(*root.get("l").strings() == std::vector<std::string>{"a", "b"});
  CHECK(root.get("m").string_map()->at("y") == "2");
  CHECK(*root.get("d").duration() == std::chrono::milliseconds(250));
  CHECK(*root.get("f").number() == 1.5);
  CHECK(*root.get("w").integer() == 8080);
  CHECK(root.get("f").integer().status().message() == "a.yaml:4: f: expected an integer, got 1.5");
  CHECK(root.get("bad").strings().status().message() == "a.yaml:6: bad[1]: expected a string, got 1");
  CHECK(root.get("f").duration().status().message().find("expected a duration") != std::string::npos);
  CHECK(root.get("l").duration().status().ok() == false);
}

TEST_CASE("an object gathers all its errors") {
  ErrorList errors;
  {
    Object object(read("name: 5\nport: 99999\nmode: fastest\nhostname: a\nlist: {}\n"), errors);
    CHECK(object.required_string("name") == "");
    CHECK(object.integer_or("port", 80, 1, 65535) == 80);
    CHECK_FALSE(object.choice("mode", {"fast", "slow"}));
    CHECK(object.strings("hostnames").empty());
    CHECK(object.list("list").empty());
    CHECK(object.required_string("id") == "");
    CHECK(object.string_or("zone", "here") == "here");
  }
  CHECK(errors.messages() == std::vector<std::string>{
                                 "a.yaml:1: name: expected a string, got 5",
                                 "a.yaml:2: port: expected an integer from 1 to 65535, got 99999",
                                 "a.yaml:3: mode: expected one of fast, slow, got \"fastest\"",
                                 "a.yaml:5: list: expected a list, got a map",
                                 "a.yaml:1: id: is required (a string)",
                                 "a.yaml:4: hostname: unknown field; did you mean 'hostnames'?",
                             });
}

TEST_CASE("nested objects, null as absent, ignored and unknown fields") {
  ErrorList errors;
  {
    Object object(read("a:\n  b: 1\n  z: 2\nnothing:\nold: 1\n"), errors);
    Object inner = object.object("a");
    CHECK(inner.integer("b") == 1);
    CHECK_FALSE(object.has("nothing"));
    CHECK_FALSE(object.string("nothing"));
    Object absent = object.object("nope");
    CHECK_FALSE(absent.present());
    CHECK_FALSE(absent.boolean("x"));
    object.ignore("old");
    Object moved = std::move(inner);
  }
  CHECK(errors.messages() == std::vector<std::string>{"a.yaml:3: a.z: unknown field"});
  ErrorList wrong;
  { Object object(read("[1]"), wrong); }
  CHECK(wrong.messages() == std::vector<std::string>{"a.yaml:1: expected a map, got a list"});
}

TEST_CASE("keys that are no words are quoted in paths") {
  CHECK(join_path("a", "b") == "a.b");
  CHECK(join_path("", "b") == "b");
  CHECK(join_path("a", "k.x") == "a[\"k.x\"]");
  CHECK(join_path("a", std::size_t{3}) == "a[3]");
  const auto entries = *read("m: {k.x: 1}").get("m").map();
  CHECK(entries[0].second.string().status().message() == "a.yaml:1: m[\"k.x\"]: expected a string, got 1");
}

}  // namespace
}  // namespace fairlead::doc
