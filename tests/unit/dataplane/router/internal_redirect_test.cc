// Redirects that the proxy follows: what a Location means, what a policy allows, and how both are configured.
#include <catch2/catch.hpp>

#include "dataplane/router/internal_redirect.h"
#include "dataplane/router/route_table.h"
#include "envoy/config/route/v3/route.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::router;

namespace {

absl::StatusOr<RouteAction> action_of(std::string_view fields) {
  const auto table = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: /}, route: {cluster: c, " + std::string(fields) + "}}]}]}"));
  if (!table.ok()) return table.status();
  return (*table)->virtual_hosts()[0].routes[0].forward;
}

std::string predicate(std::string_view type, std::string_view more = "") {
  return "{name: p, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.internal_redirect." + std::string(type) + std::string(more) + "}}";
}

}  // namespace

TEST_CASE("a Location is followed when it is an absolute URL") {
  const struct {
    std::string_view location, scheme, authority, path;  // no scheme: not followed
  } cases[] = {
      {"http://a.test/b?c=d", "http", "a.test", "/b?c=d"}, {"http://a.test", "http", "a.test", "/"}, {"http://a.test?c", "http", "a.test", "?c"}, {"http://a.test/b#f", "http", "a.test", "/b"},
      {"https://a.test:444/", "https", "a.test:444", "/"}, {"http://[::1]:80/x", "http", "[::1]:80", "/x"}, {"http://u:p@a.test/", "http", "a.test", "/"}, {"HTTP://A.Test/x", "HTTP", "A.Test", "/x"},
      {"ftp://a.test/x", "ftp", "a.test", "/x"}, {"http://a.test/?u=http://b", "http", "a.test", "/?u=http://b"},
      {"", "", "", ""}, {"/b", "", "", ""}, {"b", "", "", ""}, {"//a.test/b", "", "", ""}, {"http:/a.test", "", "", ""}, {"http://", "", "", ""}, {"http:///b", "", "", ""}, {"://a.test/", "", "", ""},
      {"ht2p://a.test/", "", "", ""}, {"http://a.test:/", "", "", ""}, {"http://a.test:70000/", "", "", ""}, {"http://a.test:8x/", "", "", ""}, {"http://a b/", "", "", ""}, {"http://a.test/a b", "", "", ""},
      {"http://a.test#f", "", "", ""}, {"http://a\"b/", "", "", ""}, {"http://[::1/", "", "", ""}, {"http://[]/", "", "", ""}, {"http://u@v@a.test/", "", "", ""}, {"/?u=http://b", "", "", ""},
  };
  for (const auto& c : cases) {
    INFO(c.location);
    const auto target = parse_location(c.location);
    REQUIRE(target.has_value() == !c.scheme.empty());
    if (!target) continue;
    CHECK(target->scheme == c.scheme);
    CHECK(target->authority == c.authority);
    CHECK(target->path == c.path);
  }
  CHECK_FALSE(parse_location("HTTP://a/")->https());
  CHECK(parse_location("https://a/")->https());
  CHECK(parse_location("ftp://a/")->https());  // as in Envoy: what is not http
}

TEST_CASE("the Location's obstacles come in Envoy's order") {
  InternalRedirectPolicy policy;
  RedirectHistory history;
  RedirectTarget target;
  const auto obstacle = [&](std::string_view location) { return find_obstacle(policy, location, false, history, target); };
  CHECK(obstacle("http://a/") == RedirectObstacle::None);
  CHECK(obstacle("https://a/") == RedirectObstacle::UnsafeScheme);
  history.followed = 1;
  CHECK(obstacle("/") == RedirectObstacle::BadLocation);
  CHECK(obstacle("https://a/") == RedirectObstacle::UnsafeScheme);
  CHECK(obstacle("http://a/") == RedirectObstacle::TooMany);
  policy.max_redirects = 2;
  policy.cross_scheme = true;
  CHECK(obstacle("https://a/") == RedirectObstacle::None);
}

TEST_CASE("predicates look at routes by name") {
  http::Arena arena;
  InternalRedirectPolicy policy;
  RedirectHistory history;
  const auto may = [&](std::string_view from, std::string_view to, bool https = false) { return may_lead_to(policy, from, to, false, https, history, arena); };
  CHECK(may("a", "a"));
  policy.previous_routes = true;
  CHECK(may("a", "b"));
  CHECK_FALSE(may("a", "b"));
  CHECK(may("b", "b"));
  CHECK(may("a", ""));
  CHECK_FALSE(may("a", ""));
  policy.previous_routes = false;
  policy.allowed_routes = {{"b", "c"}, {"c"}};
  CHECK_FALSE(may("a", "b"));
  CHECK(may("a", "c"));
  policy.safe_cross_scheme = true;
  CHECK_FALSE(may("a", "c", true));
}

