// Rules of HTTPRoutes and GRPCRoutes. See schema_rules.h.
#include "adapters/gatewayapi/schema_rules.h"

#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/fields.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Gateway API v1.6, CRDs of HTTPRoute and GRPCRoute.
constexpr size_t kMaxRules = 16;
constexpr size_t kMaxMatches = 128;
constexpr size_t kMaxValueMatches = 16;

// As far as a cookie or a header that holds the endpoint can carry it out; the cookie's path is that of each match.
std::optional<intent::Session> read_session(doc::Object o) {
  if (!o.present()) return std::nullopt;
  intent::Session session;
  session.cookie = o.choice("type", {"Cookie", "Header"}).value_or("Cookie") == "Cookie";
  session.name = o.string_or("sessionName", session.cookie ? "fairlead-session" : "x-fairlead-session");
  if (session.name.size() > 128 || !is_header_name(session.name)) o.error("sessionName", absl::StrCat("\"", session.name, "\" is not a name: at most 128 characters of a token"));
  const std::optional<std::chrono::milliseconds> absolute = duration_field(o, "absoluteTimeout");
  if (o.has("idleTimeout")) o.error("idleTimeout", "is not supported: a cookie or a header does not know when it was last seen");
  o.ignore("idleTimeout");
  doc::Object cookie = o.object("cookieConfig");
  const bool permanent = cookie.choice("lifetimeType", {"Session", "Permanent"}).value_or("Session") == "Permanent";
  if (!session.cookie && cookie.present()) o.error("cookieConfig", "must not be given with type Header");
  if (permanent && !absolute) o.error("absoluteTimeout", "is required with cookieConfig.lifetimeType Permanent");
  if (!permanent && absolute) o.error("absoluteTimeout", "is supported with cookieConfig.lifetimeType Permanent only");
  if (permanent && absolute && absolute->count() < 1000) o.error("absoluteTimeout", "must be one second or more");
  if (permanent) session.lifetime = absolute;
  return session;
}

}  // namespace

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

void read_rule(doc::Object& o, ErrorList& errors, const FilterContext& context, Rule& rule) {
  rule.name = name_field(o);
  rule.filters = read_filters(o.list("filters"), errors, context);
  FilterContext on_backend = context;
  on_backend.on_backend = true;
  const std::vector<doc::Reader> backends = o.list("backendRefs");
  at_most(o, "backendRefs", backends.size(), kMaxBackends);
  for (const doc::Reader& item : backends) {
    doc::Object b(item, errors);
    RuleBackend backend;
    backend.to = backend_ref(b, context.owner);
    backend.to.weight = static_cast<uint32_t>(b.integer_or("weight", 1, 0, kMaxWeight));  // Gateway API: 1
    backend.filters = read_filters(b.list("filters"), errors, on_backend);
    rule.backends.push_back(std::move(backend));
  }
  rule.session = read_session(o.object("sessionPersistence"));
}

void read_rules(doc::Object& spec, ErrorList& errors, const Object& object, HttpRoute& route, Rule (*one)(const doc::Reader&, ErrorList&, const Object&)) {
  const std::vector<doc::Reader> rules = spec.list("rules");
  at_most(spec, "rules", rules.size(), kMaxRules);
  size_t matches = 0;
  std::set<std::string> names;
  for (const doc::Reader& reader : rules) {
    route.rules.push_back(one(reader, errors, object));
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

}  // namespace fairlead::adapters::gatewayapi
