// What a hash policy makes of a request: the parts it looks at, how they join, the cookies it makes, and the weighted clusters that follow it.
#include "dataplane/router/hash_policy.h"

#include <bit>

#include <catch2/catch.hpp>

#include "base/hash.h"
#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;
using test::Headers;
using test::request;

namespace {

absl::StatusOr<std::shared_ptr<const RouteTable>> compile(std::string_view action) {
  return RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {" + std::string(action) + "}}]}]}"));
}

std::vector<HashMethod> policy_of(std::string_view policy) {
  const auto table = compile("cluster: c, hash_policy: [" + std::string(policy) + "]");
  INFO(table.status().ToString());
  REQUIRE(table.ok());
  return (*table)->virtual_hosts()[0].routes[0].forward.hash_policy;
}

std::optional<uint64_t> hash(std::string_view policy, Headers headers, std::string_view source_ip = "10.0.0.1", std::string_view new_cookie = "") {
  return hash_request(policy_of(policy), *headers, source_ip, [&](const HashMethod&) { return new_cookie; });
}

std::string cookie_of(std::string_view policy, std::string_view value) {
  const HashMethod method = policy_of(policy)[0];
  return set_cookie(method.name, value, method.ttl, method.attributes);
}

std::string error_of(std::string_view policy) {
  const auto table = compile("cluster: c, hash_policy: [" + std::string(policy) + "]");
  return table.ok() ? "" : std::string(table.status().message());
}

}  // namespace

TEST_CASE("a hash policy looks at headers, cookies, query parameters and the client's address") {
  CHECK(hash("{header: {header_name: X-Key}}", request("/", "a", {{"x-key", "one"}})) == xx_hash64("one"));
  CHECK_FALSE(hash("{header: {header_name: x-key}}", request("/")));
  CHECK(hash("{header: {header_name: ':path'}}", request("/p")) == xx_hash64("/p"));
  CHECK(hash("{connection_properties: {source_ip: true}}", request("/")) == xx_hash64("10.0.0.1"));
  CHECK_FALSE(hash("{connection_properties: {source_ip: true}}", request("/"), ""));
  CHECK(policy_of("{connection_properties: {source_ip: false}}").empty());
  CHECK(hash("{query_parameter: {name: q}}", request("/p?a=b&q=7&q=8")) == xx_hash64("7"));
  CHECK(hash("{query_parameter: {name: q}}", request("/p?q")) == xx_hash64(""));
  CHECK_FALSE(hash("{query_parameter: {name: q}}", request("/p?Q=7")));
  CHECK(hash("{cookie: {name: c}}", request("/", "a", {{"cookie", "a=b; c=d"}})) == xx_hash64("d"));
  CHECK(hash("{cookie: {name: c}}", request("/", "a", {{"cookie", "a=b"}, {"cookie", "x;c=\"d\"; c=e"}})) == xx_hash64("d"));
  CHECK_FALSE(hash("{cookie: {name: c}}", request("/", "a", {{"cookie", "cc=d; c"}})));
}

TEST_CASE("several values of a header count in any order") {
  const auto forth = hash("{header: {header_name: x-key}}", request("/", "a", {{"x-key", "b"}, {"x-key", "a"}}));
  CHECK(forth == hash("{header: {header_name: x-key}}", request("/", "a", {{"x-key", "a"}, {"x-key", "b"}})));
  CHECK(forth == xx_hash64("b", xx_hash64("a")));
}

TEST_CASE("a header can be rewritten before it is hashed") {
  const char* policy = R"({header: {header_name: x-key, regex_rewrite: {pattern: {regex: "([a-z]+)-.*"}, substitution: '\1'}}})";
  CHECK(hash(policy, request("/", "a", {{"x-key", "user-17"}})) == xx_hash64("user"));
  CHECK(hash(policy, request("/", "a", {{"x-key", "17"}})) == xx_hash64("17"));
}

