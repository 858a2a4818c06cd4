// Filters of a rule and of a backend. See schema.h.
#include "adapters/gatewayapi/schema_filters.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/fields.h"

namespace fairlead::adapters::gatewayapi {

namespace {

constexpr size_t kMaxFilters = 16;
constexpr size_t kMaxHeaders = 16;

// Header values go out as they are: what no receiver takes (RFC 9110: control characters other than HTAB) is refused here.
bool is_header_value(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; });
}

// What takes a path's place in a request line or a Location: from '/' on, visible, without a query or a fragment.
bool is_new_path(std::string_view text) {
  return text.empty() ||
         (text.front() == '/' && std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '?' && c != '#'; }));
}

// Envoy refuses a whole route table in which one route touches it.
bool is_host(std::string_view name) { return absl::EqualsIgnoreCase(name, "host"); }
constexpr std::string_view kNotHost = "the Host header cannot be changed here; URLRewrite with hostname does that";

std::vector<intent::HeaderValue> read_headers(doc::Object& o, std::string_view key, ErrorList& errors) {
  std::vector<intent::HeaderValue> result;
  std::set<std::string> seen;
  const std::vector<doc::Reader> list = o.list(key);
  at_most(o, key, list.size(), kMaxHeaders);
  for (const doc::Reader& item : list) {
    doc::Object h(item, errors);
    intent::HeaderValue header{h.required_string("name"), h.required_string("value")};
    if (!header.name.empty() && !is_header_name(header.name)) {
      h.error("name", absl::StrCat("\"", header.name, "\" is not a header name"));
    }
    if (is_host(header.name)) h.error("name", std::string(kNotHost));
    if (!is_header_value(header.value)) h.error("value", "must not hold control characters");
    // Only the first of equivalent names counts (HTTPHeaderFilter.set, .add).
    if (seen.insert(absl::AsciiStrToLower(header.name)).second) result.push_back(std::move(header));
  }
  return result;
}

intent::HeaderModifier read_modifier(doc::Object o, ErrorList& errors) {
  intent::HeaderModifier m;
  m.set = read_headers(o, "set", errors);
  m.add = read_headers(o, "add", errors);
  m.remove = o.strings("remove");
  at_most(o, "remove", m.remove.size(), kMaxHeaders);
  for (const std::string& name : m.remove) {
    if (!is_header_name(name)) o.error("remove", absl::StrCat("\"", name, "\" is not a header name"));
    if (is_host(name)) o.error("remove", std::string(kNotHost));
  }
  return m;
}

std::optional<intent::PathRewrite> read_path_rewrite(doc::Object o, bool one_prefix_match) {
  if (!o.present()) return std::nullopt;
  intent::PathRewrite rewrite;
  if (!o.has("type")) o.error("type", "is required: ReplaceFullPath or ReplacePrefixMatch");
  const std::string type = o.choice("type", {"ReplaceFullPath", "ReplacePrefixMatch"}).value_or("ReplaceFullPath");
  const bool prefix = type == "ReplacePrefixMatch";
  rewrite.type = prefix ? intent::PathRewriteType::kPrefix : intent::PathRewriteType::kFull;
  const std::string_view used = prefix ? "replacePrefixMatch" : "replaceFullPath";
  const std::string_view unused = prefix ? "replaceFullPath" : "replacePrefixMatch";
  if (!o.has(used)) o.error(used, absl::StrCat("is required with type ", type));
  if (o.has(unused)) o.error(unused, absl::StrCat("must not be given with type ", type));
  o.ignore(unused);
  rewrite.value = o.string_or(used, "");
  if (!is_new_path(rewrite.value)) {
    o.error(used, absl::StrCat("\"", rewrite.value, "\" is not a path: it begins with '/' and holds no blank, '?', '#' or unencoded character"));
  }
  if (!prefix && rewrite.value.empty()) rewrite.value.assign(1, '/');  // no request has an empty path
  if (prefix && !one_prefix_match) {
    o.error("type", "ReplacePrefixMatch needs a rule with exactly one match, of path type PathPrefix");
  }
  return rewrite;
}

