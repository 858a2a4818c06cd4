// What routes say to filters other than the router: CORS and sessions, each as Envoy's filter of that name reads it.
#include "controlplane/resources/messages.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <re2/re2.h>

#include "base/doc.h"
#include "base/doc_proto.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/stateful_session/v3/stateful_session.pb.h"

namespace fairlead::resources {
namespace {

bool any(const std::vector<std::string>& names) { return names == std::vector<std::string>{"*"}; }

// "*.example" covers names of any number of labels; an origin without a port is one of its scheme's own.
std::string origin_regex(const std::string& origin) {
  if (origin == "*") return ".*";
  const size_t star = origin.find('*');
  if (star == std::string::npos) return RE2::QuoteMeta(origin);
  return absl::StrCat(RE2::QuoteMeta(origin.substr(0, star)), "[^/:]+", RE2::QuoteMeta(origin.substr(star + 1)));
}

void add_origin(const std::string& origin, envoy::type::matcher::v3::StringMatcher& to) {
  if (origin.find('*') == std::string::npos) {
    to.set_exact(origin);
  } else {
    set_regex(*to.mutable_safe_regex(), origin_regex(origin));
  }
}

using doc::text;

// Its class is not generated: read from a document, as a user would write it.
doc::Value session_state(const intent::Session& session) {
  if (!session.cookie) {
    return doc::map({{"name", text("envoy.http.stateful_session.header"), {}},
                     {"typed_config", doc::map({{"@type", text("type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState"), {}},
                                                {"name", text(session.name), {}}}), {}}});
  }
  std::vector<doc::Entry> cookie = {{"name", text(session.name), {}}, {"path", text(session.path), {}}};
  if (session.lifetime) cookie.push_back({"ttl", text(absl::StrCat(session.lifetime->count() / 1000, "s")), {}});
  return doc::map({{"name", text("envoy.http.stateful_session.cookie"), {}},
                   {"typed_config", doc::map({{"@type", text("type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState"), {}},
                                              {"cookie", doc::map(std::move(cookie)), {}}}), {}}});
}

}  // namespace

void fill_cors(const intent::Cors& from, envoy::config::route::v3::Route& to) {
  envoy::extensions::filters::http::cors::v3::CorsPolicy policy;
  for (const std::string& origin : from.origins) add_origin(origin, *policy.add_allow_origin_string_match());
  policy.set_allow_methods(absl::StrJoin(from.methods, ", "));
  policy.set_allow_headers(absl::StrJoin(from.request_headers, ", "));
  policy.set_expose_headers(absl::StrJoin(from.response_headers, ", "));
  policy.set_max_age(absl::StrCat(from.max_age));
  if (from.credentials) policy.mutable_allow_credentials()->set_value(true);
  policy.mutable_forward_not_matching_preflights()->set_value(false);  // Gateway API: a gateway answers all of them
  (*to.mutable_typed_per_filter_config())["envoy.filters.http.cors"].PackFrom(policy);
}

// With credentials a browser takes "*" for a name, and Gateway API wants what was asked for.
bool wants_preflight_route(const intent::Route& route) {
  return route.cors && route.cors->credentials && !route.cors->origins.empty() && (any(route.cors->methods) || any(route.cors->request_headers)) &&
         (route.match.method.empty() || route.match.method == "OPTIONS");
}

void fill_preflight(const intent::Cors& from, envoy::config::route::v3::Route& to) {
  const auto header = [&](const char* name) {
    auto* matcher = to.mutable_match()->add_headers();
    matcher->set_name(name);
    return matcher;
  };
  header(":method")->mutable_string_match()->set_exact("OPTIONS");
  header("access-control-request-method")->set_present_match(true);
  std::vector<std::string> origins;
  for (const std::string& origin : from.origins) origins.push_back(origin_regex(origin));
  set_regex(*header("origin")->mutable_string_match()->mutable_safe_regex(), absl::StrJoin(origins, "|"));
  to.mutable_direct_response()->set_status(200);
  const auto answer = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    auto* option = to.add_response_headers_to_add();
    option->mutable_header()->set_key(name);
    option->mutable_header()->set_value(value);
    option->set_append_action(envoy::config::core::v3::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD);
  };
  answer("access-control-allow-origin", "%REQ(origin)%");
  answer("access-control-allow-credentials", "true");
  answer("access-control-allow-methods", any(from.methods) ? "%REQ(access-control-request-method)%" : absl::StrJoin(from.methods, ", "));
  answer("access-control-allow-headers", any(from.request_headers) ? "%REQ(access-control-request-headers)%" : absl::StrJoin(from.request_headers, ", "));
  answer("access-control-expose-headers", absl::StrJoin(from.response_headers, ", "));
  answer("access-control-max-age", absl::StrCat(from.max_age));
}

void fill_session(const intent::Session& from, envoy::config::route::v3::Route& to) {
  envoy::extensions::filters::http::stateful_session::v3::StatefulSessionPerRoute session;
  const absl::Status read = doc::to_message(doc::map({{"stateful_session", doc::map({{"session_state", session_state(from), {}}}), {}}}), &session);
  if (!read.ok()) return;  // it is as good as written here
  (*to.mutable_typed_per_filter_config())["envoy.filters.http.stateful_session"].PackFrom(session);
}

}  // namespace fairlead::resources
