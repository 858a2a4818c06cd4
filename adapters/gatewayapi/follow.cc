// Changed HTTPRoutes and GRPCRoutes, where all else is as it was: each is taken out of the listeners it was at, and attached again as it is now. What
// the others have cannot change by that, or all is translated anew. See world.h.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters/gatewayapi/world.h"

namespace fairlead::adapters::gatewayapi {

namespace {

class Follower {
 public:
  explicit Follower(World& world) : world_(world) {}

  bool run(const std::set<ObjectKey>& keys) {
    if (!alone(keys)) return false;
    std::vector<Diagnostic> told = std::exchange(world_.result.diagnostics, {});
    for (const ObjectKey& key : keys) {
      if (!take_out(key)) return false;
    }
    for (const ObjectKey& key : keys) {
      const ObjectPtr object = world_.snapshot.find(key);
      if (object && !put_in(object)) return false;
    }
    if (world_.suggestions > kMaxSuggestions) return false;
    world_.result.diagnostics = problems_changed_ ? world_.problems() : std::move(told);
    for (const auto& [gateway, listeners] : touched_) {
      for (const auto& [at, hostnames] : listeners) count(gateway->listeners[at]);
      make(*gateway, listeners);
    }
    if (mesh_touched_) make_mesh(world_, nullptr);
    return true;
  }

 private:
  using Touched = std::map<size_t, std::set<std::string>>;  // listeners, and what of their hostnames

  // Whether what else is said of the routes, and of others because of them, stays.
  bool alone(const std::set<ObjectKey>& keys) const {
    if (world_.suggestions > kMaxSuggestions) return false;  // which of them there are depends on the order
    for (const auto& [key, object] : world_.snapshot.rejected()) {
      // A policy is refused at every Gateway whose routes lead to its target; a route that was rejected has its verdict from its newest text.
      if (key.group == kGroup && (key.kind == "BackendTLSPolicy" || keys.contains(key))) return false;
    }
    return true;
  }

  bool take_out(const ObjectKey& key) {
    const auto at = world_.routes.find(key);
    if (at == world_.routes.end()) return true;
    const AttachedRoute route = std::move(at->second);
    world_.routes.erase(at);
    if (route.secured || route.tied) return false;  // policies say at which Gateways they are in use
    take_out_of_mesh(route);
    const RouteOrder order = order_of(*route.object);
    for (const AttachedRoute::Place& place : route.places) {
      ListenerState& l = place.gateway->listeners[place.listener];
      if (l.contested) return false;
      l.attached.erase(route.object.get());
      if (const auto claims = l.claims.find(key.kind); claims != l.claims.end()) claims->second.erase(order);
      std::set<std::string>& touched = touched_[place.gateway][place.listener];
      for (const std::string& hostname : place.hostnames) {
        touched.insert(hostname);
        const auto routes = l.routes.find(hostname);
        if (routes == l.routes.end()) continue;
        std::erase_if(routes->second, [&](const RankedPtr& r) { return is_of(*r, key); });
        if (routes->second.empty()) l.routes.erase(routes);
      }
    }
    world_.suggestions -= route.suggestions;
    problems_changed_ |= world_.problems_of.erase(order) > 0;
    world_.result.status.erase(key);
    return true;
  }

  void take_out_of_mesh(const AttachedRoute& route) {
    for (const AttachedRoute::MeshPlace& place : route.mesh) {
      mesh_touched_ = true;
      const auto port = world_.mesh.find(place.port);
      const auto side = port->second.sides.find(place.clients);
      side->second.attached.erase(route.object.get());
      std::erase_if(side->second.routes, [&](const RankedPtr& r) { return is_of(*r, route.object->key); });
      side->second.host.reset();
      if (!side->second.attached.empty() || !side->second.grpc.empty()) continue;
      port->second.sides.erase(side);
      if (port->second.sides.empty()) world_.mesh.erase(port);
    }
  }

  bool put_in(const ObjectPtr& object) {
    const int rivals = world_.rivals;
    world_.result.diagnostics.clear();
    attach_route(world_, object);
    problems_changed_ |= !world_.result.diagnostics.empty();
    const AttachedRoute& route = world_.routes.at(object->key);
    if (route.secured || route.tied || world_.rivals != rivals) return false;
    mesh_touched_ |= !route.mesh.empty();
    for (const AttachedRoute::Place& place : route.places) {
      if (place.gateway->listeners[place.listener].contested) return false;
      touched_[place.gateway][place.listener].insert(place.hostnames.begin(), place.hostnames.end());
    }
    return true;
  }

  static bool is_of(const RankedRoute& ranked, const ObjectKey& key) {
    const std::string& name = ranked.object;
    return name.size() == key.ns.size() + 1 + key.name.size() && name.starts_with(key.ns) && name.ends_with(key.name) && ranked.grpc.has_value() == (key.kind == "GRPCRoute");
  }

  void count(const ListenerState& l) {
    world_.result.status.at(l.owner->key, {{}, l.listener.name, 0}).attached_routes = static_cast<int>(l.attached.size());
  }

  // The Gateway's intent with those virtual hosts as they are now; the same one where they come out as they were.
  void make(GatewayState& gateway, const Touched& listeners) {
    const auto model = world_.result.model.gateways.find({gateway.object->key.ns, gateway.object->key.name});
    std::shared_ptr<intent::Gateway> next;
    for (const auto& [at, hostnames] : listeners) {
      ListenerState& l = gateway.listeners[at];
      if (l.place < 0) continue;
      const auto place = static_cast<size_t>(l.place);
      for (const std::string& hostname : hostnames) {
        const intent::VirtualHosts& before = (next ? next.get() : model->second.get())->listeners[place].virtual_hosts;
        const auto found = std::lower_bound(before.begin(), before.end(), hostname, [](const auto& host, const std::string& name) { return host->hostname < name; });
        const bool there = found != before.end() && (*found)->hostname == hostname;
        const auto index = found - before.begin();
        const auto routes = l.routes.find(hostname);
        std::optional<Shared<intent::VirtualHost>> now;
        if (routes != l.routes.end()) now.emplace(virtual_host(hostname, routes->second));
        if (there ? now && **found == **now : !now) continue;
        if (!next) next = std::make_shared<intent::Gateway>(*model->second);
        intent::VirtualHosts& hosts = next->listeners[place].virtual_hosts;
        if (!now) {
          hosts.erase(hosts.begin() + index);
        } else if (there) {
          hosts[static_cast<size_t>(index)] = std::move(*now);
        } else {
          hosts.insert(hosts.begin() + index, std::move(*now));
        }
      }
    }
    if (next) model->second = std::move(next);
  }

  World& world_;
  std::map<GatewayState*, Touched> touched_;
  bool problems_changed_ = false;
  bool mesh_touched_ = false;
};

}  // namespace

bool follow_routes(World& world, const std::set<ObjectKey>& routes) { return Follower(world).run(routes); }

}  // namespace fairlead::adapters::gatewayapi