TEST_CASE("parts of a hash policy join, and a terminal one ends it when there is a hash") {
  const uint64_t one = xx_hash64("one"), two = xx_hash64("two");
  const std::string a = "{header: {header_name: a}}", b = "{header: {header_name: b}}", last = "{header: {header_name: a}, terminal: true}";
  const auto both = [] { return request("/", "h", {{"a", "one"}, {"b", "two"}}); };
  CHECK(hash(a + ", " + b, both()) == (std::rotl(one, 1) ^ two));
  CHECK(hash(a + ", " + a, both()) == (std::rotl(one, 1) ^ one));
  CHECK(hash(last + ", " + b, both()) == one);
  CHECK(hash(last + ", " + b, request("/", "h", {{"b", "two"}})) == two);
  CHECK(hash(b + ", " + last + ", " + b, request("/", "h", {{"b", "two"}})) == two);  // the hash may come from an earlier part
}

TEST_CASE("a cookie that is missing or empty is made when it has a ttl") {
  CHECK(hash("{cookie: {name: c, ttl: 0s}}", request("/"), "", "new") == xx_hash64("new"));
  CHECK(hash("{cookie: {name: c, ttl: 0s}}", request("/", "a", {{"cookie", "c="}}), "", "new") == xx_hash64("new"));
  CHECK(hash("{cookie: {name: c, ttl: 0s}}", request("/", "a", {{"cookie", "c=old"}}), "", "new") == xx_hash64("old"));
  CHECK_FALSE(hash("{cookie: {name: c}}", request("/"), "", "new"));
  // As Envoy 1.40 writes them.
  CHECK(cookie_of("{cookie: {name: sess, ttl: 60s, path: /p, attributes: [{name: Secure}, {name: SameSite, value: Strict}]}}", "e3abe06d13f471b2") ==
        "sess=\"e3abe06d13f471b2\"; Max-Age=60; Path=/p; Secure; SameSite=Strict; HttpOnly");
  CHECK(cookie_of("{cookie: {name: sess, ttl: 0s}}", "bb6f3a154ea09c44") == "sess=\"bb6f3a154ea09c44\"; HttpOnly");
}

TEST_CASE("weighted clusters can follow the hash policy") {
  const auto table_of = [](std::string_view more) {
    return compile("weighted_clusters: {clusters: [{name: c0, weight: 50}, {name: c1, weight: 50}]" + std::string(more) + "}, hash_policy: [{header: {header_name: x-key}}, {cookie: {name: k, ttl: 1s}}]").value();
  };
  const auto hashed = table_of(", use_hash_policy: true");
  std::string picks;
  for (int i = 0; i < 30; ++i) picks += hashed->match(*request("/", "a", {{"x-key", "k" + std::to_string(i)}}), {}).cluster.back();
  CHECK(picks == "011000101011010110100110111010");  // recorded from Envoy 1.40
  CHECK(hashed->match(*request("/"), {.random = 0}).cluster == "c0");  // nothing to hash: at random, and no cookie is made
  CHECK(hashed->match(*request("/"), {.random = 99}).cluster == "c1");
  for (const char* more : {"", ", use_hash_policy: false"}) {
    const auto plain = table_of(more);
    CHECK(plain->match(*request("/", "a", {{"x-key", "k1"}}), {.random = 0}).cluster == "c0");
  }
  const auto by_client = compile("weighted_clusters: {clusters: [{name: c0, weight: 50}, {name: c1, weight: 50}], use_hash_policy: true}, hash_policy: [{connection_properties: {source_ip: true}}]").value();
  CHECK(by_client->match(*request("/"), {.random = 0, .source_ip = "127.0.0.1"}).cluster == "c1");  // as Envoy 1.40
}

TEST_CASE("wrong hash policies are refused with their path") {
  CHECK_THAT(error_of("{filter_state: {key: k}}"), Catch::Contains("hash_policy[0].filter_state"));
  CHECK_THAT(error_of("{terminal: true}"), Catch::Contains("hash_policy[0].policy_specifier"));
  CHECK_THAT(error_of("{header: {header_name: a}}, {header: {header_name: a, regex_rewrite: {pattern: {regex: '('}}}}"), Catch::Contains("hash_policy[1].header.regex_rewrite.pattern.regex"));
}
