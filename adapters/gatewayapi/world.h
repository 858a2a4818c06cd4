// The objects of one snapshot as the steps of a translation share them. Private to the room; lives for one translate().
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters/core/core.h"
#include "adapters/gatewayapi/precedence.h"
#include "adapters/gatewayapi/schema.h"
#include "adapters/gatewayapi/translate.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"

namespace fairlead::adapters::gatewayapi {

struct ListenerState {
  Listener listener;
  bool accepted = true;
  std::string reason = "Accepted";  // of the condition Accepted
  std::string message;
  std::string conflict;             // "HostnameConflict", "ProtocolConflict"; empty: none
  std::vector<GroupKind> kinds;     // that may attach
  std::string bad_kinds;            // what allowedRoutes.kinds asks for in vain; empty: nothing
  std::set<ObjectKey> attached;
  std::map<std::string, std::vector<RankedRoute>> routes;  // by hostname
};

struct GatewayState {
  ObjectPtr object;
  Gateway gateway;
  std::string address;          // to listen on
  std::string address_problem;  // why spec.addresses cannot be had; empty: it can
  std::vector<ListenerState> listeners;
};

struct World {
  const ObjectSnapshot& snapshot;
  std::map<ObjectKey, GatewayState> gateways;  // ours only
  std::map<std::string, std::vector<ReferenceGrant>> grants;  // by the namespace they stand in
  Translation& result;
  const Translation* previous;  // may be null
  std::map<ObjectKey, core::Service> services;  // read so far
  int suggestions = 0;                          // "did you mean" looks at every name there is: only so many are made

  // May an object of `from` refer to `to`? Within a namespace always, across only with a grant in the target's.
  bool permitted(const GroupKind& from_kind, const std::string& from_ns, const GroupKind& to_kind, const std::string& to_ns,
                 const std::string& to_name) const;
  void problem(Severity severity, const Object& object, const Spot& spot, std::string message);
  std::shared_ptr<const HttpRoute> route(const ObjectPtr& object);  // as read now or by the translation before
  const core::Service* service(const ObjectKey& key);               // null when there is none
};

intent::Origin origin_of(const Object& object, const Spot& spot);

// Which Gateways are ours, and which of their listeners can be served. Fills world.gateways, sets GatewayClass status.
void take_gateways(World& world);
// Attaches every HTTPRoute to the listeners it may attach to; sets the routes' status.
void attach_routes(World& world);
// Status of Gateways and their listeners, once routes are attached.
void report_gateways(World& world);

// What the rules of one HTTPRoute do, without their matches, and what is wrong with what they refer to.
struct RouteTarget {
  std::vector<intent::Route> rules;
  std::string reason = "ResolvedRefs";  // of the condition ResolvedRefs: the first problem's
  std::string message;
};
RouteTarget resolve_rules(World& world, const Object& object, const HttpRoute& route);

}  // namespace fairlead::adapters::gatewayapi
