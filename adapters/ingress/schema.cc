// Strict readers of IngressClass and Ingress. See schema.h.
#include "adapters/ingress/schema.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/doc_reader.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::adapters::ingress {

namespace {

Spot spot_of(const doc::Reader& reader) { return Spot{reader.path(), static_cast<int>(reader.mark().line)}; }

void ignore_envelope(doc::Object& top) {
  for (std::string_view field : {"apiVersion", "kind", "metadata", "status"}) top.ignore(field);
}

bool lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Labels of [a-z0-9-], neither beginning nor ending with '-', joined by dots.
bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  char before = '.';
  for (char c : text) {
    if (c == '.' ? before == '.' || before == '-' : c == '-' ? before == '.' : !lower_alnum(c)) return false;
    before = c;
  }
  return before != '.' && before != '-';
}

// Kubernetes 1.34, ValidateIngressSpec: a name, or "*." before one; no address.
bool is_host(std::string_view text) {
  if (absl::StartsWith(text, "*.")) text.remove_prefix(2);
  in_addr v4;
  return is_subdomain(text) && inet_pton(AF_INET, std::string(text).c_str(), &v4) != 1;
}

constexpr std::string_view kHostRule = "is not a host: lower-case labels joined by dots, with \"*\" only as the whole first label, no address";

// Kubernetes 1.34, validateHTTPIngressPath: Exact and Prefix are paths as a client may send them; of others only the first '/' is asked for.
std::string path_problem(std::string_view path, bool strict) {
  if (!absl::StartsWith(path, "/")) return "must begin with '/'";
  if (!strict) return "";
  for (std::string_view bad : {"//", "/./", "/../", "%2f", "%2F"}) {
    if (absl::StrContains(path, bad)) return absl::StrCat("must not contain \"", bad, "\"");
  }
  return absl::EndsWith(path, "/..") || absl::EndsWith(path, "/.") ? "must not end with a dot segment" : "";
}

// An IANA service name, as ports of Services are named.
bool is_port_name(std::string_view text) {
  if (text.empty() || text.size() > 15 || absl::StrContains(text, "--") || text.front() == '-' || text.back() == '-') return false;
  bool letter = false;
  for (char c : text) {
    if (!lower_alnum(c) && c != '-') return false;
    letter = letter || (c >= 'a' && c <= 'z');
  }
  return letter;
}

void read_service(doc::Object o, Backend& backend) {
  backend.service = o.required_string("name");
  if (!backend.service.empty() && (!is_subdomain(backend.service) || absl::StrContains(backend.service, "."))) {
    o.error("name", absl::StrCat("\"", backend.service, "\" is not the name of a Service"));
  }
  doc::Object port = o.object("port");
  backend.port = port.integer_or("number", 0, 1, 65535);
  backend.port_name = port.string_or("name", "");
  const bool number = port.has("number"), name = !backend.port_name.empty();
  if (number && name) port.error("name", "must not be given together with number");
  if (!number && !name) o.error("port", "a number or a name is required");
  if (name && !is_port_name(backend.port_name)) port.error("name", absl::StrCat("\"", backend.port_name, "\" is not a port's name"));
}

Backend read_backend(doc::Object o) {
  Backend backend;
  backend.spot = spot_of(o.reader());
  const bool service = o.has("service"), resource = o.has("resource");
  if (service && resource) o.error("resource", "must not be given together with service");
  if (!service && !resource) o.error("a service or a resource is required");
  if (service) read_service(o.object("service"), backend);
  if (resource) {
    doc::Object r = o.object("resource");
    r.ignore("apiGroup");
    const std::string kind = r.required_string("kind"), name = r.required_string("name");
    backend.resource = absl::StrCat(kind, " ", name);
  }
  return backend;
}

Path read_path(const doc::Reader& reader, ErrorList& errors) {
  doc::Object o(reader, errors);
  Path path;
  path.spot = spot_of(reader);
  if (!o.has("pathType")) o.error("pathType", "is required: Exact, Prefix or ImplementationSpecific");
  const std::string type = o.choice("pathType", {"Exact", "Prefix", "ImplementationSpecific"}).value_or("Prefix");
  path.match.value = o.string_or("path", "");
  const bool strict = type != "ImplementationSpecific";
  if (strict || !path.match.value.empty()) {
    const std::string problem = path_problem(path.match.value, strict);
    if (!problem.empty()) o.error("path", absl::StrCat("\"", path.match.value, "\" ", problem));
  }
  path.match.type = type == "Exact" ? intent::PathMatchType::kExact : intent::PathMatchType::kPrefix;
  // Load balancers of clouds write a prefix as "/foo/*".
  if (!strict && absl::EndsWith(path.match.value, "/*")) path.match.value.pop_back();
  if (path.match.value.empty()) path.match.value = "/";
  path.backend = read_backend(o.object("backend"));
  return path;
}

