// TLSRoute, TCPRoute, UDPRoute and BackendTLSPolicy. See schema.h.
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/fields.h"
#include "adapters/gatewayapi/schema.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// Gateway API v1.5, CRDs of TLSRoute and BackendTLSPolicy.
constexpr size_t kMaxTargets = 16;
constexpr size_t kMaxAuthorities = 8;
constexpr size_t kMaxNames = 5;

// The only rule of a TLSRoute, a TCPRoute or a UDPRoute.
template <typename Route>
void read_rule(doc::Object& spec, ErrorList& errors, const Object& owner, Route& route) {
  const std::vector<doc::Reader> rules = spec.list("rules");
  if (rules.size() != 1) return spec.error("rules", "exactly one is required: there is nothing to choose between several by");
  doc::Object rule(rules[0], errors);
  route.rule = spot_of(rules[0]);
  name_field(rule);
  const std::vector<doc::Reader> backends = rule.list("backendRefs");
  if (backends.empty()) rule.error("backendRefs", "at least one entry is required");
  at_most(rule, "backendRefs", backends.size(), kMaxBackends);
  for (const doc::Reader& item : backends) {
    doc::Object b(item, errors);
    BackendRef ref = backend_ref(b, owner);
    ref.weight = static_cast<uint32_t>(b.integer_or("weight", 1, 0, kMaxWeight));  // Gateway API: 1
    route.backends.push_back(std::move(ref));
  }
}

void read_targets(doc::Object& spec, ErrorList& errors, BackendTlsPolicy& policy) {
  const std::vector<doc::Reader> targets = spec.list("targetRefs");
  if (targets.empty()) spec.error("targetRefs", "at least one entry is required");
  at_most(spec, "targetRefs", targets.size(), kMaxTargets);
  for (const doc::Reader& item : targets) {
    doc::Object o(item, errors);
    BackendTlsPolicy::Target target;
    target.spot = spot_of(item);
    if (!o.has("group")) o.error("group", "is required (\"\" is the core group)");
    target.kind.group = o.string_or("group", "");
    target.kind.kind = o.required_string("kind");
    target.name = o.required_string("name");
    target.section = o.string_or("sectionName", "");
    for (const BackendTlsPolicy::Target& other : policy.targets) {
      if (other.kind == target.kind && other.name == target.name && other.section == target.section) o.error("name", absl::StrCat("\"", target.name, "\" is given twice"));
    }
    policy.targets.push_back(std::move(target));
  }
}

void read_authorities(doc::Object& o, ErrorList& errors, const Object& owner, BackendTlsPolicy& policy) {
  const std::vector<doc::Reader> list = o.list("caCertificateRefs");
  at_most(o, "caCertificateRefs", list.size(), kMaxAuthorities);
  for (const doc::Reader& item : list) {
    doc::Object ref(item, errors);
    ObjectRef authority;  // of the same namespace, always
    authority.spot = spot_of(item);
    if (!ref.has("group")) ref.error("group", "is required (\"\" is the core group)");
    authority.target.group = ref.string_or("group", "");
    authority.target.kind = ref.required_string("kind");
    authority.name = ref.required_string("name");
    authority.ns = owner.key.ns;
    policy.authorities.push_back(std::move(authority));
  }
  policy.well_known = o.string_or("wellKnownCACertificates", "");
  if (policy.authorities.empty() == policy.well_known.empty()) {
    o.error("caCertificateRefs", "either these or wellKnownCACertificates must be given, and not both");
  }
}

void read_names(doc::Object& o, ErrorList& errors, BackendTlsPolicy& policy) {
  const std::vector<doc::Reader> names = o.list("subjectAltNames");
  at_most(o, "subjectAltNames", names.size(), kMaxNames);
  for (const doc::Reader& item : names) {
    doc::Object n(item, errors);
    if (!n.has("type")) n.error("type", "is required: Hostname or URI");
    const bool uri = n.choice("type", {"Hostname", "URI"}).value_or("Hostname") == "URI";
    const std::string hostname = hostname_field(n, "hostname", true), address = n.string_or("uri", "");
    if (uri && (address.empty() || n.has("hostname"))) n.error("uri", "is required for type URI, and no hostname");
    if (!uri && (!n.has("hostname") || !address.empty())) n.error("hostname", "is required for type Hostname, and no uri");
    if (uri && !address.empty() && !absl::StrContains(address, "://")) n.error("uri", absl::StrCat("\"", address, "\" is not an absolute URI"));
    policy.names.push_back({uri ? intent::SubjectAltNameType::kUri : intent::SubjectAltNameType::kDns, uri ? address : hostname});
  }
  if (policy.names.empty()) policy.names.push_back({intent::SubjectAltNameType::kDns, policy.hostname});
}

}  // namespace

TlsRoute read_tls_route(const Object& object, std::vector<Diagnostic>& out) {
  TlsRoute route;
  read_route(route, object, out, [&](doc::Object& spec, ErrorList& errors) {
    route.hostnames = hostnames_field(spec);
    if (route.hostnames.empty() && version_of(object.api_version) != "v1alpha2") spec.error("hostnames", "at least one is required");
    read_rule(spec, errors, object, route);
  });
  return route;
}

L4Route read_l4_route(const Object& object, std::vector<Diagnostic>& out) {
  L4Route route;
  route.udp = object.key.kind == "UDPRoute";
  read_route(route, object, out, [&](doc::Object& spec, ErrorList& errors) {
    read_rule(spec, errors, object, route);
  });
  return route;
}

BackendTlsPolicy read_backend_tls_policy(const Object& object, std::vector<Diagnostic>& out) {
  BackendTlsPolicy policy;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    read_targets(spec, errors, policy);
    doc::Object validation = spec.object("validation");
    policy.validation = spot_of(validation.reader());
    if (!validation.has("hostname")) validation.error("hostname", "is required");
    policy.hostname = hostname_field(validation, "hostname", false);
    read_authorities(validation, errors, object, policy);
    read_names(validation, errors, policy);
    for (const auto& [key, value] : spec.string_map("options")) policy.foreign_options.push_back(key);
  }
  add_errors(errors, object, out);
  return policy;
}

}  // namespace fairlead::adapters::gatewayapi
