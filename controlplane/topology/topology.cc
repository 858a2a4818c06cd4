// Updates to the topology: each compares the union over shards per port before and after, and shares all the rest.
#include "controlplane/topology/topology.h"

#include <algorithm>
#include <set>

namespace fairlead::topology {

namespace {

// Mostly they are sorted already, and they are large to be moved.
void sort_endpoints(std::vector<Endpoint>& endpoints) {
  if (!std::is_sorted(endpoints.begin(), endpoints.end())) std::sort(endpoints.begin(), endpoints.end());
}

bool alike(const std::vector<const Endpoint*>& a, const std::vector<const Endpoint*>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Endpoint* x, const Endpoint* y) { return *x == *y; });
}

}  // namespace

std::string_view health_name(Health h) {
  switch (h) {
    case Health::kReady: return "ready";
    case Health::kServing: return "serving";
    case Health::kNotReady: return "not-ready";
  }
  return "not-ready";
}

std::vector<Endpoint> Service::endpoints(Port port) const {
  std::vector<Endpoint> out;
  const std::vector<const Endpoint*> all = look(port);
  out.reserve(all.size());
  for (const Endpoint* e : all) out.push_back(*e);
  return out;
}

std::vector<const Endpoint*> Service::look(Port port) const {
  std::vector<const Endpoint*> out;
  for (const auto& [name, ports] : shards) {
    const auto found = ports.find(port);
    if (found == ports.end()) continue;
    out.reserve(out.size() + found->second.size());
    for (const Endpoint& e : found->second) out.push_back(&e);
  }
  const auto before = [](const Endpoint* a, const Endpoint* b) { return *a < *b; };
  if (!std::is_sorted(out.begin(), out.end(), before)) std::sort(out.begin(), out.end(), before);
  out.erase(std::unique(out.begin(), out.end(), [](const Endpoint* a, const Endpoint* b) { return *a == *b; }), out.end());
  return out;
}

bool Service::has_port(Port port) const {
  return std::any_of(shards.begin(), shards.end(), [port](const auto& shard) { return shard.second.contains(port); });
}

const Service* View::find(const ServiceKey& key) const {
  const auto* found = services_.find(key);
  return found ? found->get() : nullptr;
}

std::vector<Endpoint> View::endpoints(const intent::BackendKey& key) const {
  const Service* service = find({key.ns, key.service});
  return service ? service->endpoints({key.port, key.udp}) : std::vector<Endpoint>{};
}

bool View::knows(const intent::BackendKey& key) const {
  const Service* service = find({key.ns, key.service});
  return service && service->has_port({key.port, key.udp});
}

Change Topology::apply(const ServiceKey& key, const Service* before, Service after) {
  Change change;
  const Service nothing;
  const Service& old = before ? *before : nothing;
  std::set<Port> ports;
  for (const Service* s : {&old, static_cast<const Service*>(&after)}) {
    for (const auto& [shard, by_port] : s->shards) {
      for (const auto& [port, endpoints] : by_port) ports.insert(port);
    }
  }
  for (const Port port : ports) {
    const bool known_changed = old.has_port(port) != after.has_port(port) || old.by_load != after.by_load;
    change.known_changed |= known_changed;
    if (known_changed || !alike(old.look(port), after.look(port))) {
      change.ports.push_back({key.ns, key.name, port.number, port.udp});
    }
  }
  if (old == after) return change;
  if (after.shards.empty()) {
    view_.services_ = view_.services_.erase(key);
  } else {
    view_.services_ = view_.services_.set(key, std::make_shared<const Service>(std::move(after)));
  }
  if (!change.empty()) ++view_.generation_;
  return change;
}

Change Topology::set(const ServiceKey& service, std::string_view shard, PortEndpoints ports, bool by_load) {
  for (auto& [port, endpoints] : ports) sort_endpoints(endpoints);
  const auto* found = view_.services_.find(service);
  const std::shared_ptr<const Service> before = found ? *found : nullptr;
  Service after = before ? *before : Service{};
  after.shards[std::string(shard)] = std::move(ports);
  after.by_load = by_load;
  return apply(service, before.get(), std::move(after));
}

Change Topology::remove(const ServiceKey& service, std::string_view shard) {
  const auto* found = view_.services_.find(service);
  if (!found) return {};
  const std::shared_ptr<const Service> before = *found;
  Service after = *before;
  if (after.shards.erase(std::string(shard)) == 0) return {};
  return apply(service, before.get(), std::move(after));
}

Change Topology::remove_shard(std::string_view shard) {
  std::vector<ServiceKey> keys;
  view_.for_each([&](const ServiceKey& key, const Service& service) {
    if (service.shards.contains(std::string(shard))) keys.push_back(key);
  });
  Change all;
  for (const ServiceKey& key : keys) {
    Change one = remove(key, shard);
    all.ports.insert(all.ports.end(), one.ports.begin(), one.ports.end());
    all.known_changed |= one.known_changed;
  }
  return all;
}

}  // namespace fairlead::topology
