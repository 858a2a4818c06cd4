// The translation as a whole. See translate.h.
#include "adapters/gatewayapi/translate.h"

#include <algorithm>
#include <utility>

#include "adapters/gatewayapi/world.h"

namespace fairlead::adapters::gatewayapi {

namespace {

intent::Gateway make_gateway(GatewayState& state) {
  intent::Gateway gateway;
  gateway.key = {state.object->key.ns, state.object->key.name};
  gateway.gateway_class = state.gateway.class_name;
  gateway.origin = origin_of(*state.object, {"", state.object->line});
  if (!state.address_problem.empty()) return gateway;
  for (ListenerState& l : state.listeners) {
    if (!l.accepted) continue;
    intent::Listener listener;
    listener.name = l.listener.name;
    listener.origin = origin_of(*state.object, l.listener.spot);
    listener.address = state.address;
    listener.port = l.listener.port;
    listener.protocol = intent::Protocol::kHttp;
    listener.hostname = l.listener.hostname;
    for (auto& [hostname, ranked] : l.routes) {
      std::sort(ranked.begin(), ranked.end(), tried_before);
      intent::VirtualHost host;
      host.hostname = hostname;
      for (RankedRoute& r : ranked) host.routes.push_back(std::move(r.route));
      listener.virtual_hosts.push_back(std::move(host));
    }
    gateway.listeners.push_back(std::move(listener));
  }
  return gateway;
}

void take_grants(World& world) {
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  for (const auto& [key, object] : world.snapshot.of(kGroup, "ReferenceGrant")) {
    world.grants[key.ns].push_back(read_reference_grant(*object, unread));
  }
}

}  // namespace

bool World::permitted(const GroupKind& from_kind, const std::string& from_ns, const GroupKind& to_kind, const std::string& to_ns,
                      const std::string& to_name) const {
  if (from_ns == to_ns) return true;
  auto there = grants.find(to_ns);
  if (there == grants.end()) return false;
  return std::any_of(there->second.begin(), there->second.end(), [&](const ReferenceGrant& grant) {
    const bool from = std::any_of(grant.from.begin(), grant.from.end(), [&](const ReferenceGrant::From& f) {
      return f.kind == from_kind && f.ns == from_ns;
    });
    return from && std::any_of(grant.to.begin(), grant.to.end(), [&](const ReferenceGrant::To& t) {
      return t.kind == to_kind && (t.name.empty() || t.name == to_name);
    });
  });
}

void World::problem(Severity severity, const Object& object, const Spot& spot, std::string message) {
  result.diagnostics.push_back(Diagnostic{severity, object.key, object.file, spot.line, spot.field, std::move(message)});
}

std::shared_ptr<const HttpRoute> World::route(const ObjectPtr& object) {
  std::shared_ptr<const HttpRoute>& route = result.read_routes[object];
  if (previous) {
    auto old = previous->read_routes.find(object);
    if (old != previous->read_routes.end()) route = old->second;
  }
  std::vector<Diagnostic> unread;  // the store lets only checked objects through
  if (!route) route = std::make_shared<const HttpRoute>(read_http_route(*object, unread));
  return route;
}

const core::Service* World::service(const ObjectKey& key) {
  auto known = services.find(key);
  if (known == services.end()) {
    const ObjectPtr object = snapshot.find(key);
    if (!object) return nullptr;
    std::vector<Diagnostic> unread;
    known = services.emplace(key, core::read_service(*object, unread)).first;
  }
  return &known->second;
}

intent::Origin origin_of(const Object& object, const Spot& spot) {
  intent::Origin origin;
  origin.source = object.source;
  origin.file = object.file;
  origin.line = spot.line;
  origin.group = object.key.group;
  origin.kind = object.key.kind;
  origin.ns = object.key.ns;
  origin.name = object.key.name;
  origin.generation = object.generation;
  origin.field = spot.field;
  return origin;
}

Translation translate(const ObjectSnapshot& snapshot, const Translation* previous) {
  Translation result;
  World world{snapshot, {}, {}, result, previous, {}};
  take_grants(world);
  take_gateways(world);
  attach_routes(world);
  report_gateways(world);
  for (auto& [key, state] : world.gateways) {
    intent::Gateway gateway = make_gateway(state);
    const intent::ScopeKey scope = gateway.key;
    if (previous) {
      auto old = previous->model.gateways.find(scope);
      if (old != previous->model.gateways.end() && *old->second == gateway) {
        result.model.gateways[scope] = old->second;
        continue;
      }
    }
    result.model.gateways[scope] = std::make_shared<const intent::Gateway>(std::move(gateway));
  }
  return result;
}

void register_groups(Store& store) {
  store.register_group(std::string(kGroup), check_gateway_api);
  store.register_group(std::string(kExperimentalGroup), check_experimental);
  store.register_group("", core::check_core);
  store.register_group(std::string(core::kDiscoveryGroup), core::check_discovery);
}

}  // namespace fairlead::adapters::gatewayapi
