// GatewayClass, Gateway and ReferenceGrant. See schema.h.
#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "adapters/gatewayapi/fields.h"
#include "adapters/gatewayapi/schema.h"

namespace fairlead::adapters::gatewayapi {

namespace {

constexpr size_t kMaxListeners = 64;
constexpr size_t kMaxAddresses = 16;

Selector read_selector(doc::Object o, ErrorList& errors) {
  Selector s;
  s.labels = o.string_map("matchLabels");
  for (const doc::Reader& item : o.list("matchExpressions")) {
    doc::Object e(item, errors);
    Requirement r;
    r.key = e.required_string("key");
    if (!e.has("operator")) e.error("operator", "is required: In, NotIn, Exists or DoesNotExist");
    r.op = e.choice("operator", {"In", "NotIn", "Exists", "DoesNotExist"}).value_or("Exists");
    r.values = e.strings("values");
    const bool needs_values = r.op == "In" || r.op == "NotIn";
    if (needs_values == r.values.empty()) {
      e.error("values", absl::StrCat(needs_values ? "are required" : "must not be given", " with operator ", r.op));
    }
    s.expressions.push_back(std::move(r));
  }
  o.finish();
  return s;
}

Namespaces read_namespaces(doc::Object o, ErrorList& errors, std::string_view unless_given) {
  Namespaces namespaces;
  const std::string from = o.choice("from", {"Same", "All", "Selector", "None"}).value_or(std::string(unless_given));
  namespaces.from = from == "All"        ? RoutesFrom::kAll
                    : from == "Selector" ? RoutesFrom::kSelector
                    : from == "None"     ? RoutesFrom::kNone
                                         : RoutesFrom::kSame;
  if (namespaces.from == RoutesFrom::kSelector && !o.has("selector")) o.error("selector", "is required when from is Selector");
  namespaces.selector = read_selector(o.object("selector"), errors);
  o.finish();
  return namespaces;
}

void read_allowed_routes(doc::Object o, ErrorList& errors, Listener& listener) {
  listener.namespaces = read_namespaces(o.object("namespaces"), errors, "Same");  // Gateway API: Same
  if (o.has("kinds")) listener.kinds.emplace();
  const std::vector<doc::Reader> kinds = o.list("kinds");
  at_most(o, "kinds", kinds.size(), 8);
  for (const doc::Reader& item : kinds) {
    doc::Object k(item, errors);
    GroupKind kind;
    kind.group = k.string_or("group", kGroup);
    kind.kind = k.required_string("kind");
    listener.kinds->push_back(std::move(kind));
  }
  o.finish();
}

// "1.2" or "1.3"; "" when not given.
std::string version_option(const std::map<std::string, std::string>& options, std::string_view key, doc::Object& o) {
  const auto found = options.find(std::string(key));
  if (found == options.end()) return "";
  if (found->second == "1.2" || found->second == "1.3") return found->second;
  o.error("options", absl::StrCat(key, ": expected \"1.2\" or \"1.3\", got \"", found->second, "\""));
  return "";
}

void read_options(doc::Object& o, ListenerTls& tls) {
  constexpr std::string_view kMin = "fairlead.io/tls-min-version", kMax = "fairlead.io/tls-max-version", kSuites = "fairlead.io/tls-cipher-suites";
  const std::map<std::string, std::string> options = o.string_map("options");
  at_most(o, "options", options.size(), 16);
  tls.min_version = version_option(options, kMin, o);
  tls.max_version = version_option(options, kMax, o);
  if (!tls.min_version.empty() && !tls.max_version.empty() && tls.min_version > tls.max_version) {
    o.error("options", absl::StrCat(kMin, " must not be above ", kMax));
  }
  for (const auto& [key, value] : options) {
    if (key == kMin || key == kMax) continue;
    if (key == kSuites) {
      tls.cipher_suites = absl::StrSplit(value, ',', absl::SkipWhitespace());
      for (std::string& suite : tls.cipher_suites) suite = absl::StripAsciiWhitespace(suite);
      if (tls.cipher_suites.empty()) o.error("options", absl::StrCat(kSuites, " must name at least one"));
    } else if (absl::StartsWith(key, "fairlead.io/")) {
      o.error("options", absl::StrCat("unknown key \"", key, "\"; known are ", kMin, ", ", kMax, " and ", kSuites));
    } else {
      tls.foreign_options.push_back(key);
    }
  }
}

void read_tls(doc::Object o, ErrorList& errors, const Object& owner, Listener& listener) {
  const std::string& protocol = listener.protocol;
  if (o.present() && (protocol == "HTTP" || protocol == "TCP" || protocol == "UDP")) {
    o.error(absl::StrCat("must not be given for protocol ", protocol));
  }
  ListenerTls tls;
  tls.spot = spot_of(o.reader());
  const std::string mode = o.choice("mode", {"Terminate", "Passthrough"}).value_or("Terminate");  // Gateway API: Terminate
  tls.passthrough = mode == "Passthrough";
  if (protocol == "HTTPS" && tls.passthrough) o.error("mode", "must be Terminate for protocol HTTPS");
  const std::vector<doc::Reader> certificates = o.list("certificateRefs");
  at_most(o, "certificateRefs", certificates.size(), 64);
  for (const doc::Reader& item : certificates) {
    doc::Object ref(item, errors);
    tls.certificates.push_back(object_ref(ref, owner, "Secret"));
  }
  const bool options = o.has("options");
  read_options(o, tls);
  if (protocol != "HTTPS" && protocol != "TLS") return;
  if (!o.present()) {
    o.error(absl::StrCat("is required for protocol ", protocol));
  } else if (!tls.passthrough && tls.certificates.empty() && !options) {
    o.error("certificateRefs", "at least one entry is required where TLS ends");
  }
  listener.tls = std::move(tls);
}

std::optional<ClientValidation> read_validation(doc::Object tls, ErrorList& errors, const Object& owner) {
  doc::Object o = tls.object("validation");
  if (!o.present()) return std::nullopt;
  ClientValidation validation;
  validation.spot = spot_of(o.reader());
  const std::vector<doc::Reader> refs = o.list("caCertificateRefs");
  if (refs.empty()) o.error("caCertificateRefs", "at least one entry is required");
  at_most(o, "caCertificateRefs", refs.size(), 8);
  for (const doc::Reader& item : refs) {
    doc::Object ref(item, errors);
    if (!ref.has("group")) ref.error("group", "is required (\"\" is the core group)");
    if (!ref.has("kind")) ref.error("kind", "is required");
    validation.authorities.push_back(object_ref(ref, owner, "ConfigMap"));
  }
  validation.insecure_fallback = o.choice("mode", {"AllowValidOnly", "AllowInsecureFallback"}).value_or("AllowValidOnly") == "AllowInsecureFallback";
  return validation;
}

// Gateway.spec.tls: what clients must show, and what is shown to backends.
void read_gateway_tls(doc::Object tls, ErrorList& errors, const Object& owner, Gateway& gateway) {
  doc::Object backend = tls.object("backend");
  if (backend.has("clientCertificateRef")) {
    doc::Object ref = backend.object("clientCertificateRef");
    gateway.client_certificate = object_ref(ref, owner, "Secret");
  }
  doc::Object frontend = tls.object("frontend");
  if (!frontend.present()) return;
  if (!frontend.has("default")) frontend.error("default", "is required");
  gateway.clients = read_validation(frontend.object("default"), errors, owner);
  const std::vector<doc::Reader> ports = frontend.list("perPort");
  at_most(frontend, "perPort", ports.size(), 64);
  for (const doc::Reader& item : ports) {
    doc::Object o(item, errors);
    if (!o.has("port")) o.error("port", "is required");
    const auto port = static_cast<uint16_t>(o.integer_or("port", 0, 1, 65535));
    if (!o.has("tls")) o.error("tls", "is required");
    const bool fresh = gateway.clients_of_port.emplace(port, read_validation(o.object("tls"), errors, owner)).second;
    if (!fresh) o.error("port", absl::StrCat(port, " is given twice"));
  }
}

Listener read_listener(const doc::Reader& reader, ErrorList& errors, const Object& owner) {
  doc::Object o(reader, errors);
  Listener l;
  l.spot = spot_of(reader);
  l.name = o.required_string("name");
  if (!l.name.empty() && !is_section_name(l.name)) {
    o.error("name", absl::StrCat("\"", l.name, "\" is not a name: lower-case letters, digits, '-' and '.'"));
  }
  l.protocol = o.required_string("protocol");
  l.hostname = hostname_field(o, "hostname", true);
  if (!l.hostname.empty() && (l.protocol == "TCP" || l.protocol == "UDP")) {
    o.error("hostname", absl::StrCat("must not be given for protocol ", l.protocol));
  }
  if (!o.has("port")) o.error("port", "is required");
  l.port = static_cast<uint16_t>(o.integer_or("port", 0, 1, 65535));
  read_tls(o.object("tls"), errors, owner, l);
  read_allowed_routes(o.object("allowedRoutes"), errors, l);
  return l;
}

// Of a Gateway or a ListenerSet.
std::vector<Listener> read_listeners(doc::Object& spec, ErrorList& errors, const Object& owner) {
  std::vector<Listener> result;
  const std::vector<doc::Reader> listeners = spec.list("listeners");
  if (listeners.empty()) spec.error("listeners", "at least one listener is required");
  at_most(spec, "listeners", listeners.size(), kMaxListeners);
  std::map<std::string, int> lines;
  for (const doc::Reader& reader : listeners) {
    Listener l = read_listener(reader, errors, owner);
    auto [it, first] = lines.emplace(l.name, l.spot.line);
    if (!first && !l.name.empty()) {
      errors.add(reader.get("name").error(absl::StrCat("\"", l.name, "\" is the name of the listener at line ", it->second, " already")));
    }
    result.push_back(std::move(l));
  }
  return result;
}

void read_infrastructure(doc::Object o, const Object& owner, Gateway& gateway) {
  // Labels and annotations for what a controller creates in a cluster; from files nothing is created.
  o.string_map("labels");
  o.string_map("annotations");
  if (!o.has("parametersRef")) return;
  doc::Object ref = o.object("parametersRef");
  ObjectRef parameters;
  parameters.spot = spot_of(ref.reader());
  parameters.target = {ref.string_or("group", ""), ref.required_string("kind")};
  if (!ref.has("group")) ref.error("group", "is required");
  parameters.name = ref.required_string("name");
  parameters.ns = owner.key.ns;
  gateway.parameters = std::move(parameters);
}

void read_addresses(doc::Object& spec, ErrorList& errors, Gateway& gateway) {
  const std::vector<doc::Reader> list = spec.list("addresses");
  at_most(spec, "addresses", list.size(), kMaxAddresses);
  for (const doc::Reader& item : list) {
    doc::Object o(item, errors);
    GatewayAddress a;
    a.spot = spot_of(item);
    a.type = o.string_or("type", "IPAddress");
    a.value = o.string_or("value", "");
    gateway.addresses.push_back(std::move(a));
  }
}

}  // namespace

bool Selector::matches(const std::map<std::string, std::string>& of) const {
  for (const auto& [key, value] : labels) {
    auto it = of.find(key);
    if (it == of.end() || it->second != value) return false;
  }
  for (const Requirement& r : expressions) {
    auto it = of.find(r.key);
    const bool exists = it != of.end();
    const bool in = exists && std::find(r.values.begin(), r.values.end(), it->second) != r.values.end();
    if (r.op == "In" && !in) return false;
    if (r.op == "NotIn" && in) return false;
    if (r.op == "Exists" && !exists) return false;
    if (r.op == "DoesNotExist" && exists) return false;
  }
  return true;
}

const ClientValidation* Gateway::clients_at(uint16_t port) const {
  const auto own = clients_of_port.find(port);
  const std::optional<ClientValidation>& found = own == clients_of_port.end() ? clients : own->second;
  return found ? &*found : nullptr;
}

GatewayClass read_gateway_class(const Object& object, std::vector<Diagnostic>& out) {
  GatewayClass result;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    result.controller = spec.required_string("controllerName");
    if (!result.controller.empty() && !absl::StrContains(result.controller, "/")) {
      spec.error("controllerName", absl::StrCat("expected DOMAIN/PATH, got \"", result.controller, "\""));
    }
    spec.string("description");
    result.parameters_spot = spot_of(spec.get("parametersRef"));
    const bool has_parameters = spec.has("parametersRef");
    doc::Object parameters = spec.object("parametersRef");
    ObjectKey key;
    key.group = parameters.string_or("group", "");
    key.kind = parameters.string_or("kind", "");
    key.ns = parameters.string_or("namespace", "");
    key.name = parameters.string_or("name", "");
    if (has_parameters) result.parameters = std::move(key);
  }
  add_errors(errors, object, out);
  return result;
}

