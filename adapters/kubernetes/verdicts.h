// What the proxies of Gateways said, in the words of objects, and its join with the conditions that a vocabulary drafted: where that leaves
// Programmed open, the proxies decide. Pure; any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"

namespace fairlead::adapters::kubernetes {

// How far the proxies of one Gateway are.
struct Progress {
  size_t proxies = 0;   // connected
  bool synced = false;  // each of them has all that is meant for it, but for what it refused
  std::string version;  // of what is meant for them: the same with every replica
  bool operator==(const Progress&) const = default;
};

// One object's part in what proxies of a Gateway refused.
struct Refusal {
  ObjectKey gateway;
  std::string field;    // within the object; empty: all of it
  std::string message;  // who refused what, in the proxies' words
  bool foreseen = false;  // it is known beforehand, and was not sent
  bool operator==(const Refusal&) const = default;
};

struct Verdicts {
  std::map<ObjectKey, Progress> gateways;
  std::multimap<ObjectKey, Refusal> refusals;  // by the object concerned
  bool operator==(const Verdicts&) const = default;
};

// The Gateway that a parent is or, being a ListenerSet, belongs to.
using GatewayOf = std::function<ObjectKey(const ObjectKey& parent)>;

// Sets Programmed: of Gateways, ListenerSets and their listeners where it is Unknown, of routes and policies at each parent that accepts them.
// `listener_names`: of such an object in the order of its spec, for refusals of one listener's part.
void join(StatusSink::Scopes& scopes, const ObjectKey& object, const std::vector<std::string>& listener_names, const GatewayOf& gateway_of, const Verdicts& verdicts);

}  // namespace fairlead::adapters::kubernetes