TEST_CASE("a turned request keeps all but its target and what the policy copies") {
  http::Arena arena;
  http::HeaderMap request(arena), response(arena);
  request.add(http::Token::PseudoMethod, "GET");
  request.add(http::Token::PseudoAuthority, "old.test");
  request.add(http::Token::PseudoPath, "/old");
  request.add("x-both", "mine");
  request.add("x-mine", "1");
  request.add("x-other", "2");
  response.add("x-both", "1");
  response.add("x-both", "2");
  InternalRedirectPolicy policy;
  policy.copied_headers = {"x-both", "x-mine"};
  point_to(*parse_location("https://new.test/new?q"), policy, response, request);
  CHECK(request.get(http::Token::PseudoScheme) == "https");
  CHECK(request.get(http::Token::PseudoAuthority) == "new.test");
  CHECK(request.get(http::Token::PseudoPath) == "/new?q");
  CHECK(request.joined("x-both").value() == "1,2");
  CHECK_FALSE(request.has("x-mine"));
  CHECK(request.get("x-other") == "2");
}

TEST_CASE("internal redirects are configured by a policy or by the deprecated action") {
  CHECK(action_of("timeout: 1s")->internal_redirects == nullptr);
  CHECK(action_of("internal_redirect_action: PASS_THROUGH_INTERNAL_REDIRECT, max_internal_redirects: 3")->internal_redirects == nullptr);
  const auto action = action_of("internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 3").value().internal_redirects;
  REQUIRE(action != nullptr);
  CHECK(action->max_redirects == 3);
  CHECK(action->codes == std::vector<uint32_t>{302});
  const auto plain = action_of("internal_redirect_action: HANDLE_INTERNAL_REDIRECT, max_internal_redirects: 3, internal_redirect_policy: {}").value().internal_redirects;
  REQUIRE(plain != nullptr);
  CHECK(plain->max_redirects == 1);
  CHECK(follows(*plain, 302));
  CHECK_FALSE(follows(*plain, 301));
  const auto full = action_of("internal_redirect_policy: {max_internal_redirects: 0, redirect_response_codes: [301, 305], allow_cross_scheme_redirect: true, response_headers_to_copy: [X-Up], predicates: [" +
                              predicate("previous_routes.v3.PreviousRoutesConfig") + ", " + predicate("allow_listed_routes.v3.AllowListedRoutesConfig", ", allowed_route_names: [a, b]") + ", " +
                              predicate("safe_cross_scheme.v3.SafeCrossSchemeConfig") + "]}");
  INFO(full.status().ToString());
  REQUIRE(full.ok());
  const InternalRedirectPolicy& policy = *full->internal_redirects;
  CHECK(policy.max_redirects == 0);
  CHECK(policy.codes == std::vector<uint32_t>{301});
  CHECK(policy.cross_scheme);
  CHECK(policy.copied_headers == std::vector<std::string>{"x-up"});
  CHECK(policy.previous_routes);
  CHECK(policy.safe_cross_scheme);
  CHECK(policy.allowed_routes == std::vector<std::vector<std::string>>{{"a", "b"}});
}

TEST_CASE("wrong policies and connect options are refused with their path") {
  const auto error = [](std::string_view fields) { return std::string(action_of(fields).status().message()); };
  CHECK_THAT(error("internal_redirect_policy: {response_headers_to_copy: [':path']}"), Catch::Contains("internal_redirect_policy.response_headers_to_copy[0]: :-prefixed headers or Hosts may not be specified here."));
  CHECK_THAT(error("internal_redirect_policy: {response_headers_to_copy: [x, Host]}"), Catch::Contains("response_headers_to_copy[1]"));
  CHECK_THAT(error("internal_redirect_policy: {predicates: [{name: nobody}]}"), Catch::Contains("internal_redirect_policy.predicates[0]: Didn't find a registered implementation for 'nobody' with type URL: ''"));
  CHECK_THAT(error("upgrade_configs: [{upgrade_type: websocket, connect_config: {}}]"), Catch::Contains("upgrade_configs[0]: Non-CONNECT upgrade type websocket has ConnectConfig"));
  const auto connect = action_of("upgrade_configs: [{upgrade_type: CONNECT, connect_config: {allow_post: true, proxy_protocol_config: {version: V2}}}]");
  REQUIRE(connect.ok());
  REQUIRE(connect->connect.has_value());
  CHECK(connect->connect->allow_post);
  CHECK(connect->connect->proxy_header == ConnectConfig::ProxyHeader::V2);
}

TEST_CASE("a request without a path matches a connect_matcher alone") {
  const auto table = RouteTable::compile(test::from_yaml<envoy::config::route::v3::RouteConfiguration>(
      "{name: t, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {prefix: ''}, route: {cluster: any}}, {match: {safe_regex: {regex: '.*'}}, route: {cluster: any}}, {match: {connect_matcher: {}}, route: {cluster: connect}}]}]}")).value();
  http::Arena arena;
  http::HeaderMap headers(arena);
  headers.add(http::Token::PseudoMethod, "CONNECT");
  headers.add(http::Token::PseudoAuthority, "a:80");
  CHECK(table->match(headers, {}).cluster == "connect");
  CHECK(table->match_by_scan(headers, {}).cluster == "connect");
}