intent::Redirect read_redirect(doc::Object o, bool one_prefix_match) {
  intent::Redirect redirect;
  redirect.scheme = o.choice("scheme", {"http", "https"}).value_or("");
  redirect.hostname = hostname_field(o, "hostname", false);
  redirect.path = read_path_rewrite(o.object("path"), one_prefix_match);
  if (std::optional<int64_t> port = o.integer("port", 1, 65535)) redirect.port = static_cast<uint16_t>(*port);
  const int64_t status = o.integer_or("statusCode", 302, 300, 399);  // Gateway API: 302
  if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) {
    o.error("statusCode", absl::StrCat("expected 301, 302, 303, 307 or 308, got ", status));
  }
  redirect.status = static_cast<int>(status);
  return redirect;
}

intent::UrlRewrite read_rewrite(doc::Object o, bool one_prefix_match) {
  intent::UrlRewrite rewrite;
  rewrite.hostname = hostname_field(o, "hostname", false);
  rewrite.path = read_path_rewrite(o.object("path"), one_prefix_match);
  return rewrite;
}

Mirror read_mirror(doc::Object o, ErrorList& errors, const Object& owner) {
  Mirror mirror;
  {
    doc::Object ref = o.object("backendRef");
    if (!ref.present()) o.error("backendRef", "is required");
    if (ref.present()) mirror.to = backend_ref(ref, owner);
  }
  const std::optional<int64_t> percent = o.integer("percent", 0, 100);
  if (percent) mirror.numerator = static_cast<uint32_t>(*percent);
  const doc::Reader fraction = o.get("fraction");
  if (fraction.present()) {
    if (percent) o.error("fraction", "only one of percent and fraction may be given");
    doc::Object f(fraction, errors);
    constexpr int64_t kMax = 2147483647;
    if (!f.has("numerator")) f.error("numerator", "is required");
    mirror.numerator = static_cast<uint32_t>(f.integer_or("numerator", 0, 0, kMax));
    mirror.denominator = static_cast<uint32_t>(f.integer_or("denominator", 100, 1, kMax));  // Gateway API: 100
    if (mirror.numerator > mirror.denominator) f.error("numerator", "must not be above denominator");
  }
  return mirror;
}

// "https://shop.example:8443", "https://*.example", "*".
bool is_origin(std::string_view text) {
  if (text == "*") return true;
  const size_t scheme = text.find("://");
  if (scheme == std::string_view::npos || (text.substr(0, scheme) != "http" && text.substr(0, scheme) != "https")) return false;
  std::string_view host = text.substr(scheme + 3);
  if (const size_t colon = host.rfind(':'); colon != std::string_view::npos) {
    const std::string_view port = host.substr(colon + 1);
    int number = 0;
    if (!absl::SimpleAtoi(port, &number) || number < 1 || number > 65535) return false;
    host = host.substr(0, colon);
  }
  if (host == "*") return true;
  if (absl::StartsWith(host, "*.")) host.remove_prefix(2);
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-'; });
}

// "*" stands for all of them, alone.
std::vector<std::string> read_wild(doc::Object& o, std::string_view key, size_t limit, bool (*good)(std::string_view), std::string_view what) {
  std::vector<std::string> list = o.strings(key);
  at_most(o, key, list.size(), limit);
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i] == "*" && list.size() > 1) o.error(key, "\"*\" must not be given with others");
    if (std::count(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i), list[i]) > 0) o.error(key, absl::StrCat("\"", list[i], "\" is given twice"));
    if (!good(list[i])) o.error(key, absl::StrCat("\"", list[i], "\" is not ", what));
  }
  return list;
}