Rule read_rule(const doc::Reader& reader, ErrorList& errors) {
  doc::Object o(reader, errors);
  Rule rule;
  rule.spot = spot_of(reader);
  rule.host = o.string_or("host", "");
  if (!rule.host.empty() && !is_host(rule.host)) o.error("host", absl::StrCat("\"", rule.host, "\" ", kHostRule));
  if (!o.has("http")) {
    o.ignore("http");
    return rule;  // the host's requests go to the default backend
  }
  doc::Object http = o.object("http");
  const std::vector<doc::Reader> paths = http.list("paths");
  if (paths.empty()) http.error("paths", "at least one path is required");
  for (const doc::Reader& path : paths) rule.paths.push_back(read_path(path, errors));
  return rule;
}

Tls read_tls(const doc::Reader& reader, ErrorList& errors) {
  doc::Object o(reader, errors);
  Tls tls;
  tls.spot = spot_of(reader);
  tls.hosts = o.strings("hosts");
  for (const std::string& host : tls.hosts) {
    if (!is_host(host)) o.error("hosts", absl::StrCat("\"", host, "\" ", kHostRule));
  }
  tls.secret = o.string_or("secretName", "");
  if (!tls.secret.empty() && !is_subdomain(tls.secret)) o.error("secretName", absl::StrCat("\"", tls.secret, "\" is not the name of a Secret"));
  return tls;
}

// A port in an annotation; `fallback` when there is none.
uint16_t port_annotation(const doc::Reader& annotations, std::string_view key, uint16_t fallback, ErrorList& errors) {
  const doc::Reader reader = annotations.get(key);
  if (!reader.present() || !reader.value().is_string()) return fallback;  // another type was refused with the metadata
  const std::string text = reader.value().as_string();
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size() && port > 0 && port <= 65535) return static_cast<uint16_t>(port);
  errors.add(reader.error(absl::StrCat("\"", text, "\" is not a port")));
  return fallback;
}

void refuse(const Object& object, std::string field, std::string message, std::vector<Diagnostic>& out) {
  out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, std::move(field), std::move(message)});
}

}  // namespace

IngressClass read_ingress_class(const Object& object, std::vector<Diagnostic>& out) {
  IngressClass result;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    result.controller = spec.string_or("controller", "");
    const doc::Reader parameters = spec.get("parameters");
    result.has_parameters = parameters.present();
    result.parameters = spot_of(parameters);
    const auto is_default = object.annotations.find("ingressclass.kubernetes.io/is-default-class");
    result.is_default = is_default != object.annotations.end() && is_default->second == "true";
    if (result.controller == kControllerName) {
      const doc::Reader annotations = top.reader().get("metadata").get("annotations");
      result.http_port = port_annotation(annotations, "fairlead.io/http-port", result.http_port, errors);
      result.https_port = port_annotation(annotations, "fairlead.io/https-port", result.https_port, errors);
      if (result.http_port == result.https_port) errors.add(annotations.error("HTTP and HTTPS need a port each"));
    }
  }
  add_errors(errors, object, out);
  return result;
}

Ingress read_ingress(const Object& object, std::vector<Diagnostic>& out) {
  Ingress result;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    result.class_name = spec.string_or("ingressClassName", "");
    if (!result.class_name.empty() && !is_subdomain(result.class_name)) {
      spec.error("ingressClassName", absl::StrCat("\"", result.class_name, "\" is not the name of an IngressClass"));
    }
    const auto legacy = object.annotations.find("kubernetes.io/ingress.class");
    if (legacy != object.annotations.end()) result.legacy_class = legacy->second;
    if (spec.has("defaultBackend")) {
      result.default_backend = read_backend(spec.object("defaultBackend"));
    } else {
      spec.ignore("defaultBackend");
    }
    for (const doc::Reader& rule : spec.list("rules")) result.rules.push_back(read_rule(rule, errors));
    for (const doc::Reader& tls : spec.list("tls")) result.tls.push_back(read_tls(tls, errors));
    if (!result.default_backend && result.rules.empty()) spec.error("rules or a defaultBackend are required");
  }
  add_errors(errors, object, out);
  return result;
}

bool check_networking(const Object& object, std::vector<Diagnostic>& out) {
  const bool ours = object.key.kind == "Ingress" || object.key.kind == "IngressClass";
  if (ours && version_of(object.api_version) != "v1") {
    refuse(object, "apiVersion", absl::StrCat(object.key.kind, " is read in version ", kGroup, "/v1 only, not ", object.api_version), out);
  } else if (object.key.kind == "Ingress") {
    read_ingress(object, out);
  } else if (object.key.kind == "IngressClass") {
    read_ingress_class(object, out);
  } else if (const std::optional<std::string> meant = closest(object.key.kind, {"Ingress", "IngressClass"})) {
    refuse(object, "kind", absl::StrCat("unknown kind '", object.key.kind, "'; did you mean '", *meant, "'?"), out);
  } else {
    out.push_back(Diagnostic{Severity::kNote, object.key, object.file, object.line, "", absl::StrCat("kind ", object.key.kind, " is not read")});
    return false;
  }
  return true;
}

}  // namespace fairlead::adapters::ingress
