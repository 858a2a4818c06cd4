// The objects of one snapshot as the steps of a translation share them. Private to the room; World lives for one translation, what it knows of
// them (Known) may go on to the next one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "adapters/core/core.h"
#include "adapters/core/secret.h"
#include "adapters/gatewayapi/precedence.h"
#include "adapters/gatewayapi/schema.h"
#include "adapters/gatewayapi/translate.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"

namespace fairlead::adapters::gatewayapi {

struct RankedTlsRoute {
  intent::TlsRoute route;
  ObjectPtr object;
};

// A route that all connections or datagrams of a listener would go to.
struct RankedL4Route {
  intent::L4Route route;
  ObjectPtr object;
};

// The order in which routes are attached: the oldest first, then by name. Of two that want the same the first has it.
struct RouteOrder {
  std::chrono::sys_seconds created{};
  std::string ns, name;
  int kind = 0;
  auto operator<=>(const RouteOrder&) const = default;
};
RouteOrder order_of(const Object& route);

struct ListenerState {
  Listener listener;
  ObjectPtr owner;                  // the Gateway or the ListenerSet it stands in
  std::string name;                 // within the Gateway: that of a ListenerSet's has "ns/set/" before it
  bool accepted = true;
  std::string reason = "Accepted";  // of the condition Accepted
  std::string message;
  std::string conflict;             // "HostnameConflict", "ProtocolConflict"; empty: none
  std::vector<GroupKind> kinds;     // that may attach
  std::string bad_kinds;            // what allowedRoutes.kinds asks for in vain; empty: nothing
  std::string refs_reason;          // of the condition ResolvedRefs, where certificates are wrong: the first problem's
  std::string refs_message;
  std::vector<std::string> certificates;  // that can be served, by the names of their secrets
  std::string trusted_clients;            // by the name of its secret; "" where clients show no certificate
  bool insecure_clients = false;
  absl::flat_hash_set<const Object*> attached;
  std::map<std::string, std::vector<RankedPtr>> routes;           // by hostname
  std::map<std::string, std::vector<RankedTlsRoute>> tls_routes;  // by hostname, the oldest first
  // Hostnames, as in `routes`, at which requests belong to HTTPRoutes or to GRPCRoutes, by kind and route.
  std::map<std::string, std::map<RouteOrder, std::vector<std::string>>> claims;
  bool contested = false;                                         // a route of one of those kinds has lost to one of the other
  std::optional<RankedL4Route> l4_route;                          // the oldest
  int place = -1;                                                 // among the listeners of the intent; -1: it is not there

  bool ends_tls() const { return listener.tls && !listener.tls->passthrough; }
  bool usable() const { return accepted && (!ends_tls() || !certificates.empty()); }
};

// What a BackendTLSPolicy makes of one port of a service.
struct SecuredBackend {
  std::optional<intent::BackendTls> tls;  // none: the policy is not valid, and nothing may be sent there
  ObjectKey policy;
};

struct GatewayState {
  ObjectPtr object;
  Gateway gateway;
  std::vector<std::string> addresses;  // to listen on, never none
  std::string address_problem;         // why spec.addresses cannot be had; empty: it can
  std::string parameters_problem;      // the same of infrastructure.parametersRef, being of a kind that nobody knows
  std::string parameters_missing;      // those that it means cannot be had; what is served goes on
  std::string client_certificate;      // shown to backends, by the name of its secret; "" for none
  std::string refs_reason;             // of the condition ResolvedRefs, where that certificate cannot be had
  std::string refs_message;
  std::vector<ListenerState> listeners;  // its own first, then those of its ListenerSets by precedence