Gateway read_gateway(const Object& object, std::vector<Diagnostic>& out) {
  Gateway gateway;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    gateway.class_name = spec.required_string("gatewayClassName");
    gateway.listeners = read_listeners(spec, errors, object);
    read_addresses(spec, errors, gateway);
    read_infrastructure(spec.object("infrastructure"), object, gateway);
    read_gateway_tls(spec.object("tls"), errors, object, gateway);
    doc::Object allowed = spec.object("allowedListeners");
    gateway.listener_sets = read_namespaces(allowed.object("namespaces"), errors, "None");  // Gateway API: None
    for (std::string_view field : {"backendTLS", "defaultScope"}) {
      if (spec.has(field)) spec.error(field, "is not supported in this version");
      spec.ignore(field);
    }
  }
  add_errors(errors, object, out);
  return gateway;
}

ListenerSet read_listener_set(const Object& object, std::vector<Diagnostic>& out) {
  ListenerSet set;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    doc::Object parent = spec.object("parentRef");
    if (!parent.present()) spec.error("parentRef", "is required");
    set.spot = spot_of(parent.reader());
    set.target = {parent.string_or("group", kGroup), parent.string_or("kind", "Gateway")};
    set.ns = parent.string_or("namespace", object.key.ns);
    if (parent.present()) set.name = parent.required_string("name");
    set.listeners = read_listeners(spec, errors, object);
  }
  add_errors(errors, object, out);
  return set;
}