bool is_method(std::string_view text) {
  constexpr std::string_view kMethods[] = {"*", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  return std::find(std::begin(kMethods), std::end(kMethods), text) != std::end(kMethods);
}

intent::Cors read_cors(doc::Object o) {
  intent::Cors cors;
  cors.origins = read_wild(o, "allowOrigins", 64, is_origin, "an origin: http or https, \"://\", a host that may begin with \"*.\", and maybe a port");
  cors.methods = read_wild(o, "allowMethods", 9, is_method, "a method or \"*\"");
  cors.request_headers = read_wild(o, "allowHeaders", 64, is_header_name, "a header name");
  cors.response_headers = read_wild(o, "exposeHeaders", 64, is_header_name, "a header name");
  cors.credentials = o.boolean_or("allowCredentials", false);
  cors.max_age = static_cast<int>(o.integer_or("maxAge", 5, 1, 2147483647));  // Gateway API: 5 s
  return cors;
}

constexpr std::string_view kFields[] = {"requestHeaderModifier", "responseHeaderModifier", "requestMirror",
                                        "requestRedirect",       "urlRewrite",             "extensionRef",
                                        "cors",                  "externalAuth"};

// What a GRPCRoute does not even have: an unknown field there.
bool is_http_only(std::string_view field) { return field == "requestRedirect" || field == "urlRewrite" || field == "cors" || field == "externalAuth"; }

std::string field_of(const std::string& type) {
  if (type == "URLRewrite") return "urlRewrite";
  if (type == "CORS") return "cors";
  std::string field = type;
  field[0] = absl::ascii_tolower(static_cast<unsigned char>(field[0]));
  return field;
}

void read_filter(const doc::Reader& reader, ErrorList& errors, const FilterContext& context, std::set<std::string>& seen,
                 Filters& filters) {
  doc::Object o(reader, errors);
  if (!o.has("type")) o.error("type", "is required");
  const std::optional<std::string> type =
      context.grpc ? o.choice("type", {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"})
                   : o.choice("type", {"RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect", "URLRewrite",
                                       "ExtensionRef", "CORS", "ExternalAuth"});
  const std::string field = type ? field_of(*type) : "";
  for (std::string_view other : kFields) {
    if (other == field || (context.grpc && is_http_only(other))) continue;
    if (type && o.has(other)) o.error(other, absl::StrCat("must not be given with type ", *type));
    o.ignore(other);
  }
  if (!type) return;
  if (!o.has(field)) o.error(field, absl::StrCat("is required with type ", *type));
  if (*type != "RequestMirror" && *type != "ExtensionRef" && !seen.insert(*type).second) {
    o.error("type", absl::StrCat(*type, " is given twice"));
  }
  const bool on_backend = context.on_backend;
  if (*type == "ExternalAuth" ||
      (on_backend && *type != "RequestHeaderModifier" && *type != "ResponseHeaderModifier" && *type != "ExtensionRef")) {
    o.error("type", absl::StrCat(*type, on_backend ? " on a backendRef" : "", " is not supported in this version"));
    o.ignore(field);
    return;
  }
  if (*type == "RequestHeaderModifier") {
    filters.request_headers = read_modifier(o.object(field), errors);
  } else if (*type == "ResponseHeaderModifier") {
    filters.response_headers = read_modifier(o.object(field), errors);
  } else if (*type == "RequestMirror") {
    filters.mirrors.push_back(read_mirror(o.object(field), errors, context.owner));
  } else if (*type == "RequestRedirect") {
    filters.redirect = read_redirect(o.object(field), context.one_prefix_match);
  } else if (*type == "URLRewrite") {
    filters.rewrite = read_rewrite(o.object(field), context.one_prefix_match);
  } else if (*type == "CORS") {
    filters.cors = read_cors(o.object(field));
  } else {
    doc::Object ref = o.object(field);
    ref.string("group");
    ref.required_string("kind");
    ref.required_string("name");
    filters.extensions.push_back(spot_of(reader));
  }
}

}  // namespace

Filters read_filters(const std::vector<doc::Reader>& list, ErrorList& errors, const FilterContext& context) {
  Filters filters;
  std::set<std::string> seen;
  for (const doc::Reader& reader : list) read_filter(reader, errors, context, seen, filters);
  if (list.size() > kMaxFilters) {
    errors.add(list.back().error(absl::StrCat("is filter number ", list.size(), "; at most ", kMaxFilters, " are allowed")));
  }
  if (filters.redirect && filters.rewrite) {
    errors.add(list.front().error("RequestRedirect and URLRewrite must not be used together"));
  }
  return filters;
}

}  // namespace fairlead::adapters::gatewayapi
