// Session persistence: clients stay on the host that their cookie or header names, whatever else the cluster would pick.
#include <catch2/catch.hpp>

#include <set>

#include "tests/integration/support/fake_upstream.h"
#include "tests/integration/support/test_proxy.h"

namespace session_test {

using namespace fairlead::testing;

namespace {

const std::string kMessage = "\"@type\": type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession";
const std::string kHeader = "session_state: {name: envoy.http.stateful_session.header, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState, name: x-session}}";
const std::string kCookie = "session_state: {name: envoy.http.stateful_session.cookie, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState, cookie: {name: sess, ttl: 60s}}}";

std::string listener(const std::string& filter, const std::string& routes = "- match: {prefix: /}\n  route: {cluster: up}\n") {
  std::string text = listener_yaml(routes);
  text.insert(text.find("      - name: envoy.filters.http.router"), "      - {name: sessions, typed_config: {" + kMessage + ", " + filter + "}}\n");
  return text;
}

// The pair for the request's cookie header: `sess=…`.
std::string pair_of(const RawResponse& response) {
  const std::string cookie = response.header("set-cookie");
  return cookie.substr(0, cookie.find(';'));
}

}  // namespace

TEST_CASE("a cookie keeps its client on one host") {
  FakeUpstream one(FakeUpstream::named("one")), two(FakeUpstream::named("two")), three(FakeUpstream::named("three"));
  TestProxy proxy(listener(kCookie + ", stat_prefix: s"), {cluster_yaml("up", {one.port(), two.port(), three.port()})});
  std::set<std::string> hosts;
  for (int client = 0; client < 6; ++client) {
    const RawResponse first = proxy.get("/");
    hosts.insert(first.body);
    REQUIRE(first.has("set-cookie"));
    CHECK(first.header("set-cookie").find("; Max-Age=60; HttpOnly") != std::string::npos);
    for (int again = 0; again < 4; ++again) {
      const RawResponse next = proxy.get("/", "cookie: a=b; " + pair_of(first) + "\r\n");
      CHECK(next.body == first.body);
      CHECK_FALSE(next.has("set-cookie"));
    }
  }
  CHECK(hosts.size() == 3);  // in turns: the sessions take no turn from others
  CHECK(proxy.stat("http.test.stateful_session.s.failed_open") == 6);
  CHECK(proxy.stat("http.test.stateful_session.s.routed") == 24);
}

TEST_CASE("a session whose host is gone moves on, a strict one is refused") {
  FakeUpstream one(FakeUpstream::named("one"));
  const auto cluster = cluster_yaml("up", {one.port()});
  const std::string gone = "x-session: MTAuMC4wLjE6ODA=\r\n";  // 10.0.0.1:80
  SECTION("moves on") {
    TestProxy proxy(listener(kHeader), {cluster});
    const RawResponse moved = proxy.get("/", gone);
    CHECK(moved.body == "one");
    CHECK(proxy.get("/", "x-session: " + moved.header("x-session") + "\r\n").body == "one");
    CHECK_FALSE(proxy.get("/", "x-session: " + moved.header("x-session") + "\r\n").has("x-session"));
  }
  SECTION("is refused") {
    TestProxy proxy(listener(kHeader + ", strict: true, status_on_strict_destination_not_found: 410, stat_prefix: s"), {cluster});
    const RawResponse refused = proxy.get("/", gone);
    CHECK(refused.status == 410);
    CHECK(refused.body == "no healthy upstream");
    CHECK_FALSE(refused.has("x-session"));
    CHECK(proxy.get("/").status == 200);
    CHECK(proxy.access_log(2)[0] == "410 UH no_healthy_upstream");
    CHECK(proxy.stat("http.test.stateful_session.s.failed_closed") == 1);
    CHECK(one.count() == 1);
  }
}

TEST_CASE("a retry leaves the session's host, and the client learns of it") {
  FakeUpstream bad([](const UpstreamRequest&) { return UpstreamReply{.status = 503}; }), good(FakeUpstream::named("good"));
  const std::string retry = "retry_policy: {retry_on: 5xx, num_retries: 5, retry_back_off: {base_interval: 0.001s}, host_selection_retry_max_attempts: 100, retry_host_predicate: [{name: p, typed_config: "
                            "{\"@type\": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}]}";
  TestProxy proxy(listener(kHeader + ", strict: true", "- match: {path: /plain}\n  route: {cluster: up}\n- match: {path: /retry}\n  route: {cluster: up, " + retry + "}\n"), {cluster_yaml("up", {bad.port(), good.port()})});
  RawResponse failed;
  for (int i = 0; i < 2 && failed.status != 503; ++i) failed = proxy.get("/plain");
  REQUIRE(failed.status == 503);
  const size_t before = bad.count();
  const RawResponse moved = proxy.get("/retry", "x-session: " + failed.header("x-session") + "\r\n");
  CHECK(moved.body == "good");
  CHECK(bad.count() == before + 1);
  CHECK(moved.has("x-session"));
  CHECK(moved.header("x-session") != failed.header("x-session"));
}

TEST_CASE("a route has its own sessions or none") {
  FakeUpstream up;
  const auto per_route = [](const std::string& path, const std::string& fields) {
    return "- match: {path: " + path + "}\n  route: {cluster: up}\n  typed_per_filter_config: {sessions: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute, " + fields + "}}\n";
  };
  TestProxy proxy(listener(kCookie, per_route("/off", "disabled: true") + per_route("/header", "stateful_session: {" + kHeader + "}") + "- match: {prefix: /}\n  route: {cluster: up}\n"), {cluster_yaml("up", {up.port()})});
  CHECK_FALSE(proxy.get("/off").has("set-cookie"));
  CHECK_FALSE(proxy.get("/header").has("set-cookie"));
  CHECK(proxy.get("/header").has("x-session"));
  CHECK(proxy.get("/").has("set-cookie"));
}

}  // namespace session_test
