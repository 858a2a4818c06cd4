// What differs between two configurations: fields, resources, answers; and access logs as requests.
#include "apps/why/change.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <catch2/catch.hpp>

#include "tests/unit/apps/why/world.h"

namespace change_test {

using namespace fairlead;
using namespace fairlead::test;
using Catch::Matchers::Contains;

namespace {

std::string fields(const std::string& before, const std::string& after) {
  std::string out;
  for (const why::FieldChange& f : why::field_changes(doc::parse_one(before, "a").value(), doc::parse_one(after, "b").value())) absl::StrAppend(&out, f.path, ": ", f.before, " -> ", f.after, "\n");
  return out;
}

std::string objects() { return gateway_yaml() + route_yaml("v1") + service_yaml("v1") + slice_yaml("v1") + service_yaml("v2") + slice_yaml("v2"); }

why::Recorded recorded(const std::string& url, uint64_t count) { return {why::make_request("GET", url, {}).value(), count}; }

}  // namespace

TEST_CASE("fields are told by path; entries of lists that have names by name, wherever they stand") {
  CHECK(fields("{a: 1, b: {c: x}}", "{a: 2, b: {d: y}}") == "a: 1 -> 2\nb.c: \"x\" -> \nb.d:  -> \"y\"\n");
  CHECK(fields("{l: [{name: a, v: 1}, {name: b, v: 2}]}", "{l: [{name: n, v: 0}, {name: a, v: 1}, {name: b, v: 3}]}") == "l[\"b\"].v: 2 -> 3\nl[\"n\"]:  -> {\"name\":\"n\",\"v\":0}\n");
  CHECK(fields("{l: [{name: a}, {name: b}]}", "{l: [{name: b}, {name: a}]}") == "l (order): [\"a\",\"b\"] -> [\"b\",\"a\"]\n");
  CHECK(fields("{l: [1, 2]}", "{l: [1, 3, 4]}") == "l[1]: 2 -> 3\nl[2]:  -> 4\n");
  CHECK(fields("{l: [{name: a}, {name: a}]}", "{l: [{name: a}, {name: c}]}") == "l[1].name: \"a\" -> \"c\"\n");
  CHECK(fields("{a: 1}", "{a: 1}") == "");
}

TEST_CASE("a change of files is told per scope: resources, and the answers that differ") {
  const Files before({{"a.yaml", objects()}});
  const Files after({{"a.yaml", absl::StrReplaceAll(objects(), {{"- {name: v1, port: 80}", "- {name: v2, port: 80}"}})}});
  const std::vector<why::Recorded> requests{recorded("http://a:8080/x", 3), recorded("http://a:81/", 1)};
  const auto changes = why::scope_changes(before.scopes(), after.scopes(), requests);
  REQUIRE(changes.size() == 1);
  CHECK(changes[0].scope == "gateway:default/edge");
  std::string told;
  for (const why::ResourceChange& r : changes[0].resources) absl::StrAppend(&told, r.before ? "-" : "", r.after ? "+" : "", " ", (r.after ? r.after : r.before)->name, "\n");
  CHECK(told == "- default/v1/80\n+ default/v2/80\n- default/v1/80\n+ default/v2/80\n-+ default/edge/0.0.0.0/8080\n");
  REQUIRE(changes[0].resources[4].fields.size() == 1);
  CHECK(changes[0].resources[4].fields[0].path == "virtual_hosts[\"default/edge/0.0.0.0/8080/*\"].routes[\"default/v1/rule/0/match/0\"].route.cluster");
  REQUIRE(changes[0].answers.size() == 1);
  CHECK(changes[0].answers[0].before.summary == "forwarded to default/v1/80 as GET /x, timeout 15s");
  CHECK(changes[0].answers[0].after.summary == "forwarded to default/v2/80 as GET /x, timeout 15s");
  CHECK(changes[0].asked == 4);
  CHECK(changes[0].moved == 3);
  const doc::Value d = why::changes_doc(changes);
  CHECK(d.find("scopes")->items()[0].find("requests_changed")->as_integer() == 3);
  CHECK(why::scope_changes(before.scopes(), before.scopes(), requests).empty());
}

TEST_CASE("a Gateway that comes or goes is a scope that does") {
  const Files before({{"a.yaml", objects()}});
  const Files after({{"a.yaml", absl::StrReplaceAll(objects(), {{"name: edge", "name: rim"}})}});
  const auto changes = why::scope_changes(before.scopes(), after.scopes(), {});
  REQUIRE(changes.size() == 2);
  CHECK(changes[0].kind == why::ScopeChange::Kind::Removed);
  CHECK(changes[1].scope == "gateway:default/rim");
  CHECK(changes[1].kind == why::ScopeChange::Kind::Added);
}

TEST_CASE("an access log's lines become requests, equal ones together") {
  const why::AccessLog log = why::read_access_log(R"({"method": "GET", "path": "/a?x", "authority": "shop:8080", "downstream_local_address": "10.0.0.1:8080"}
{"authority": "shop:8080", "method": "GET", "path": "/a?x", "downstream_local_address": "10.0.0.9:8080"}
{":method": "POST", "x-envoy-original-path": "/first", ":path": "/rewritten", ":authority": "b", "port": 443, "scheme": "https", "headers": {"x-env": "test"}, "user_agent": "curl"}

no JSON at all
{"path": "/a"}
)",
                                                    "access.log");
  CHECK(log.lines == 5);
  CHECK(log.skipped == 2);
  CHECK_THAT(log.first_error, Contains("access.log:5: is neither JSON nor a line of Envoy's default format"));
  REQUIRE(log.requests.size() == 2);
  CHECK(log.requests[0].count == 2);
  CHECK(log.requests[0].request.port == 8080);
  CHECK(log.requests[0].request.any_scheme);
  const why::Request& post = log.requests[1].request;
  CHECK(post.path == "/first");
  CHECK(post.port == 443);
  CHECK(post.tls());
  CHECK(post.headers == std::vector<std::pair<std::string, std::string>>{{"x-env", "test"}, {"user-agent", "curl"}});
}

TEST_CASE("Envoy's default line of text is a request as well") {
  const why::AccessLog log = why::read_access_log(
      "[2026-01-01T00:00:00.000Z] \"GET /a/b?c=d HTTP/1.1\" 200 - 0 12 3 2 \"10.0.0.1\" \"curl/7.88.1\" \"1-2-3\" \"shop.example.com\" \"10.0.0.9:80\"\n"
      "[2026-01-01T00:00:00.000Z] \"- - HTTP/1.1\" 400 DPE 0 11 0 - \"-\" \"-\" \"-\" \"-\" \"-\"\n",
      "access.log");
  CHECK(log.skipped == 1);
  REQUIRE(log.requests.size() == 1);
  CHECK(log.requests[0].request.str() == "GET http://shop.example.com/a/b?c=d");
  CHECK(log.requests[0].request.headers == std::vector<std::pair<std::string, std::string>>{{"user-agent", "curl/7.88.1"}});
  CHECK(log.requests[0].request.any_scheme);
}

}  // namespace change_test
