// The core kinds every vocabulary needs: Service, EndpointSlice and Namespace, read strictly into plain structs.
// Pure functions over immutable objects; any thread. Secrets and ConfigMaps are in secret.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/store.h"
#include "adapters/object/watched_kind.h"

namespace fairlead::adapters::core {

inline constexpr std::string_view kDiscoveryGroup = "discovery.k8s.io";
// Of a Service: what the weights of its localities are made of, "endpoints" (the default) or "load".
inline constexpr std::string_view kLocalityWeights = "fairlead.io/locality-weights";

struct ServicePort {
  std::string name;
  uint16_t port = 0;
  bool tcp = true;           // false: UDP or SCTP
  bool udp = false;
  std::string app_protocol;  // "kubernetes.io/h2c", …; empty when not given
  bool operator==(const ServicePort&) const = default;
};

struct Service {
  ObjectKey key;
  bool external_name = false;
  bool by_load = false;  // annotation kLocalityWeights
  std::vector<std::string> cluster_ips;  // none of those without one
  std::vector<ServicePort> ports;

  const ServicePort* port(int64_t number, bool udp = false) const;
};

struct SlicePort {
  std::string name;
  uint16_t port = 0;
  bool tcp = true;
  bool udp = false;
};

enum class Readiness { kReady, kServing, kNotReady };

struct SliceEndpoint {
  std::string address;  // the first of its addresses: the others mean the same endpoint
  std::string node;
  std::string zone;
  Readiness readiness = Readiness::kReady;
};

struct EndpointSlice {
  ObjectKey key;
  std::string service;  // label kubernetes.io/service-name; empty: nobody's
  bool fqdn = false;    // addressType FQDN: has no addresses a proxy could use
  std::vector<SlicePort> ports;
  std::vector<SliceEndpoint> endpoints;
};

// Checks for Store::register_group: groups "" and "discovery.k8s.io".
bool check_core(const Object& object, std::vector<Diagnostic>& out);
bool check_discovery(const Object& object, std::vector<Diagnostic>& out);

// The kinds that those checks take, for sources that ask by kind. Of Secrets only those that may be read, so that no other ever leaves the
// server. ConfigMaps cannot be selected by what they hold, and which are named is known only once everything is read: all are looked at, and
// those without certificates go no further than the source.
std::vector<WatchedKind> watched_kinds();

// Readers of objects, for reading_of(): their checks keep what they read. What is wrong is appended to `out`.
Service read_service(const Object& object, std::vector<Diagnostic>& out);
EndpointSlice read_endpoint_slice(const Object& object, std::vector<Diagnostic>& out);

// Labels of a namespace as a selector sees them: with kubernetes.io/metadata.name, also when there is no object.
std::map<std::string, std::string> namespace_labels(const ObjectSnapshot& snapshot, std::string_view name);

}  // namespace fairlead::adapters::core
