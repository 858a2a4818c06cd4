// Where services live: service -> shard (one per source or cluster) -> endpoints by service port. The fast path:
// endpoints change here without any planning, and the change says which ports' assignments are touched.
// A View is immutable and persistent (updates share all that did not change); it may be read on any thread while the
// Topology that made it is updated on the pipeline's thread.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/persistent_map.h"
#include "controlplane/intent/intent.h"

namespace fairlead::topology {

struct ServiceKey {
  std::string ns;
  std::string name;
  auto operator<=>(const ServiceKey&) const = default;
  bool operator==(const ServiceKey&) const = default;
  std::string str() const { return ns + "/" + name; }
  template <typename H>
  friend H AbslHashValue(H h, const ServiceKey& k) {
    return H::combine(std::move(h), k.ns, k.name);
  }
};

enum class Health {
  kReady,      // gets traffic
  kServing,    // terminating but still answers: used only when nothing is ready (Kubernetes: serving && terminating)
  kNotReady,   // known, gets no traffic
};
std::string_view health_name(Health h);  // "ready", "serving", "not-ready"

struct Endpoint {
  std::string address;  // IP address
  uint16_t port = 0;    // the port it listens on (already resolved from names)
  std::string region;
  std::string zone;
  std::string node;  // host name, for logs and `why`
  Health health = Health::kReady;
  uint32_t weight = 1;
  auto operator<=>(const Endpoint&) const = default;
  bool operator==(const Endpoint&) const = default;
};

// Of a service. A number alone means TCP, and whatever else is not UDP.
struct Port {
  uint16_t number = 0;
  bool udp = false;
  Port(uint16_t port, bool is_udp = false) : number(port), udp(is_udp) {}
  auto operator<=>(const Port&) const = default;
  bool operator==(const Port&) const = default;
};

// One shard's endpoints of one service, by service port. A port that is present and empty exists and has no endpoint.
using PortEndpoints = std::map<Port, std::vector<Endpoint>>;

struct Service {
  std::map<std::string, PortEndpoints> shards;  // shard name -> ports
  bool by_load = false;  // its localities' weights are made of what clients report (load_weights.h)
  // The union over shards, sorted and without duplicates; empty when the port is unknown.
  std::vector<Endpoint> endpoints(Port port) const;
  // The same without copies, for as long as this lives.
  std::vector<const Endpoint*> look(Port port) const;
  bool has_port(Port port) const;
  bool operator==(const Service&) const = default;
};

// Immutable; copying is one reference count.
class View {
 public:
  View() = default;
  const Service* find(const ServiceKey& key) const;
  // The endpoints of one backend over all shards, sorted; empty when service or port is unknown.
  std::vector<Endpoint> endpoints(const intent::BackendKey& key) const;
  bool knows(const intent::BackendKey& key) const;
  size_t size() const { return services_.size(); }
  uint64_t generation() const { return generation_; }
  template <typename F>
  void for_each(F&& f) const { services_.for_each([&](const ServiceKey& k, const std::shared_ptr<const Service>& s) { f(k, *s); }); }

 private:
  friend class Topology;
  PersistentMap<ServiceKey, std::shared_ptr<const Service>> services_;
  uint64_t generation_ = 0;
};

// What one update did. `ports` lists every backend whose endpoints (union over shards) changed.
struct Change {
  std::vector<intent::BackendKey> ports;
  // A port became known or unknown, or is weighed otherwise: plans that name it may have something else to tell its author, so plan
  // again. The assignments need not wait for that.
  bool known_changed = false;
  bool empty() const { return ports.empty(); }
};

class Topology {
 public:
  // Replaces what `shard` knows of `service`. An update that changes nothing returns an empty change and leaves the
  // view's generation as it was.
  Change set(const ServiceKey& service, std::string_view shard, PortEndpoints ports, bool by_load = false);
  // The shard no longer knows the service.
  Change remove(const ServiceKey& service, std::string_view shard);
  // The shard is gone with all it knew. Only for a source that is removed by its owner, not one that is unreachable.
  Change remove_shard(std::string_view shard);

  const View& view() const { return view_; }

 private:
  Change apply(const ServiceKey& service, const Service* before, Service after);
  View view_;
};

}  // namespace fairlead::topology
