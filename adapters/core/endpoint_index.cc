// EndpointIndex: slices joined to services by label, ports by name. See endpoint_index.h.
#include "adapters/core/endpoint_index.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace fairlead::adapters::core {

namespace {

bool is_service(const ObjectKey& key) { return key.group.empty() && key.kind == "Service"; }
bool is_slice(const ObjectKey& key) { return key.group == kDiscoveryGroup && key.kind == "EndpointSlice"; }

topology::Health health(Readiness r) {
  switch (r) {
    case Readiness::kReady:
      return topology::Health::kReady;
    case Readiness::kServing:
      return topology::Health::kServing;
    case Readiness::kNotReady:
      break;
  }
  return topology::Health::kNotReady;
}

topology::ServiceKey owner(const EndpointSlice& slice) { return {slice.key.ns, slice.service}; }

}  // namespace

bool EndpointIndex::is_endpoint_only(const ChangeSet& changes) {
  auto all_slices = [](const std::vector<ObjectPtr>& list) {
    return std::all_of(list.begin(), list.end(), [](const ObjectPtr& o) { return is_slice(o->key); });
  };
  return all_slices(changes.added) && all_slices(changes.changed) && all_slices(changes.removed);
}

std::vector<EndpointUpdate> EndpointIndex::apply(const ChangeSet& changes) {
  std::set<topology::ServiceKey> touched;
  auto forget_slice = [&](const ObjectKey& key) {
    auto old = slices_.find(key);
    if (old == slices_.end()) return;
    const topology::ServiceKey service = owner(*old->second);
    touched.insert(service);
    auto of = slices_of_.find(service);
    of->second.erase(key);
    if (of->second.empty()) slices_of_.erase(of);
    slices_.erase(old);
  };
  auto take = [&](const ObjectPtr& o) {
    if (is_service(o->key)) {
      const topology::ServiceKey key{o->key.ns, o->key.name};
      services_[key] = reading_of(*o, read_service);
      touched.insert(key);
    } else if (is_slice(o->key)) {
      forget_slice(o->key);
      std::shared_ptr<const EndpointSlice> slice = reading_of(*o, read_endpoint_slice);
      const topology::ServiceKey service = owner(*slice);
      slices_of_[service].insert(o->key);
      touched.insert(service);
      slices_[o->key] = std::move(slice);
    }
  };
  for (const ObjectPtr& o : changes.added) take(o);
  for (const ObjectPtr& o : changes.changed) take(o);
  for (const ObjectPtr& o : changes.removed) {
    if (is_service(o->key)) {
      services_.erase({o->key.ns, o->key.name});
      touched.insert({o->key.ns, o->key.name});
    } else if (is_slice(o->key)) {
      forget_slice(o->key);
    }
  }

  std::vector<EndpointUpdate> updates;
  for (const topology::ServiceKey& key : touched) {
    auto service = services_.find(key);
    auto told = told_.find(key);
    if (service == services_.end()) {
      if (told == told_.end()) continue;
      told_.erase(told);
      updates.push_back({key, {}, true});
      continue;
    }
    EndpointUpdate update{key, build(*service->second), false, service->second->by_load};
    if (told != told_.end() && told->second == update) continue;
    told_[key] = update;
    updates.push_back(std::move(update));
  }
  return updates;
}

topology::PortEndpoints EndpointIndex::build(const Service& service) const {
  struct Found {
    const SliceEndpoint* endpoint;
    uint16_t port;
    // In the order of topology::Endpoint, of which there is only one of a kind.
    auto key() const { return std::tie(endpoint->address, port, endpoint->zone, endpoint->node, endpoint->readiness); }
  };
  const auto before = [](const Found& a, const Found& b) { return a.key() < b.key(); };
  const auto same = [](const Found& a, const Found& b) { return a.key() == b.key(); };
  topology::PortEndpoints result;
  std::vector<Found> found;
  auto slices = slices_of_.find({service.key.ns, service.key.name});
  for (const ServicePort& port : service.ports) {
    if (!port.tcp && !port.udp) continue;
    std::vector<topology::Endpoint>& endpoints = result[{port.port, port.udp}];
    if (slices == slices_of_.end()) continue;
    found.clear();
    for (const ObjectKey& key : slices->second) {
      const EndpointSlice& slice = *slices_.at(key);
      if (slice.fqdn) continue;
      for (const SlicePort& slice_port : slice.ports) {
        if (slice_port.tcp != port.tcp || slice_port.udp != port.udp || slice_port.name != port.name) continue;
        for (const SliceEndpoint& e : slice.endpoints) found.push_back({&e, slice_port.port});
      }
    }
    if (!std::is_sorted(found.begin(), found.end(), before)) std::sort(found.begin(), found.end(), before);
    found.erase(std::unique(found.begin(), found.end(), same), found.end());
    endpoints.reserve(found.size());
    for (const Found& f : found) {
      topology::Endpoint& endpoint = endpoints.emplace_back();
      endpoint.address = f.endpoint->address;
      endpoint.port = f.port;
      endpoint.zone = f.endpoint->zone;
      endpoint.node = f.endpoint->node;
      endpoint.health = health(f.endpoint->readiness);
    }
  }
  return result;
}

}  // namespace fairlead::adapters::core
