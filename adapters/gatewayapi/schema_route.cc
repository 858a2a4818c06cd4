// HTTPRoute. See schema.h.
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/fields.h"
#include "adapters/gatewayapi/schema_rules.h"

namespace fairlead::adapters::gatewayapi {

namespace {

bool is_path(std::string_view path, std::string& why_not) {
  if (!absl::StartsWith(path, "/")) {
    why_not = "must begin with '/'";
    return false;
  }
  for (std::string_view bad : {"//", "/./", "/../", "%2f", "%2F", "#"}) {
    if (absl::StrContains(path, bad)) {
      why_not = absl::StrCat("must not contain \"", bad, "\"");
      return false;
    }
  }
  if (absl::EndsWith(path, "/..") || absl::EndsWith(path, "/.")) {
    why_not = "must not end with a dot segment";
    return false;
  }
  constexpr std::string_view kOther = "-/._~!$&'()*+,;=:@";
  for (size_t i = 0; i < path.size(); ++i) {
    const auto c = static_cast<unsigned char>(path[i]);
    if (absl::ascii_isalnum(c) || kOther.find(path[i]) != std::string_view::npos) continue;
    if (c == '%' && i + 2 < path.size() && absl::ascii_isxdigit(static_cast<unsigned char>(path[i + 1])) &&
        absl::ascii_isxdigit(static_cast<unsigned char>(path[i + 2]))) {
      i += 2;
      continue;
    }
    why_not = "holds a character that must be percent-encoded";
    return false;
  }
  return true;
}

intent::PathMatch read_path(doc::Object o) {
  intent::PathMatch path;
  const std::string type = o.choice("type", {"Exact", "PathPrefix", "RegularExpression"}).value_or("PathPrefix");
  path.value = o.string_or("value", "/");
  std::string why_not;
  if (path.value.size() > 1024) {
    o.error("value", "is longer than 1024 bytes");
  } else if (type == "RegularExpression") {
    path.type = intent::PathMatchType::kRegex;
    if (path.value.empty()) {
      o.error("value", "must not be empty");
    } else if (!is_regex(path.value, why_not)) {
      o.error("value", absl::StrCat("\"", path.value, "\" is not an RE2 expression: ", why_not));
    }
  } else {
    path.type = type == "Exact" ? intent::PathMatchType::kExact : intent::PathMatchType::kPrefix;
    if (!is_path(path.value, why_not)) o.error("value", absl::StrCat("\"", path.value, "\" ", why_not));
  }
  return path;
}

RouteMatch read_match(const doc::Reader& reader, ErrorList& errors) {
  doc::Object o(reader, errors);
  RouteMatch m;
  m.spot = spot_of(reader);
  m.match.path = read_path(o.object("path"));
  m.match.headers = read_values(o, "headers", true, errors);
  m.match.query = read_values(o, "queryParams", false, errors);
  m.match.method =
      o.choice("method", {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}).value_or("");
  return m;
}

bool is_one_prefix_match(const doc::Reader& rule) {
  const doc::Reader matches = rule.get("matches");
  if (!matches.present() || matches.value().items().empty()) return true;  // the default match: PathPrefix "/"
  if (matches.value().items().size() != 1) return false;
  const doc::Value* type = matches.value().items()[0].find_path("path.type");
  return type == nullptr || type->is_null() || type->as_string() == "PathPrefix";
}

void read_timeouts(doc::Object o, Rule& rule) {
  rule.request_timeout = duration_field(o, "request");
  rule.backend_timeout = duration_field(o, "backendRequest");
  if (rule.request_timeout && rule.backend_timeout && rule.request_timeout->count() > 0 &&
      *rule.backend_timeout > *rule.request_timeout) {
    o.error("backendRequest", "must not be longer than request");
  }
}

intent::Retry read_retry(doc::Object o, ErrorList& errors) {
  intent::Retry retry;
  for (const doc::Reader& code : o.list("codes")) {
    const absl::StatusOr<int64_t> status = code.integer(400, 599);  // Gateway API: HTTPRouteRetryStatusCode
    if (status.ok()) {
      retry.statuses.push_back(static_cast<int>(*status));
    } else {
      errors.add(status.status());
    }
  }
  retry.attempts = static_cast<uint32_t>(o.integer_or("attempts", 1, 0, 2147483647));  // Envoy 1.40: 1, RetryPolicy.num_retries
  retry.backoff = duration_field(o, "backoff");
  if (retry.backoff && retry.backoff->count() == 0) o.error("backoff", "must be above zero");
  return retry;
}

Rule read_http_rule(const doc::Reader& reader, ErrorList& errors, const Object& owner) {
  doc::Object o(reader, errors);
  Rule rule;
  rule.spot = spot_of(reader);
  const std::vector<doc::Reader> matches = o.list("matches");
  at_most(o, "matches", matches.size(), kMaxMatchesPerRule);
  for (const doc::Reader& m : matches) rule.matches.push_back(read_match(m, errors));
  if (rule.matches.empty()) rule.matches.push_back({rule.spot, {}});
  const bool one_prefix_match = is_one_prefix_match(reader);
  read_rule(o, errors, {owner, false, one_prefix_match}, rule);
  if (rule.filters.redirect && !rule.backends.empty()) {
    o.error("backendRefs", "must not be given together with a RequestRedirect filter");
  }
  read_timeouts(o.object("timeouts"), rule);
  if (o.has("retry")) rule.retry = read_retry(o.object("retry"), errors);
  return rule;
}

}  // namespace

HttpRoute read_http_route(const Object& object, std::vector<Diagnostic>& out) {
  HttpRoute route;
  read_route(route, object, out, [&](doc::Object& spec, ErrorList& errors) {
    route.hostnames = hostnames_field(spec);
    read_rules(spec, errors, object, route, read_http_rule);
  });
  return route;
}

}  // namespace fairlead::adapters::gatewayapi