ReferenceGrant read_reference_grant(const Object& object, std::vector<Diagnostic>& out) {
  ReferenceGrant grant;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    const std::vector<doc::Reader> from = spec.list("from"), to = spec.list("to");
    if (from.empty()) spec.error("from", "at least one entry is required");
    if (to.empty()) spec.error("to", "at least one entry is required");
    at_most(spec, "from", from.size(), 16);
    at_most(spec, "to", to.size(), 16);
    for (const doc::Reader& reader : from) {
      doc::Object o(reader, errors);
      if (!o.has("group")) o.error("group", "is required (\"\" is the core group)");
      ReferenceGrant::From f;
      f.kind.group = o.string_or("group", "");
      f.kind.kind = o.required_string("kind");
      f.ns = o.required_string("namespace");
      grant.from.push_back(std::move(f));
    }
    for (const doc::Reader& reader : to) {
      doc::Object o(reader, errors);
      if (!o.has("group")) o.error("group", "is required (\"\" is the core group)");
      ReferenceGrant::To t;
      t.kind.group = o.string_or("group", "");
      t.kind.kind = o.required_string("kind");
      t.name = o.string_or("name", "");
      grant.to.push_back(std::move(t));
    }
  }
  add_errors(errors, object, out);
  return grant;
}

}  // namespace fairlead::adapters::gatewayapi