  bool own(const ListenerState& l) const { return l.owner == object; }
  bool served() const { return address_problem.empty() && parameters_problem.empty(); }
  // Of its own listeners at least one can be served, where it asks to be.
  bool accepted() const;
};

// A ListenerSet of one of our Gateways.
struct SetState {
  ObjectPtr object;
  ListenerSet spec;
  ObjectKey gateway;
  std::string refused;  // a condition's reason: "NotAllowed", "ParentNotAccepted"; empty: its listeners are the Gateway's
  std::string message;
};

// Where an HTTPRoute or a GRPCRoute is, so that it can be taken out again.
struct AttachedRoute {
  struct Place {
    GatewayState* gateway;
    size_t listener;                     // of GatewayState::listeners
    std::vector<std::string> hostnames;  // in ListenerState::routes; none where the listener cannot be served
  };
  // Ports of Services, and the namespace of the clients that see it there.
  struct MeshPlace {
    intent::BackendKey port;
    std::string clients;
  };
  ObjectPtr object;
  std::vector<Place> places;
  std::vector<MeshPlace> mesh;
  int suggestions = 0;   // it took of World::suggestions
  bool secured = false;  // it leads to what a policy is about
  bool tied = false;     // what it has of a Service depends on routes of the other kind, or theirs on it
};

// The routes of a port of a Service for one lot of clients.
struct MeshSide {
  std::vector<RankedPtr> routes;
  absl::flat_hash_set<const Object*> attached;
  std::string grpc;  // a GRPCRoute that has it, known before any route is attached; HTTPRoutes have nothing then
  std::optional<Shared<intent::VirtualHost>> host;  // of `routes`; none: it is to be made
};

// By the namespace of the clients: "" for the Service's own (producer) routes, which all clients see that have no (consumer) routes of their own.
struct MeshPort {
  std::map<std::string, MeshSide> sides;
};

// What holds until an object other than a route changes, and of routes what each of them has.
struct Known {
  std::map<ObjectKey, GatewayState> gateways;  // ours only
  std::map<ObjectKey, SetState> sets;          // of these
  std::map<std::string, std::vector<ReferenceGrant>> grants;  // by the namespace they stand in
  absl::flat_hash_map<ObjectKey, std::shared_ptr<const core::Service>> services;  // asked for so far
  std::map<std::string, intent::Secret> secrets;  // that something refers to, by name
  std::map<intent::BackendKey, SecuredBackend> secured;
  std::map<ObjectKey, std::set<ObjectKey>> policy_ancestors;  // Gateways whose routes lead to what the policy is about
  absl::flat_hash_map<ObjectKey, AttachedRoute> routes;
  std::map<intent::BackendKey, MeshPort> mesh;  // ports of Services that are parents of routes
  int suggestions = 0;  // "did you mean" looks at every name there is: only so many are made
  int rivals = 0;       // routes that lost a hostname to one of the other kind, counted
  // Translation::diagnostics in three parts: of what comes before routes, of each route, and of what comes after them.
  std::vector<Diagnostic> problems_before, problems_after;
  std::map<RouteOrder, std::vector<Diagnostic>> problems_of;

  std::vector<Diagnostic> problems() const;
};
inline constexpr int kMaxSuggestions = 100;

struct World : Known {
  const ObjectSnapshot& snapshot;
  Translation& result;
  const Translation* previous;  // may be null

  // May an object of `from` refer to `to`? Within a namespace always, across only with a grant in the target's.
  bool permitted(const GroupKind& from_kind, const std::string& from_ns, const GroupKind& to_kind, const std::string& to_ns,
                 const std::string& to_name) const;
  void problem(Severity severity, const Object& object, const Spot& spot, std::string message);
  // Something more to say in the condition Accepted of a route at a listener.
  void add_message(const ObjectKey& route, const Object& parent, const Listener& listener, const std::string& message);
  static std::shared_ptr<const HttpRoute> route(const ObjectPtr& object);  // HTTPRoute or GRPCRoute
  const core::Service* service(const ObjectKey& key);               // null when there is none
  std::shared_ptr<const core::TlsSecret> tls_secret(const ObjectPtr& object);
  std::shared_ptr<const core::CaBundle> ca_bundle(const ObjectPtr& object);
  // What is wrong with the newest text of an object, "secrets.yaml:3: data: …"; "" when nothing is.
  std::string broken(const ObjectKey& key) const;
};

intent::Origin origin_of(const Object& object, const Spot& spot);

// Which Gateways are ours, and which of their listeners can be served. Fills world.gateways, sets GatewayClass status.
void take_gateways(World& world);
// Adds the listeners of ListenerSets to the Gateways that admit them.
void take_listener_sets(World& world);
// What a Gateway or a ListenerSet says of a listener, without a look at others.
ListenerState take_listener(World& world, const GatewayState& gateway, const ObjectPtr& owner, const Listener& listener);
// Why the two cannot share a port: a condition's reason, and what the other one does. Empty where they can.
std::pair<std::string, std::string> conflict_between(const Listener& listener, const Listener& other);
void refuse(ListenerState& listener, const std::string& conflict, std::string message);
// Listeners of one object that are not distinct are all refused: none of them wins (Gateway.spec.listeners). Those that had to yield to others before
// are in nobody's way.
void find_conflicts(std::vector<ListenerState>& listeners);
// Tells the author of each listener that cannot be served, or not wholly.
void tell_refused(World& world, const std::vector<ListenerState>& listeners);
// The certificates of a listener that ends TLS, and those that its clients must show.
void take_certificates(World& world, const GatewayState& gateway, ListenerState& listener);
// What the Gateway shows to backends that speak TLS.
void take_client_certificate(World& world, GatewayState& gateway);
// The ConfigMap's certificates, added to what is to be trusted. False, and `refuse` knows why: there are none.
using Refuse = std::function<void(std::string_view reason, std::string message)>;
bool add_authority(World& world, const ObjectRef& ref, intent::Secret& into, const Refuse& refuse);
// Names the bundle after what was added, and keeps it in the world; its name.
std::string keep_authorities(World& world, intent::Secret bundle);
// Which ports of which services a BackendTLSPolicy is about; fills world.secured. Their status, once routes are attached.
class Policies {
 public:
  explicit Policies(World& world) : world_(world) {}
  void take();
  void report();

