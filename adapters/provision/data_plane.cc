// Which Gateways have a data plane of their own, and where it is reached. See data_plane.h; the objects are made in objects.cc.
#include "adapters/provision/data_plane.h"

#include <algorithm>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "adapters/provision/bootstrap.h"
#include "adapters/provision/nodes.h"
#include "base/doc_at.h"
#include "base/hash.h"

namespace fairlead::adapters::provision {

namespace {

constexpr std::string_view kGatewayGroup = "gateway.networking.k8s.io";
constexpr size_t kMostName = 63;  // a Service's, and a label's value

// What a Service may be called, RFC 1035: the text itself or, cut and with a hash, something like it.
std::string service_name(const std::string& text) {
  std::string name;
  for (const char c : text) name += absl::ascii_islower(static_cast<unsigned char>(c)) || absl::ascii_isdigit(static_cast<unsigned char>(c)) ? c : '-';
  if (!absl::ascii_islower(static_cast<unsigned char>(name[0]))) name.insert(0, "gw-");
  if (name == text && name.size() <= kMostName) return name;
  const std::string hash = hex64(xx_hash64(text)).substr(0, 8);
  name.resize(std::min(name.size(), kMostName - hash.size() - 1));
  while (name.back() == '-') name.pop_back();
  return absl::StrCat(name, "-", hash);
}

// The object that a reference to parameters means; null: there is no reference, or (with `why`) nothing that it could mean.
ObjectPtr parameters_at(const ObjectSnapshot& objects, const doc::Value* reference, const std::string& ns, std::string& why) {
  if (reference == nullptr || !reference->is_map()) return nullptr;
  const std::string group = text_at(*reference, "group"), kind = text_at(*reference, "kind");
  if (group != kGroup || kind != kKind) {
    why = absl::StrCat("parametersRef: ", group, "/", kind, " is not known here");
    return nullptr;
  }
  const ObjectKey key{group, kind, ns, text_at(*reference, "name")};
  const ObjectPtr found = objects.find(key);
  if (!found) why = absl::StrCat("parametersRef: there is no valid ", key.str());
  return found;
}

// Ports of the listeners of a Gateway or ListenerSet that can be served.
void take_ports(const Object& object, const StatusSink& said, Plan& plan) {
  for (const doc::Value& l : items_at(object.body, "spec.listeners")) {
    const Condition* accepted = said.find(object.key, {{}, text_at(l, "name"), 0}, "Accepted");
    const doc::Value* port = l.find("port");
    if (accepted == nullptr || accepted->status == Truth::kFalse || port == nullptr || port->kind() != doc::Kind::integer) continue;
    plan.ports.emplace(port->as_integer(), text_at(l, "protocol") == "UDP" ? "UDP" : "TCP");
  }
}

// All but the ports.
Plan plan_of(const ObjectSnapshot& objects, const ObjectPtr& gateway, const Options& options) {
  Plan plan;
  plan.gateway = gateway;
  plan.class_name = text_at(gateway->body, "spec.gatewayClassName");
  const ObjectPtr of_class = objects.find({std::string(kGatewayGroup), "GatewayClass", "", plan.class_name});
  if (!of_class || text_at(of_class->body, "spec.controllerName") != options.controller) return plan;
  plan.name = service_name(absl::StrCat(gateway->key.name, "-", plan.class_name));
  const doc::Value *defaults = of_class->body.find_path("spec.parametersRef"), *own = gateway->body.find_path("spec.infrastructure.parametersRef");
  const ObjectPtr first = parameters_at(objects, defaults, defaults ? text_at(*defaults, "namespace") : "", plan.why);
  const ObjectPtr second = parameters_at(objects, own, gateway->key.ns, plan.why);
  plan.state = Plan::State::kHeld;
  if (!plan.why.empty()) return plan;
  plan.parameters = join_parameters(first.get(), second.get());
  plan.sources = {gateway, first, second};
  plan.state = plan.parameters.kind == Parameters::Kind::kAttached ? Plan::State::kAttached : Plan::State::kManaged;
  return plan;
}

}  // namespace

absl::Status check_options(const Options& options) {
  if (options.image.empty()) return absl::InvalidArgumentError("which image has fairlead-proxy?");
  BootstrapOptions o;
  o.gateway = "ns/name";
  o.xds_address = options.xds_address;
  if (options.tls != Options::Tls::kNone) o.tls_ca = "ca.crt";
  return bootstrap_document(o).status();
}

std::vector<Plan> survey(const ObjectSnapshot& objects, const StatusSink& said, const Options& options) {
  std::vector<Plan> plans;
  std::map<ObjectKey, size_t> managed;
  for (const auto& [key, gateway] : objects.of(kGatewayGroup, "Gateway")) {
    Plan plan = plan_of(objects, gateway, options);
    if (plan.state == Plan::State::kManaged) {
      take_ports(*gateway, said, plan);
      managed[key] = plans.size();
    }
    plans.push_back(std::move(plan));
  }
  for (const auto& [key, set] : objects.of(kGatewayGroup, "ListenerSet")) {
    const std::string ns = text_at(set->body, "spec.parentRef.namespace");
    const auto at = managed.find({std::string(kGatewayGroup), "Gateway", ns.empty() ? key.ns : ns, text_at(set->body, "spec.parentRef.name")});
    const Condition* accepted = at == managed.end() ? nullptr : said.find(key, {}, "Accepted");
    if (accepted && accepted->status == Truth::kTrue) take_ports(*set, said, plans[at->second]);
  }
  for (const auto& [key, i] : managed) {
    if (!plans[i].ports.empty()) continue;
    plans[i].state = Plan::State::kHeld;  // a Service needs one, and connections to what is there may go on
    plans[i].why = "none of its listeners can be served";
  }
  return plans;
}

std::string identity_of(const ObjectKey& gateway) { return absl::StrCat("spiffe://fairlead.io/ns/", gateway.ns, "/gateway/", gateway.name); }

ObjectKey credentials_key(const Plan& plan) { return {"", "Secret", plan.gateway->key.ns, absl::StrCat(plan.name, "-xds")}; }

namespace {

void reach_by_load_balancer(const Object& service, Reach& out) {
  for (const doc::Value& a : items_at(service.body, "status.loadBalancer.ingress")) {
    const std::string ip = text_at(a, "ip"), hostname = text_at(a, "hostname");
    if (!ip.empty() || !hostname.empty()) out.addresses.push_back(ip.empty() ? hostname : ip);
  }
  if (out.addresses.empty()) out.missing = absl::StrCat("no load balancer has given ", service.key.str(), " an address yet");
}

void reach_by_nodes(const Object& service, const Nodes* nodes, Reach& out) {
  if (nodes && !nodes->trouble().empty()) {
    out.missing = absl::StrCat("the nodes' addresses cannot be told: ", nodes->trouble());
  } else if (!nodes || !nodes->known()) {
    out.unknown = true;
  } else {
    out.addresses = nodes->addresses(service, out.missing);
  }
}

void reach_in_cluster(const Object& service, Reach& out) {
  for (const doc::Value& ip : items_at(service.body, "spec.clusterIPs")) {
    if (ip.is_string() && !ip.as_string().empty() && ip.as_string() != "None") out.addresses.push_back(ip.as_string());
  }
  if (const std::string ip = text_at(service.body, "spec.clusterIP"); out.addresses.empty() && !ip.empty() && ip != "None") out.addresses.push_back(ip);
  if (out.addresses.empty()) out.missing = absl::StrCat(service.key.str(), " has no address yet");
}

}  // namespace

std::optional<Reach> reach(const ObjectSnapshot& objects, const ObjectKey& gateway, const Options& options, const Nodes* nodes) {
  const ObjectPtr object = objects.find(gateway);
  if (!object) return std::nullopt;
  const Plan plan = plan_of(objects, object, options);
  if (plan.state == Plan::State::kAttached) return std::nullopt;
  Reach out;
  const ObjectKey key{"", "Service", gateway.ns, plan.name};
  const ObjectPtr service = objects.find(key);
  const auto owners = service ? items_at(service->body, "metadata.ownerReferences") : std::span<const doc::Value>();
  const std::string uid = text_at(object->body, "metadata.uid");
  const bool own = std::any_of(owners.begin(), owners.end(), [&](const doc::Value& o) { return text_at(o, "uid") == uid; });
  if (!own) {
    out.missing = plan.why.empty() ? absl::StrCat(key.str(), " does not exist yet") : plan.why;
    return out;
  }
  const std::string type = text_at(service->body, "spec.type"), ports = type == "NodePort" ? node_ports(*service) : "";
  if (!ports.empty()) out.note = absl::StrCat("its Service's ports are these of the nodes: ", ports);
  if (type == "LoadBalancer") {
    reach_by_load_balancer(*service, out);
  } else if (type == "NodePort" && options.node_addresses) {
    reach_by_nodes(*service, nodes, out);
  } else {
    reach_in_cluster(*service, out);
    if (type == "NodePort") {
      absl::StrAppend(&out.note, out.note.empty() ? "" : "; ", "fairlead-control tells the nodes' addresses with --managed-node-addresses");
    }
  }
  return out;
}

}  // namespace fairlead::adapters::provision
