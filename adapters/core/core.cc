// Strict readers of Service, EndpointSlice and Namespace, and which objects of the core group are kept. See core.h.
#include "adapters/core/core.h"

#include <arpa/inet.h>

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/core/secret.h"
#include "base/doc_reader.h"
#include "base/status.h"
#include "base/strings.h"

namespace fairlead::adapters::core {

namespace {

constexpr int64_t kMaxPort = 65535;

// Fields of ServiceSpec that concern the cluster's own service proxy, not ours.
constexpr std::string_view kUnreadServiceFields[] = {
    "selector", "sessionAffinity", "sessionAffinityConfig", "externalIPs",
    "externalTrafficPolicy", "internalTrafficPolicy", "trafficDistribution", "ipFamilies", "ipFamilyPolicy",
    "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges", "allocateLoadBalancerNodePorts",
    "healthCheckNodePort", "publishNotReadyAddresses"};

// Kinds of the core group that are none of ours but stand in every directory of manifests.
constexpr std::string_view kReadKinds[] = {"Service", "Namespace", "Secret", "ConfigMap"};

void ignore_envelope(doc::Object& top) {
  for (std::string_view field : {"apiVersion", "kind", "metadata", "status"}) top.ignore(field);
}

template <typename Port>
void read_protocol(doc::Object& port, Port& to) {
  const std::string protocol = port.choice("protocol", {"TCP", "UDP", "SCTP"}).value_or("TCP");  // Kubernetes: TCP
  to.tcp = protocol == "TCP";
  to.udp = protocol == "UDP";
}

void read_service_port(doc::Object port, Service& service, std::set<std::pair<int64_t, bool>>& seen) {
  ServicePort p;
  p.name = port.string_or("name", "");
  if (!port.has("port")) port.error("port", "is required");
  p.port = static_cast<uint16_t>(port.integer_or("port", 0, 1, kMaxPort));
  read_protocol(port, p);
  p.app_protocol = port.string_or("appProtocol", "");
  port.ignore("nodePort");
  // Resolved into the slices by whoever wrote them; here only its type is looked at.
  const doc::Reader target = port.get("targetPort");
  if (target.present() && !target.value().is_numeric() && !target.value().is_string()) {
    port.error("targetPort", "expected a port number or the name of one");
  }
  port.finish();
  if ((p.tcp || p.udp) && p.port != 0 && !seen.insert({p.port, p.udp}).second) port.error("port", absl::StrCat(p.port, " is given twice"));
  service.ports.push_back(std::move(p));
}

bool is_address(const std::string& text, int family) {
  unsigned char buffer[sizeof(in6_addr)];
  return inet_pton(family, text.c_str(), buffer) == 1;
}

// The first of clusterIPs is clusterIP; "None" is that of headless Services.
void read_cluster_ips(doc::Object& spec, Service& service) {
  const std::string first = spec.string_or("clusterIP", "");
  std::vector<std::string> all = spec.strings("clusterIPs");
  const std::string_view field = all.empty() ? "clusterIP" : "clusterIPs";
  if (all.empty()) all.push_back(first);
  for (std::string& ip : all) {
    if (ip.empty() || ip == "None") continue;
    if (!is_address(ip, AF_INET) && !is_address(ip, AF_INET6)) {
      spec.error(field, absl::StrCat("\"", ip, "\" is neither an IP address nor None"));
    } else {
      service.cluster_ips.push_back(std::move(ip));
    }
  }
}

Readiness readiness(doc::Object conditions) {
  // EndpointConditions: nil ready means ready; nil serving follows ready; nil terminating means no.
  const bool ready = conditions.boolean_or("ready", true);
  const bool serving = conditions.boolean_or("serving", ready);
  const bool terminating = conditions.boolean_or("terminating", false);
  conditions.finish();
  if (ready) return Readiness::kReady;
  return serving && terminating ? Readiness::kServing : Readiness::kNotReady;
}

void read_endpoint(doc::Object e, const std::string& address_type, EndpointSlice& slice) {
  SliceEndpoint endpoint;
  const std::vector<std::string> addresses = e.strings("addresses");
  if (addresses.empty()) e.error("addresses", "at least one address is required");
  for (const std::string& a : addresses) {
    if (address_type == "FQDN") continue;
    if (!is_address(a, address_type == "IPv6" ? AF_INET6 : AF_INET)) {
      e.error("addresses", absl::StrCat("\"", a, "\" is not an ", address_type, " address"));
    }
  }
  endpoint.readiness = readiness(e.object("conditions"));
  endpoint.node = e.string_or("nodeName", "");
  endpoint.zone = e.string_or("zone", "");
  for (std::string_view field : {"hostname", "targetRef", "hints", "deprecatedTopology"}) e.ignore(field);
  e.finish();
  if (addresses.empty()) return;
  endpoint.address = addresses.front();
  slice.endpoints.push_back(std::move(endpoint));
}

void read_slice_port(doc::Object port, EndpointSlice& slice) {
  SlicePort p;
  p.name = port.string_or("name", "");
  p.port = static_cast<uint16_t>(port.integer_or("port", 0, 1, kMaxPort));
  read_protocol(port, p);
  port.ignore("appProtocol");
  port.finish();
  if (p.port != 0) slice.ports.push_back(std::move(p));  // nil means "all ports": nothing to connect to
}

bool check_version(const Object& object, std::string_view version, std::vector<Diagnostic>& out) {
  if (version_of(object.api_version) == version) return true;
  const std::string wanted = object.key.group.empty() ? std::string(version) : absl::StrCat(object.key.group, "/", version);
  out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, "apiVersion",
                           absl::StrCat(object.key.kind, " is read in version ", wanted, " only, not ", object.api_version)});
  return false;
}

