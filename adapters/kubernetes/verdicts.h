// What the proxies of Gateways said, and what else keeps objects from being served, in the words of objects; and its join with the conditions that a
// vocabulary drafted: where that leaves Programmed open, this decides. Pure; any thread.
// Who has proxies: a Gateway; an IngressClass, for its Ingresses; and an EnvoyResources object, those that it is for.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"

namespace fairlead::adapters::kubernetes {

// How far the proxies of one of them are.
struct Progress {
  size_t proxies = 0;   // connected
  bool synced = false;  // each of them has all that is meant for it, but for what it refused
  std::string version;  // of what is meant for them: the same with every replica
  bool operator==(const Progress&) const = default;
};

// One object's part in what proxies of a Gateway refused, or in what keeps it from being served without anybody refusing it.
struct Refusal {
  ObjectKey gateway;    // or who else has proxies
  std::string field;    // within the object; empty: all of it
  std::string message;  // who refused what, in the proxies' words; or what is in the way
  bool foreseen = false;  // it is known beforehand, and was not sent
  std::string reason = {};  // of what is found wrong without the proxies, "NameConflict"
  bool remark = false;      // with a reason: it is served all the same, and this is worth knowing
  bool operator==(const Refusal&) const = default;
};

struct Verdicts {
  std::map<ObjectKey, Progress> gateways;      // and who else has proxies
  std::multimap<ObjectKey, Refusal> refusals;  // by the object concerned
  bool operator==(const Verdicts&) const = default;
};

// Stands for the Gateway of routes and policies at Services: all clients of the mesh.
inline const ObjectKey kMesh{"", "Service", "", ""};

// The Gateway that a parent is or, being a ListenerSet, belongs to; who else has proxies is itself.
using GatewayOf = std::function<ObjectKey(const ObjectKey& parent)>;

// Sets Programmed: of Gateways, ListenerSets and their listeners and of EnvoyResources where it is Unknown, of routes, policies and Ingresses at each
// parent that accepts them; of what Services are the parents of only where it is False.
// `listener_names`: of such an object in the order of its spec, for refusals of one listener's part.
void join(StatusSink::Scopes& scopes, const ObjectKey& object, const std::vector<std::string>& listener_names, const GatewayOf& gateway_of, const Verdicts& verdicts);

}  // namespace fairlead::adapters::kubernetes
