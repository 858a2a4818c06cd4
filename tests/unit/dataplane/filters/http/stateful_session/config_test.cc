// The stateful session filter's configuration, and the hosts that cookies and headers carry.
#include "dataplane/filters/http/stateful_session/config.h"

#include <catch2/catch.hpp>

#include <absl/strings/escaping.h>
#include <google/protobuf/any.pb.h>

#include "envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::filters::stateful_session;
using Catch::Matchers::Contains;
namespace v3 = envoy::extensions::filters::http::stateful_session::v3;

namespace {

absl::StatusOr<std::shared_ptr<const Config>> parse(std::string_view yaml) {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  any.PackFrom(test::from_yaml<v3::StatefulSession>(yaml));
  auto config = registry.http_filter(any.type_url())->parse(any);
  if (!config.ok()) return config.status();
  return std::static_pointer_cast<const Config>(*config);
}

std::string state(std::string_view kind, std::string_view message, std::string_view fields) {
  return "session_state: {name: envoy.http.stateful_session." + std::string(kind) + ", typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.stateful_session." + std::string(message) +
         (fields.empty() ? "" : ", ") + std::string(fields) + "}}";
}
std::string cookie(std::string_view fields) { return state("cookie", "cookie.v3.CookieBasedSessionState", "cookie: {name: s, " + std::string(fields) + "}"); }
const std::string kHeader = state("header", "header.v3.HeaderBasedSessionState", "name: X-Session");

Settings settings(const std::string& state, const std::string& more = "") {
  const auto config = parse("{" + state + more + "}");
  INFO(config.status().ToString());
  REQUIRE(config.ok());
  return (*config)->settings;
}

std::string error(const std::string& yaml) {
  const auto config = parse("{" + yaml + "}");
  return config.ok() ? "" : std::string(config.status().message());
}

std::string host_of(const Settings& settings, std::string_view value, uint64_t now = 1000) {
  const std::string pair = "s=" + std::string(value);
  return session_host(settings, *test::request("/", "h", {{"cookie", pair}, {"x-session", value}}), now);
}

std::string told(const Settings& settings, uint64_t now = 1000) {
  test::Headers response{{":status", "200"}, {"x-session", "of the upstream"}};
  tell_client(settings, "10.0.0.1:80", now, *response);
  return std::string(response->get(settings.carrier == Settings::Carrier::Cookie ? "set-cookie" : "x-session"));
}

}  // namespace

TEST_CASE("a header carries the address") {
  const Settings header = settings(kHeader);
  CHECK(told(header) == absl::Base64Escape("10.0.0.1:80"));
  CHECK(host_of(header, told(header)) == "10.0.0.1:80");
  for (const char* bad : {"", "!!", "MTAuMC4wLjE6ODA", "MTAuMC4wLjE6ODB=", " MTAuMC4wLjE6ODA="}) CHECK(host_of(header, bad).empty());
  CHECK(session_host(header, *test::request("/"), 0).empty());
}

TEST_CASE("a cookie carries the address in a message") {
  const Settings plain = settings(cookie(""));
  CHECK(told(plain) == "s=\"CgsxMC4wLjAuMTo4MA==\"; HttpOnly");  // as Envoy 1.40
  CHECK(host_of(plain, "CgsxMC4wLjAuMTo4MA==") == "10.0.0.1:80");
  CHECK(host_of(plain, "\"CgsxMC4wLjAuMTo4MA==\"") == "10.0.0.1:80");
  CHECK(host_of(plain, absl::Base64Escape("127.0.0.1:35971")) == "127.0.0.1:35971");      // without a message, as older versions wrote it
  CHECK(host_of(plain, absl::Base64Escape("10.0.0.1:80")).empty());                      // by chance a message of unknown fields; so in Envoy 1.40
  CHECK(host_of(plain, absl::Base64Escape("\x0a\x03" "a:1\x1a\x02hi")) == "a:1");         // a field of a later version
  CHECK(host_of(plain, absl::Base64Escape("\x10\x05")).empty());
  CHECK(host_of(plain, "!!").empty());
  CHECK(host_of(plain, "CgsxMC4wLjAuMTo4MA").empty());
}