bool not_read(const Object& object, std::vector<Diagnostic>& out) {
  out.push_back(Diagnostic{Severity::kNote, object.key, object.file, object.line, "",
                           absl::StrCat("kind ", object.key.kind, " is not read")});
  return false;
}

void read_namespace(const Object& object, std::vector<Diagnostic>& out) {
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    top.ignore("spec");
  }
  add_errors(errors, object, out);
}

}  // namespace

const ServicePort* Service::port(int64_t number, bool udp) const {
  for (const ServicePort& p : ports) {
    if (p.port == number && (udp ? p.udp : p.tcp)) return &p;
  }
  return nullptr;
}

Service read_service(const Object& object, std::vector<Diagnostic>& out) {
  Service service;
  service.key = object.key;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    doc::Object spec = top.object("spec");
    for (std::string_view field : kUnreadServiceFields) spec.ignore(field);
    const std::string type =
        spec.choice("type", {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}).value_or("ClusterIP");
    service.external_name = type == "ExternalName";
    read_cluster_ips(spec, service);
    spec.ignore("externalName");
    std::set<std::pair<int64_t, bool>> seen;
    for (const doc::Reader& port : spec.list("ports")) read_service_port(doc::Object(port, errors), service, seen);
  }
  add_errors(errors, object, out);
  if (const auto weights = object.annotations.find(std::string(kLocalityWeights)); weights != object.annotations.end()) {
    service.by_load = weights->second == "load";
    if (!service.by_load && weights->second != "endpoints") {
      out.push_back(Diagnostic{Severity::kWarning, object.key, object.file, object.line, "metadata.annotations",
                               absl::StrCat(kLocalityWeights, ": expected \"load\" or \"endpoints\", got \"", weights->second, "\"; taken as \"endpoints\"")});
    }
  }
  return service;
}

EndpointSlice read_endpoint_slice(const Object& object, std::vector<Diagnostic>& out) {
  EndpointSlice slice;
  slice.key = object.key;
  auto label = object.labels.find("kubernetes.io/service-name");
  if (label != object.labels.end()) slice.service = label->second;
  ErrorList errors;
  {
    doc::Object top(doc::Reader(object.body), errors);
    ignore_envelope(top);
    if (!top.has("addressType")) top.error("addressType", "is required: IPv4, IPv6 or FQDN");
    const std::string type = top.choice("addressType", {"IPv4", "IPv6", "FQDN"}).value_or("IPv4");
    slice.fqdn = type == "FQDN";
    for (const doc::Reader& port : top.list("ports")) read_slice_port(doc::Object(port, errors), slice);
    for (const doc::Reader& e : top.list("endpoints")) read_endpoint(doc::Object(e, errors), type, slice);
  }
  add_errors(errors, object, out);
  return slice;
}

