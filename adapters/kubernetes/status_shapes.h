// From conditions as data to the `status` of a Kubernetes object and back: which kinds have one, where it is written, how it differs from what
// is there. Pure; any thread.
// What is ours, by the list types of the published CRDs: conditions, listeners and features are maps by key, of which server-side apply takes our
// entries and leaves those of others; parents of routes and ancestors of policies are atomic lists, so that these are taken as they are with our
// entries exchanged, and written on the condition that nobody has written since.
// Invariant: a status that is applied and read back does not differ.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "base/doc.h"

namespace fairlead::adapters::kubernetes {

struct StatusKind {
  // kConditions: conditions of the object and nothing else. kNone: the API has no status for it, and kIngress has no place for conditions: what is wrong
  // with such objects is told in Events alone.
  enum class Shape { kClass, kGateway, kRoute, kPolicy, kConditions, kIngress, kNone };
  std::string_view group, kind, plural;
  Shape shape;
  bool cluster_scoped = false;
  bool has_conditions() const { return shape != Shape::kIngress && shape != Shape::kNone; }
};
const std::vector<StatusKind>& status_kinds();
const StatusKind* status_kind(const ObjectKey& key);  // null: there is nothing to say of such objects

// "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/app", in the version that the object was read in.
std::string object_path(const Object& object, const StatusKind& kind);

struct Address {
  std::string type;  // "IPAddress" or "Hostname"
  std::string value;
  bool operator==(const Address&) const = default;
};
Address address_of(std::string text);  // by its form

// Says on a Gateway or IngressClass which addresses its data plane has, "192.0.2.1, 2001:db8::1": for whoever runs it. It comes before what a Gateway
// asks for and what operators say of all.
inline constexpr std::string_view kAddressesAnnotation = "fairlead.io/addresses";
std::vector<Address> announced(const Object& object);
// Where that is said and the Gateway asks for an address that is not among them: Programmed=False, AddressNotUsable.
void check_addresses(const Object& gateway, StatusSink::Scopes& said);

// Of a Gateway whose data plane the control plane runs itself (adapters/provision): where it is reached, and what is in the way of that.
struct Plane {
  std::vector<Address> addresses;
  std::string missing;  // why there is none
  std::string trouble;  // why its objects are not as they shall be
  std::string note = {};  // what else there is to know of them: "its Service's ports are these of the nodes: 80/TCP is 30080"
  bool unknown = false;   // it is not known yet where it is reached: what its status says holds
  bool operator==(const Plane&) const = default;
};
// Programmed=False where there is trouble (DataPlaneFailed), no address (AddressNotAssigned), or not (yet) one that the Gateway asks for (AddressNotUsable).
void check_plane(const Object& gateway, const Plane& plane, StatusSink::Scopes& said);
// Its note stands in the Programmed of the Gateway, where that is not False; after join().
void add_note(const Plane& plane, StatusSink::Scopes& said);

struct Shaping {
  std::string controller;          // whose entries are ours: "fairlead.io/gateway-controller"
  std::vector<Address> addresses;  // of Gateways that do not ask for one, and of Ingresses
  std::vector<std::string> features;  // that a class supports beyond what its vocabulary says
  std::string now;                 // RFC 3339, for conditions whose status changes
  std::optional<Plane> plane;      // of this Gateway: its addresses and no others
  bool hold_programmed = false;    // a Programmed that is True stays as it is where Unknown is said
};

// What a condition says to people, who read no more than some thousand characters.
std::string message_of(const Condition& condition);

// A condition whose status is another than the present one's.
struct Transition {
  std::string type, reason, message;
  Truth from = Truth::kUnknown, to = Truth::kUnknown;
  std::string where;  // "listener web", "Gateway shop/edge"; empty: the object itself
};

struct Shaped {
  doc::Value status;     // what to apply
  bool differs = false;  // from the present one
  bool held = false;     // because of hold_programmed
  bool stale = false;    // the present one speaks of a newer generation than we know: nothing is to be written
  size_t left_out = 0;   // entries for which others have left no room
  std::vector<Transition> transitions;
};
// `object`: the newest version that the source has, `present`: the newest body that is known, its status included.
Shaped shape_status(const Object& object, const StatusKind& kind, const StatusSink::Scopes& said, const doc::Value& present, const Shaping& shaping);

// The body of the server-side apply. Atomic lists are written only over the version that they were made from.
std::string apply_body(const Object& object, const StatusKind& kind, const doc::Value& present, const doc::Value& status);

// The Gateway that a parent is or, being a ListenerSet of these objects, belongs to.
ObjectKey gateway_of(const ObjectSnapshot& objects, const ObjectKey& parent);

// Names of a Gateway's listeners in the order of its spec.
std::vector<std::string> listener_names(const Object& gateway);

}  // namespace fairlead::adapters::kubernetes
