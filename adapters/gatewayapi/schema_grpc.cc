// GRPCRoute, in the words of an HTTPRoute: a call is a request for /SERVICE/METHOD. See schema.h.
#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "adapters/gatewayapi/fields.h"
#include "adapters/gatewayapi/schema_rules.h"

namespace fairlead::adapters::gatewayapi {

namespace {

constexpr size_t kMaxName = 1024;

// Letters, digits and '_', not beginning with a digit.
bool is_identifier(std::string_view text) {
  return !text.empty() && !absl::ascii_isdigit(static_cast<unsigned char>(text[0])) &&
         std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; });
}

bool is_service(std::string_view text) {
  if (text.starts_with('.')) text.remove_prefix(1);
  const std::vector<std::string_view> parts = absl::StrSplit(text, '.');
  return std::all_of(parts.begin(), parts.end(), is_identifier);
}

// What one segment of the path must be.
struct Segment {
  std::string text;
  GrpcName name;
};

Segment read_segment(doc::Object& o, std::string_view key, bool exact, bool (*good)(std::string_view)) {
  Segment segment;
  segment.text = o.string_or(key, "");
  if (segment.text.empty()) return segment;
  segment.name = {exact ? 0 : 1, segment.text.size()};
  std::string why_not;
  if (segment.text.size() > kMaxName) {
    o.error(key, absl::StrCat("is longer than ", kMaxName, " bytes"));
  } else if (exact && !good(segment.text)) {
    o.error(key, absl::StrCat("\"", segment.text, "\" is not the name of a gRPC ", key));
  } else if (!exact && !is_regex(segment.text, why_not)) {
    o.error(key, absl::StrCat("\"", segment.text, "\" is not an RE2 expression: ", why_not));
  }
  return segment;
}

void read_method(doc::Object o, RouteMatch& match) {
  if (!o.present()) return;
  const bool exact = o.choice("type", {"Exact", "RegularExpression"}).value_or("Exact") == "Exact";
  const Segment service = read_segment(o, "service", exact, is_service), method = read_segment(o, "method", exact, is_identifier);
  if (service.text.empty() && method.text.empty()) return o.error("service", "one of service and method must be given");
  match.grpc = {service.name, method.name};
  intent::PathMatch& path = match.match.path;
  if (exact && method.text.empty()) {
    path = {intent::PathMatchType::kPrefix, absl::StrCat("/", service.text)};
  } else if (exact && !service.text.empty()) {
    path = {intent::PathMatchType::kExact, absl::StrCat("/", service.text, "/", method.text)};
  } else {
    const auto segment = [&](const Segment& s) { return s.text.empty() ? std::string("[^/]+") : exact ? s.text : absl::StrCat("(?:", s.text, ")"); };
    path = {intent::PathMatchType::kRegex, absl::StrCat("/", segment(service), "/", segment(method))};
  }
}

Rule read_grpc_rule(const doc::Reader& reader, ErrorList& errors, const Object& owner) {
  doc::Object o(reader, errors);
  Rule rule;
  rule.spot = spot_of(reader);
  const std::vector<doc::Reader> matches = o.list("matches");
  at_most(o, "matches", matches.size(), kMaxMatchesPerRule);
  for (const doc::Reader& item : matches) {
    doc::Object m(item, errors);
    RouteMatch match;
    match.spot = spot_of(item);
    read_method(m.object("method"), match);
    match.match.headers = read_values(m, "headers", true, errors);
    rule.matches.push_back(std::move(match));
  }
  if (rule.matches.empty()) rule.matches.push_back({rule.spot, {}});
  FilterContext context{owner};
  context.grpc = true;
  read_rule(o, errors, context, rule);
  return rule;
}

}  // namespace

HttpRoute read_grpc_route(const Object& object, std::vector<Diagnostic>& out) {
  HttpRoute route;
  route.grpc = true;
  read_route(route, object, out, [&](doc::Object& spec, ErrorList& errors) {
    route.hostnames = hostnames_field(spec);
    read_rules(spec, errors, object, route, read_grpc_rule);
  });
  return route;
}

}  // namespace fairlead::adapters::gatewayapi