TEST_CASE("a cookie with a ttl says when its session ends") {
  const Settings timed = settings(cookie("ttl: 60s, path: /a, attributes: [{name: Secure}, {name: SameSite, value: Lax}]"));
  const std::string value = absl::Base64Escape("\x0a\x0b" "10.0.0.1:80\x10\xa4\x08");  // 1060
  CHECK(told(timed) == "s=\"" + value + "\"; Max-Age=60; Path=/a; Secure; SameSite=Lax; HttpOnly");
  CHECK(host_of(timed, value, 1060) == "10.0.0.1:80");
  CHECK(host_of(timed, value, 1061).empty());
  CHECK(host_of(settings(cookie("")), value, 1061).empty());  // whatever the filter says now
  CHECK(host_of(timed, "CgsxMC4wLjAuMTo4MA==", 5000) == "10.0.0.1:80");
}

TEST_CASE("the path of a cookie says which requests have sessions") {
  const auto covers = [](const std::string& own, std::string_view path) { return has_session(settings(cookie("path: '" + own + "'")), path); };
  CHECK(covers("", "/x"));
  CHECK(covers("/", "/x"));
  for (const char* path : {"/a", "/a/b", "/a?b", "/a#b"}) CHECK(covers("/a", path));
  for (const char* path : {"/ab", "/", "/b/a"}) CHECK_FALSE(covers("/a", path));
  CHECK(covers("/a/", "/a/b"));
  CHECK_FALSE(covers("/a/", "/a"));
  CHECK(has_session(settings(kHeader), "/"));
  CHECK_FALSE(has_session(settings("strict: true"), "/"));
}

TEST_CASE("strict sessions have an answer of their own for hosts that are gone") {
  CHECK(settings(kHeader).missing_status == 503);
  CHECK(settings(kHeader, ", strict: true").missing_status == 503);
  CHECK(settings(kHeader, ", strict: true, status_on_strict_destination_not_found: 410").missing_status == 410);
  CHECK(settings(kHeader, ", status_on_strict_destination_not_found: 410").missing_status == 503);
  CHECK_THAT(error("status_on_strict_destination_not_found: 99"), Contains("status_on_strict_destination_not_found: 99"));
}

TEST_CASE("session states are found by name, and hold their own message") {
  CHECK_THAT(error("session_state: {name: other, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState, name: a}}"),
             Contains("Didn't find a registered implementation for 'other'"));
  CHECK_THAT(error(state("header", "cookie.v3.CookieBasedSessionState", "cookie: {name: a}")), Contains("session_state.typed_config"));
  CHECK_THAT(error(state("header", "header.v3.HeaderBasedSessionState", "")), Contains("session_state.typed_config.name"));
  CHECK_THAT(error(state("cookie", "cookie.v3.CookieBasedSessionState", "cookie: {name: ''}")), Contains("session_state.typed_config.cookie.name"));
}

TEST_CASE("a route has sessions of its own or none") {
  config::Registry registry;
  register_config(registry);
  google::protobuf::Any any;
  const auto route = [&](const std::string& yaml) {
    any.PackFrom(test::from_yaml<v3::StatefulSessionPerRoute>(yaml));
    return std::static_pointer_cast<const RouteConfig>(*registry.http_filter_by_per_route(any.type_url())->parse_per_route(any));
  };
  CHECK(route("{disabled: true}")->disabled);
  CHECK_FALSE(route("{stateful_session: {" + kHeader + "}}")->disabled);
  CHECK(route("{stateful_session: {" + kHeader + "}}")->settings.name == "x-session");
  CHECK(route("{stateful_session: {}}")->settings.carrier == Settings::Carrier::None);
}
