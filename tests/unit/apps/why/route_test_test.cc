// Tables of requests: what passes, what fails and how it is told, and tables that are wrong themselves.
#include "apps/why/route_test.h"

#include <absl/strings/match.h>
#include <catch2/catch.hpp>

#include "tests/unit/apps/why/world.h"

namespace route_test_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;

namespace {

std::string files() {
  return raw_yaml("mine", listener_yaml("edge", "0.0.0.0", 8080, R"([{name: v, domains: ['*'], routes: [
            {name: old, match: {path: /old}, redirect: {path_redirect: /new}},
            {name: ok, match: {path: /ok}, direct_response: {status: 202, body: {inline_string: "fine"}}, response_headers_to_add: [{header: {key: x-a, value: "1"}}]},
            {name: split, match: {prefix: /split}, route: {weighted_clusters: {clusters: [{name: a, weight: 30}, {name: b, weight: 10}]}}},
            {name: api, match: {prefix: /api/}, route: {cluster: a, prefix_rewrite: /, host_rewrite_literal: inner}, request_headers_to_add: [{header: {key: x-env, value: prod}}]}]}])") +
                              static_cluster_yaml("a", 1) + static_cluster_yaml("b", 2));
}

// "place: message" of every failure, one a line; the file's name cut off.
std::string failures(const std::string& tests) {
  const Files f({{"a.yaml", files()}});
  why::World world(f.scope("raw:default/mine"));
  const auto read = why::read_route_tests(tests, "t.yaml");
  INFO(read.status().ToString());
  REQUIRE(read.ok());
  std::string out;
  for (const why::Outcome& o : why::run_route_tests(world, *read)) {
    for (const why::Failure& failure : o.failures) absl::StrAppend(&out, failure.place, ": ", failure.message, "\n");
  }
  return out;
}

std::string error_of(const std::string& tests) { return std::string(why::read_route_tests(tests, "t.yaml").status().message()); }

}  // namespace

TEST_CASE("everything that may be expected is looked at") {
  CHECK(failures(R"(
tests:
- {request: "GET http://x:8080/old", expect: {kind: redirect, status: 301, redirect: "http://x:8080/new", route: old, virtual_host: v}}
- {request: "http://x:8080/ok", expect: {kind: direct, status: 202, body: fine, response_headers: {x-a: "1", x-b: null}}}
- {request: "GET http://x:8080/split/1", expect: {clusters: {a: 3, b: 1}}}
- {request: "GET http://x:8080/api/items", headers: {x-u: "7"}, expect: {kind: forwarded, cluster: a, path: /items, host: inner, method: GET, headers: {X-Env: prod, x-u: "7", x-none: null}}}
- {request: "GET http://x:8080/none", expect: {status: 404, kind: not found}}
)") == "");
}

TEST_CASE("what is not as expected is told with the line of the expectation") {
  const std::string told = failures(R"(tests:
- request: GET http://x:8080/old
  expect:
    redirect: http://x:8080/newer
    status: 302
- request: GET http://x:8080/api/items
  expect: {cluster: b, path: /api/items, status: 200, headers: {x-env: test, x-u: "1"}}
- request: GET http://x:8080/split
  expect: {clusters: {a: 1, b: 1}, cluster: a}
- request: GET http://x:8080/none
  expect: {cluster: a}
)");
  CHECK(told ==
        "t.yaml:5: status: expected 302, got 301\n"
        "t.yaml:4: redirect: expected http://x:8080/newer, got http://x:8080/new\n"
        "t.yaml:7: status: expected 200, got the backend's (forwarded to a as GET /items, host inner, timeout 15s)\n"
        "t.yaml:7: cluster: expected b, got a\n"
        "t.yaml:7: path: expected /api/items, got /items\n"
        "t.yaml:7: headers.x-env: expected test, got prod\n"
        "t.yaml:7: headers.x-u: expected 1, got none\n"
        "t.yaml:9: cluster: expected a, got 30 a, 10 b\n"
        "t.yaml:9: clusters: expected 1 a, 1 b, got 30 a, 10 b\n"
        "t.yaml:11: cluster: expected a, got 404: no route of virtual host v matches\n");
}

TEST_CASE("a table that is wrong is refused with every place") {
  CHECK_THAT(error_of("tests: []"), Contains("tests: there is none"));
  CHECK_THAT(error_of("tests:\n- request: GET /a b\n  expect: {status: 200}\n"), Contains("t.yaml:2: tests[0].request: expected \"METHOD URL\" or a URL"));
  CHECK_THAT(error_of("tests:\n- request: GET nowhere\n  expect: {staus: 200}\n"), Contains("t.yaml:3: tests[0].expect.staus: unknown field; did you mean 'status'?") && Contains("URL \"nowhere\""));
  CHECK_THAT(error_of("tests:\n- request: GET /\n"), Contains("tests[0].expect: is required"));
  CHECK_THAT(error_of("tests:\n- request: GET /\n  expect: {}\n"), Contains("expects nothing"));
  CHECK_THAT(error_of("tests:\n- request: GET /\n  expect: {kind: redirected}\n"), Contains("tests[0].expect.kind"));
  CHECK(why::read_route_tests("tests:\n- request: GET /\n", "t.yaml", why::Expect::kOptional).ok());
}

TEST_CASE("results as JSON say why, and as JUnit they are XML whatever is in them") {
  const Files f({{"a.yaml", files()}});
  why::World world(f.scope("raw:default/mine"));
  const auto tests = why::read_route_tests("tests:\n- {name: \"a <b> & \\\"c\\\"\", request: GET http://x:8080/old, expect: {status: 302}}\n- {request: GET http://x:8080/old, expect: {status: 301}}\n", "t.yaml").value();
  const auto outcomes = why::run_route_tests(world, tests);
  const doc::Value d = why::outcomes_doc(outcomes);
  CHECK(d.find("tests")->as_integer() == 2);
  CHECK(d.find("failed")->as_integer() == 1);
  CHECK(d.find("results")->items()[0].find_path("why.kind")->as_string() == "redirect");
  CHECK(d.find("results")->items()[1].find("why") == nullptr);
  const std::string xml = why::junit(outcomes, "t.yaml");
  CHECK_THAT(xml, Contains("<testsuite name=\"t.yaml\" tests=\"2\" failures=\"1\">") && Contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;\" file=\"t.yaml\" line=\"2\"") &&
                      Contains("<failure message=\"status: expected 302, got 301\">t.yaml:2: status: expected 302, got 301\n"));
}

}  // namespace route_test_test