 private:
  struct Policy {
    ObjectPtr object;
    BackendTlsPolicy spec;
    std::string reason = "Accepted", message;  // of the condition Accepted
    std::string refs_reason = "ResolvedRefs", refs_message;
    std::string trusted_ca;
    bool closed = false;  // nothing there can be trusted: nothing is sent
  };
  void take_authorities(Policy& policy);
  void claim(Policy& policy);
  void fail(Policy& policy, std::string_view reason, const Spot& spot, std::string message);

  World& world_;
  std::vector<std::unique_ptr<Policy>> policies_;  // the oldest first
  std::map<std::pair<ObjectKey, std::string>, Policy*> claims_;  // service and port name; "" for all
};
// Attaches every route to the listeners it may attach to; sets the routes' status.
void attach_routes(World& world);
// The same for one of them.
void attach_route(World& world, const ObjectPtr& object);
// Of secured backends and secrets those that a scope's routes lead to.
class SecuredBackends {
 public:
  explicit SecuredBackends(World& world) : world_(world) {}
  void use(const std::optional<intent::BackendKey>& backend);
  void use(const std::vector<RankedPtr>& routes);
  // `secrets`: that it names besides; `client_certificate`: what it shows to backends, or "".
  void fill(intent::Gateway& gateway, std::set<std::string> secrets, const std::string& client_certificate) const;

 private:
  World& world_;
  std::map<intent::BackendKey, const intent::BackendTls*> backends_;
};

// Parents of kind Service: the mesh. Routes of the Service's namespace are for all clients, those of another for the clients there.
bool is_mesh_parent(const ParentRef& parent);
// Which ports GRPCRoutes have; before any route is attached.
void take_mesh_claims(World& world);
struct MeshVerdict {
  std::string refused;  // a condition's reason; empty: accepted
  std::string message;
};
using RankedRoutes = std::function<const std::vector<RankedPtr>&()>;
// `ranked`: the route's matches, made when they are asked for.
MeshVerdict attach_to_service(World& world, const ObjectPtr& object, const ParentRef& parent, const RankedRoutes& ranked, AttachedRoute& record);
// The mesh scopes of the model: one for the proxies and one for the gRPC clients of each namespace that has routes of its own, and of all others.
void make_mesh(World& world, const Translation* previous);
// Routes of one hostname, which they are sorted for.
intent::VirtualHost virtual_host(const std::string& hostname, std::vector<RankedPtr>& routes);
// Follows changed HTTPRoutes and GRPCRoutes, where nothing but these has changed. False: they may concern others, all is to be translated again.
bool follow_routes(World& world, const std::set<ObjectKey>& routes);
// Status of Gateways, ListenerSets and their listeners, once routes are attached.
void report_gateways(World& world);
// Status of objects whose newest version failed its check, over what the last good one's may be.
void report_rejected(World& world);
void report_listener_sets(World& world);
void report_listener(World& world, const GatewayState& gateway, const ListenerState& listener);
// Whether namespaces `allowed`, as seen from `home`, hold `ns`.
bool admits(const World& world, const Namespaces& allowed, const std::string& home, const std::string& ns);

// What the rules of one route do, without their matches, and what is wrong with what they refer to.
struct RouteTarget {
  std::vector<intent::Route> rules;
  std::vector<intent::WeightedBackend> backends;  // of the only rule of other routes
  std::set<ObjectKey> policies;                   // BackendTLSPolicies of what it leads to
  std::string reason = "ResolvedRefs";  // of the condition ResolvedRefs: the first problem's
  std::string message;
};
RouteTarget resolve_rules(World& world, const Object& object, const HttpRoute& route);
RouteTarget resolve_rules(World& world, const Object& object, const TlsRoute& route);
RouteTarget resolve_rules(World& world, const Object& object, const L4Route& route);

}  // namespace fairlead::adapters::gatewayapi
