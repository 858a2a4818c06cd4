// What a Gateway's own data plane consists of: from the Gateway, its class, GatewayParameters and what is said of its listeners to the objects that
// are to exist for it in the cluster, and from what the cluster made of its Service to where it is reached. Pure; any thread.
// Invariants: the same world gives the same objects, byte for byte; each object is in the Gateway's namespace and owned by it, so that it goes with
// it; where parameters cannot be had, nothing is said about the objects, so that those there are stay as they are.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "adapters/object/object.h"
#include "adapters/object/status.h"
#include "adapters/object/store.h"
#include "adapters/provision/parameters.h"
#include "base/doc.h"

namespace fairlead::adapters::provision {

inline constexpr std::string_view kManager = "fairlead-control";
// On everything that is made here, by which it is found again.
inline constexpr std::string_view kManagedByLabel = "app.kubernetes.io/managed-by";

struct ManagedKind {
  std::string_view group, version, kind, plural;
};
const std::vector<ManagedKind>& managed_kinds();
const ManagedKind* managed_kind(const ObjectKey& key);  // null: never made here
// "/apis/apps/v1/namespaces/shop/deployments/edge-fairlead"
std::string object_path(const ManagedKind& kind, const ObjectKey& key);

// What the control plane's own flags say.
struct Options {
  std::string controller;   // of classes that are ours
  std::string image;        // of fairlead-proxy, where parameters name none
  std::string xds_address;  // of the control plane, as pods reach it
  // How proxies show who they are: not at all (plaintext), by a Secret of that name in each Gateway's namespace, or by one that is made for each.
  enum class Tls { kNone, kSecret, kIssued };
  Tls tls = Tls::kNone;
  std::string tls_secret;
  uint16_t readiness_port = 19003;  // of every pod, beside the listeners' ports
  // Whether Gateways whose Service is of type NodePort are reached at the nodes' addresses, which may be read then; else at the Service's own.
  bool node_addresses = false;
};
absl::Status check_options(const Options& options);

class Nodes;

struct Plan {
  ObjectPtr gateway;
  // kAttached: there are to be no objects, as for Gateways of others; kHeld: those there are stay as they are.
  enum class State { kManaged, kAttached, kHeld };
  State state = State::kAttached;
  std::string why;   // of kHeld
  std::string name;  // of every object
  std::string class_name;
  Parameters parameters;
  std::set<std::pair<int64_t, std::string>> ports;  // with "TCP" or "UDP"
  std::array<ObjectPtr, 3> sources;  // the Gateway, the class's parameters and its own: with the class and the ports, all that its objects are made of
};

// Of every Gateway there is. `said`: what the vocabulary says of listeners; those that are not accepted have no port.
std::vector<Plan> survey(const ObjectSnapshot& objects, const StatusSink& said, const Options& options);

// Proof of who a Gateway's proxies are, PEM.
struct Credentials {
  std::string certificate, key;
  std::string authority;  // of the control plane
};
ObjectKey credentials_key(const Plan& plan);          // of the Secret
std::string identity_of(const ObjectKey& gateway);    // the URI in its certificate: "spiffe://fairlead.io/ns/shop/gateway/edge"

// Of a plan that is kManaged. `credentials`: with Tls::kIssued.
absl::StatusOr<std::vector<doc::Value>> make_objects(const Plan& plan, const Options& options, const Credentials* credentials = nullptr);

// Where a Gateway with a data plane of its own is reached.
struct Reach {
  std::vector<std::string> addresses;
  std::string missing;  // why there is none (yet)
  std::string note;     // what else is worth knowing of them
  bool unknown = false;  // it is not known yet: what was said of it holds
};
// Nothing: others run its proxies, and know. `nodes`: what is known of them, with Options::node_addresses; null: nothing yet.
std::optional<Reach> reach(const ObjectSnapshot& objects, const ObjectKey& gateway, const Options& options, const Nodes* nodes = nullptr);

}  // namespace fairlead::adapters::provision
