// A table of requests and what is expected of each, for CI: read from YAML with the place of every word, checked against a World.
//   tests:
//   - name: items of the API            # optional
//     request: GET http://127.0.0.1:8080/api/items
//     headers: {x-canary: "1"}          # optional
//     expect: {cluster: default/api/80, path: /items}
// Pure; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "apps/why/answer.h"
#include "apps/why/request.h"
#include "apps/why/scope.h"
#include "base/doc.h"

namespace fairlead::why {

// What may be expected; what is left out is not looked at.
struct Expectation {
  struct Text {
    std::string value;
    doc::Mark mark;
  };
  std::optional<Text> kind;        // "forwarded", "redirect", "direct", "not found", …
  std::optional<Text> status;      // that the proxy answers with itself
  std::optional<Text> cluster;     // gets every request
  std::map<std::string, uint64_t> clusters;  // shares, in any unit
  doc::Mark clusters_mark;
  std::optional<Text> redirect;    // the whole Location
  std::optional<Text> virtual_host, route, path, host, method, body;
  std::vector<std::pair<std::string, Text>> headers, response_headers;  // lower-case names; the value "" means absent
};

struct RouteTest {
  std::string name;  // the request where none is given
  Request request;
  Expectation expect;
  doc::Mark mark;
};

struct RouteTests {
  Wanted wanted;  // `gateway` or `proxy` of the file: whose routes; the command line's word counts before it
  std::vector<RouteTest> tests;
};

// InvalidArgument with every error, each "file:line: path: message". Where only the requests matter, expectations may be left out.
enum class Expect : bool { kOptional, kRequired };
absl::StatusOr<RouteTests> read_route_tests(std::string_view text, const std::string& file_name, Expect expect = Expect::kRequired);

struct Failure {
  std::string place;    // of the expectation
  std::string message;  // "cluster: expected a, got b"
};
struct Outcome {
  const RouteTest* test;
  Answer answer;
  std::vector<Failure> failures;  // empty: passed
};
std::vector<Outcome> run_route_tests(World& world, const RouteTests& tests);

// {tests, failed, results: [{name, place, request, answer, passed, failures: [{place, message}], why: {…}}]}; `why` of failed ones alone.
doc::Value outcomes_doc(const std::vector<Outcome>& outcomes);
// One <testsuite>, in the form that CI servers read.
std::string junit(const std::vector<Outcome>& outcomes, const std::string& file_name);

}  // namespace fairlead::why
