// Routes whose parents are Services: which clients see them, and what each of these gets. See world.h.
#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "adapters/gatewayapi/world.h"
#include "base/strings.h"

namespace fairlead::adapters::gatewayapi {

namespace {

// What is no HTTP by the port's own word, as far as a route could not do anything but harm there.
bool speaks_other(std::string_view protocol) { return protocol == "https" || protocol == "tls" || protocol == "tcp" || protocol == "kubernetes.io/wss"; }

// Without appProtocol a port's name says what it speaks, as many meshes have it: "tls", "tcp-replication".
std::string_view spoken(const core::ServicePort& port) {
  const std::string_view name = port.name;
  return port.app_protocol.empty() ? name.substr(0, name.find('-')) : std::string_view(port.app_protocol);
}

std::string_view clients_of(const ObjectKey& route, const ParentRef& parent) { return route.ns == parent.ns ? std::string_view() : std::string_view(route.ns); }

// The ports of the Service that the parent means; none: `why` says what is wrong.
std::vector<intent::BackendKey> select_ports(const core::Service& service, const ParentRef& parent, std::string& why) {
  const bool named = parent.port != 0 || !parent.section.empty();
  std::vector<intent::BackendKey> out;
  std::string other;
  if (service.external_name) {
    why = absl::StrCat(service.key.str(), " is of type ExternalName: it has no address of its own that clients call");
    return out;
  }
  for (const core::ServicePort& port : service.ports) {
    if (!port.tcp || (parent.port != 0 && parent.port != port.port) || (!parent.section.empty() && parent.section != port.name)) continue;
    if (named ? speaks_other(port.app_protocol) : speaks_other(spoken(port))) {
      absl::StrAppend(&other, other.empty() ? "" : ", ", "port ", port.port, " speaks ", spoken(port));
    } else {
      out.push_back({service.key.ns, service.key.name, port.port});
    }
  }
  if (!out.empty()) return out;
  if (!other.empty()) {
    why = absl::StrCat(service.key.str(), " has no port for HTTP: ", other);
  } else {
    why = absl::StrCat(service.key.str(), " has no TCP port", parent.port == 0 ? "" : absl::StrCat(" ", parent.port), parent.section.empty() ? "" : absl::StrCat(" named ", parent.section));
  }
  return out;
}

std::string meant_service(World& world, const ParentRef& parent) {
  if (++world.suggestions > kMaxSuggestions) return "";
  std::vector<std::string_view> names;
  for (const auto& [key, service] : world.snapshot.of("", "Service")) {
    if (key.ns == parent.ns) names.push_back(key.name);
  }
  const std::optional<std::string> close = closest(parent.name, names);
  return close ? absl::StrCat("; did you mean '", *close, "'?") : "";
}

ObjectKey service_of(const intent::BackendKey& port) { return {"", "Service", port.ns, port.service}; }

// What clients of one namespace see of a port; null: no route.
MeshSide* side_for(MeshPort& port, const std::string& clients) {
  for (const std::string& whose : {clients, std::string()}) {
    const auto side = port.sides.find(whose);
    if (side != port.sides.end() && !side->second.routes.empty()) return &side->second;
  }
  return nullptr;
}

// The intent of one scope: every port that has routes for its clients.
intent::Gateway make_scope(World& world, const intent::ScopeKey& key) {
  intent::Gateway scope;
  scope.key = key;
  SecuredBackends secured(world);
  for (auto& [at, port] : world.mesh) {
    MeshSide* side = side_for(port, key.ns);
    const core::Service* service = side ? world.service(service_of(at)) : nullptr;
    if (service == nullptr) continue;
    intent::Listener listener;
    if (key.audience == intent::Audience::kMeshGrpc) {
      listener.address = absl::StrCat(at.service, ".", at.ns, ".svc.cluster.local");
    } else if (!service->cluster_ips.empty()) {
      listener.address = service->cluster_ips.front();
      listener.more_addresses.assign(service->cluster_ips.begin() + 1, service->cluster_ips.end());
    } else {
      continue;  // nothing that connections to it could be told by
    }
    listener.name = at.str();
    const ObjectPtr object = world.snapshot.find(service->key);
    listener.origin = origin_of(*object, {"spec.ports", object->line});
    listener.port = at.port;
    if (!side->host) side->host.emplace(virtual_host("*", side->routes));
    listener.virtual_hosts.push_back(*side->host);
    secured.use(side->routes);
    scope.listeners.push_back(std::move(listener));
  }
  secured.fill(scope, {}, "");
  return scope;
}

}  // namespace

bool is_mesh_parent(const ParentRef& parent) { return parent.target == GroupKind{"", "Service"}; }

void take_mesh_claims(World& world) {
  for (const auto& [key, object] : world.snapshot.of(kGroup, "GRPCRoute")) {
    const std::shared_ptr<const HttpRoute> route = world.route(object);
    for (const ParentRef& parent : route->parents) {
      const core::Service* service = is_mesh_parent(parent) ? world.service({"", "Service", parent.ns, parent.name}) : nullptr;
      if (service == nullptr) continue;
      std::string why;
      for (const intent::BackendKey& port : select_ports(*service, parent, why)) {
        std::string& first = world.mesh[port].sides[std::string(clients_of(key, parent))].grpc;
        if (first.empty()) first = key.str();
      }
    }
  }
}

MeshVerdict attach_to_service(World& world, const ObjectPtr& object, const ParentRef& parent, const RankedRoutes& ranked, AttachedRoute& record) {
  const ObjectKey key{"", "Service", parent.ns, parent.name};
  const core::Service* service = world.service(key);
  if (service == nullptr) return {"NoMatchingParent", absl::StrCat(key.str(), " does not exist or is not valid", meant_service(world, parent))};
  std::string why;
  const std::vector<intent::BackendKey> ports = select_ports(*service, parent, why);
  if (ports.empty()) return {"NoMatchingParent", why};
  const bool grpc = object->key.kind == "GRPCRoute";
  // Whether there is a GRPCRoute decides what HTTPRoutes have.
  record.tied |= grpc;
  size_t lost = 0;
  std::string rivals;
  for (const intent::BackendKey& port : ports) {
    const std::string clients(clients_of(object->key, parent));
    MeshSide& side = world.mesh[port].sides[clients];
    if (!grpc && !side.grpc.empty()) {
      ++lost;
      ++world.rivals;
      record.tied = true;
      absl::StrAppend(&rivals, rivals.empty() ? "" : "; ", "port ", port.port, " of ", key.str(), " belongs to ", side.grpc, ": a GRPCRoute comes before any HTTPRoute");
      continue;
    }
    if (!side.attached.insert(object.get()).second) continue;  // two parentRefs may lead to one port
    const std::vector<RankedPtr>& routes = ranked();
    side.routes.insert(side.routes.end(), routes.begin(), routes.end());
    side.host.reset();
    record.mesh.push_back({port, clients});
  }
  if (lost == ports.size()) return {"RouteConflict", rivals};
  if (!rivals.empty()) world.problem(Severity::kWarning, *object, parent.spot, rivals);
  if (service->cluster_ips.empty()) {
    world.problem(Severity::kNote, *object, parent.spot, absl::StrCat(key.str(), " has no cluster IP: only gRPC clients that ask for it by name are given the route"));
  }
  return {"", rivals};
}

void make_mesh(World& world, const Translation* previous) {
  std::map<intent::ScopeKey, intent::GatewayPtr>& model = world.result.model.gateways;
  const std::map<intent::ScopeKey, intent::GatewayPtr>& before = previous ? previous->model.gateways : model;
  std::set<std::string> clients;
  for (const auto& [at, port] : world.mesh) {
    for (const auto& [whose, side] : port.sides) {
      if (!side.routes.empty()) clients.insert(whose);
    }
  }
  std::map<intent::ScopeKey, intent::GatewayPtr> made;
  for (const std::string& whose : clients) {
    for (const intent::Audience audience : {intent::Audience::kMeshProxy, intent::Audience::kMeshGrpc}) {
      const intent::ScopeKey key{whose, "", audience};
      intent::Gateway scope = make_scope(world, key);
      const auto old = before.find(key);
      made[key] = old != before.end() && *old->second == scope ? old->second : std::make_shared<const intent::Gateway>(std::move(scope));
    }
  }
  std::erase_if(model, [](const auto& entry) { return entry.first.mesh(); });
  model.merge(made);
}

}  // namespace fairlead::adapters::gatewayapi
