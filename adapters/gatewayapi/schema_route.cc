// HTTPRoute. See schema.h.
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/fields.h"
#include "adapters/gatewayapi/schema.h"
#include "adapters/gatewayapi/schema_filters.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Gateway API v1.4, HTTPRoute CRD.
constexpr size_t kMaxRules = 16;
constexpr size_t kMaxMatchesPerRule = 64;
constexpr size_t kMaxMatches = 128;
constexpr size_t kMaxValueMatches = 16;
constexpr size_t kMaxBackends = 16;
constexpr int64_t kMaxWeight = 1'000'000;

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

// Headers or query parameters. Of equivalent names only the first counts.
std::vector<intent::ValueMatch> read_values(doc::Object& o, std::string_view key, bool headers, ErrorList& errors) {
  std::vector<intent::ValueMatch> result;
  std::set<std::string> seen;
  const std::vector<doc::Reader> list = o.list(key);
  at_most(o, key, list.size(), kMaxValueMatches);
  for (const doc::Reader& item : list) {
    doc::Object v(item, errors);
    intent::ValueMatch match;
    const std::string type = v.choice("type", {"Exact", "RegularExpression"}).value_or("Exact");
    match.type = type == "Exact" ? intent::ValueMatchType::kExact : intent::ValueMatchType::kRegex;
    match.name = v.required_string("name");
    if (!match.name.empty() && !is_header_name(match.name)) {
      v.error("name", absl::StrCat("\"", match.name, "\" is not a ", headers ? "header" : "query parameter", " name"));
    }
    match.value = v.required_string("value");
    std::string why_not;
    if (match.type == intent::ValueMatchType::kRegex && !is_regex(match.value, why_not)) {
      v.error("value", absl::StrCat("\"", match.value, "\" is not an RE2 expression: ", why_not));
    }
    if (seen.insert(headers ? absl::AsciiStrToLower(match.name) : match.name).second) result.push_back(std::move(match));
  }
  return result;
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

Rule read_rule(const doc::Reader& reader, ErrorList& errors, const Object& owner) {
  doc::Object o(reader, errors);
  Rule rule;
  rule.spot = spot_of(reader);
  rule.name = name_field(o);
  const std::vector<doc::Reader> matches = o.list("matches");
  at_most(o, "matches", matches.size(), kMaxMatchesPerRule);
  for (const doc::Reader& m : matches) rule.matches.push_back(read_match(m, errors));
  if (rule.matches.empty()) rule.matches.push_back({rule.spot, {}});
  const bool one_prefix_match = is_one_prefix_match(reader);
  rule.filters = read_filters(o.list("filters"), errors, {owner, false, one_prefix_match});
  const std::vector<doc::Reader> backends = o.list("backendRefs");
  at_most(o, "backendRefs", backends.size(), kMaxBackends);
  for (const doc::Reader& item : backends) {
    doc::Object b(item, errors);
    RuleBackend backend;
    backend.to = backend_ref(b, owner);
    backend.to.weight = static_cast<uint32_t>(b.integer_or("weight", 1, 0, kMaxWeight));  // Gateway API: 1
    backend.filters = read_filters(b.list("filters"), errors, {owner, true, one_prefix_match});
    rule.backends.push_back(std::move(backend));
  }
  if (rule.filters.redirect && !rule.backends.empty()) {
    o.error("backendRefs", "must not be given together with a RequestRedirect filter");
  }
  read_timeouts(o.object("timeouts"), rule);
  for (std::string_view field : {"retry", "sessionPersistence"}) {
    if (o.has(field)) o.error(field, "is not supported in this version");
    o.ignore(field);
  }
  return rule;
}

void read_rules(doc::Object& spec, ErrorList& errors, const Object& object, HttpRoute& route) {
  const std::vector<doc::Reader> rules = spec.list("rules");
  at_most(spec, "rules", rules.size(), kMaxRules);
  size_t matches = 0;
  std::set<std::string> names;
  for (const doc::Reader& reader : rules) {
    route.rules.push_back(read_rule(reader, errors, object));
    matches += route.rules.back().matches.size();
    const std::string& name = route.rules.back().name;
    if (!name.empty() && !names.insert(name).second) {
      errors.add(reader.get("name").error(absl::StrCat("\"", name, "\" is given twice")));
    }
  }
  if (matches > kMaxMatches) {
    spec.error("rules", absl::StrCat("have ", matches, " matches in all; at most ", kMaxMatches, " are allowed"));
  }
  if (route.rules.empty()) {
    Rule everything;
    everything.spot = spot_of(spec.reader());
    everything.matches.push_back({everything.spot, {}});
    route.rules.push_back(std::move(everything));
  }
}

}  // namespace

HttpRoute read_http_route(const Object& object, std::vector<Diagnostic>& out) {
  HttpRoute route;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    route.parents = parent_refs(spec, errors, object);
    route.hostnames = hostnames_field(spec);
    read_rules(spec, errors, object, route);
    if (spec.has("useDefaultGateways")) spec.error("useDefaultGateways", "is not supported in this version");
    spec.ignore("useDefaultGateways");
  }
  add_errors(errors, object, out);
  return route;
}

}  // namespace fairlead::adapters::gatewayapi
