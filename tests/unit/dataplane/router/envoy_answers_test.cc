// The answers of a real Envoy 1.40, recorded by envoy/record.py, to some 140 requests over one table of routes: virtual hosts, path,
// header and query matchers, redirects, header operations and formatters. Ours must be the same, byte for byte.
#include <fstream>
#include <sstream>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <catch2/catch.hpp>

#include "dataplane/router/rewrite.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;

namespace {

const std::string folder = std::string(FAIRLEAD_SOURCE_DIR) + "/tests/unit/dataplane/router/envoy/";

std::string read(const std::string& name) {
  std::stringstream text;
  text << std::ifstream(folder + name).rdbuf();
  return text.str();
}

std::string answer(const RouteTable& table, const std::string& line) {
  const std::vector<std::string> parts = absl::StrSplit(line, '\t');
  test::Headers request{{":method", parts[0]}, {":authority", parts[1]}, {":path", parts[2]}, {":scheme", "http"}, {"x-forwarded-proto", "http"}};
  for (size_t i = 3; i < parts.size(); ++i) {
    const std::pair<std::string, std::string> header = absl::StrSplit(parts[i], absl::MaxSplits('=', 1));
    request->add(absl::AsciiStrToLower(header.first), header.second);
  }
  const Match match = table.match(*request, {});
  if (match.outcome == Match::Outcome::RedirectToTls) return "301 " + redirect_location(match, *request, "http");
  if (match.route == nullptr) return "404";
  const bool redirects = match.route->action == Route::Action::Redirect;
  std::string out = redirects ? absl::StrCat(match.route->extras.redirect.code, " ", redirect_location(match, *request, "http"))
                              : absl::StrCat(match.route->extras.direct.status, " ", match.route->extras.direct.body);
  test::Headers response{{":status", "200"}};
  format::FormatContext context;
  context.request_headers = request.get();
  context.response_headers = response.get();
  context.protocol = "HTTP/1.1";
  context.route_name = match.route->name;
  context.route_metadata = match.route->extras.metadata.get();
  table.apply_response_headers(match, *response, context);
  for (const auto& header : *response) {
    if (absl::StartsWith(header.name(), "x-")) absl::StrAppend(&out, " | ", header.name(), ": ", header.value());
  }
  return out;
}

}  // namespace

TEST_CASE("routes answer as Envoy 1.40 does") {
  const auto table = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(read("table.yaml")));
  REQUIRE(table.ok());
  const std::vector<std::string> requests = absl::StrSplit(read("requests"), '\n', absl::SkipEmpty());
  const std::vector<std::string> answers = absl::StrSplit(read("answers"), '\n', absl::SkipEmpty());
  REQUIRE(requests.size() == answers.size());
  REQUIRE(requests.size() > 130);
  for (size_t i = 0; i < requests.size(); ++i) {
    INFO(requests[i]);
    CHECK(answer(**table, requests[i]) == answers[i]);
  }
}