std::vector<WatchedKind> watched_kinds() {
  WatchedKind secrets{"", "secrets", "Secret", {"v1"}}, bundles{"", "configmaps", "ConfigMap", {"v1"}}, namespaces{"", "namespaces", "Namespace", {"v1"}};
  secrets.field_selector = "type=kubernetes.io/tls";
  bundles.keep = has_ca_bundle;
  namespaces.cluster_scoped = true;
  return {{"", "services", "Service", {"v1"}}, {std::string(kDiscoveryGroup), "endpointslices", "EndpointSlice", {"v1"}}, std::move(namespaces), std::move(secrets), std::move(bundles)};
}

bool check_core(const Object& object, std::vector<Diagnostic>& out) {
  if (object.key.kind == "Service") {
    if (check_version(object, "v1", out)) read_and_keep(object, read_service, out);
    return true;
  }
  if (object.key.kind == "Namespace") {
    if (check_version(object, "v1", out)) read_namespace(object, out);
    return true;
  }
  if (is_tls_secret(object)) {
    if (check_version(object, "v1", out)) read_tls_secret(object, out);
    return true;
  }
  if (has_ca_bundle(object)) {
    if (check_version(object, "v1", out)) read_ca_bundle(object, out);
    return true;
  }
  // What nobody here needs is not kept: the less there is of what is secret, the better.
  if (object.key.kind == "Secret" || object.key.kind == "ConfigMap") {
    const bool secret = object.key.kind == "Secret";
    out.push_back(Diagnostic{Severity::kNote, object.key, object.file, object.line, "",
                             secret ? "not read: only Secrets of type kubernetes.io/tls are" : "not read: only ConfigMaps with ca.crt are"});
    return false;
  }
  for (std::string_view kind : kReadKinds) {
    const std::string& given = object.key.kind;
    // One or two letters away from a kind of ours, and no kind of Kubernetes': a misspelling.
    if (edit_distance(given, kind, 2) <= 2) {
      out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, "kind",
                               absl::StrCat("unknown kind '", given, "'; did you mean '", kind, "'?")});
      return true;
    }
  }
  return not_read(object, out);
}

bool check_discovery(const Object& object, std::vector<Diagnostic>& out) {
  if (object.key.kind != "EndpointSlice") {
    out.push_back(Diagnostic{Severity::kError, object.key, object.file, object.line, "kind",
                             absl::StrCat("unknown kind '", object.key.kind, "'; ", kDiscoveryGroup, " has EndpointSlice")});
    return true;
  }
  if (!check_version(object, "v1", out)) return true;
  const std::shared_ptr<const EndpointSlice> read = read_and_keep(object, read_endpoint_slice, out);
  const EndpointSlice& slice = *read;
  auto warn = [&](std::string field, std::string text) {
    out.push_back(Diagnostic{Severity::kWarning, object.key, object.file, object.line, std::move(field), std::move(text)});
  };
  if (slice.service.empty()) warn("metadata.labels", "without the label kubernetes.io/service-name it belongs to no service");
  if (slice.fqdn) warn("addressType", "FQDN endpoints are not used: give IPv4 or IPv6 addresses");
  return true;
}

std::map<std::string, std::string> namespace_labels(const ObjectSnapshot& snapshot, std::string_view name) {
  std::map<std::string, std::string> labels;
  if (ObjectPtr ns = snapshot.find(ObjectKey{"", "Namespace", "", std::string(name)})) labels = ns->labels;
  labels["kubernetes.io/metadata.name"] = name;
  return labels;
}

}  // namespace fairlead::adapters::core
