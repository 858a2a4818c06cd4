// The Gateway API kinds we read, as plain structs: read strictly (every unknown field, wrong type or value the
// published CRDs refuse is an error with its place) and without a look at any other object. Pure; any thread.
// Invariant: a struct read without an error satisfies the CRDs' own rules (patterns, limits, CEL).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/object/object.h"
#include "controlplane/intent/intent.h"

namespace fairlead::adapters::gatewayapi {

inline constexpr std::string_view kGroup = "gateway.networking.k8s.io";
inline constexpr std::string_view kExperimentalGroup = "gateway.networking.x-k8s.io";
inline constexpr std::string_view kOurGroup = "fairlead.io";
inline constexpr std::string_view kParametersKind = "GatewayParameters";
inline constexpr std::string_view kControllerName = "fairlead.io/gateway-controller";

// Where a part stands, for origins and errors about what it refers to.
struct Spot {
  std::string field;  // "spec.rules[0].backendRefs[1]"
  int line = 0;
};

struct GatewayClass {
  std::string controller;
  Spot parameters_spot;
  std::optional<ObjectKey> parameters;  // parametersRef
};

// metav1.LabelSelector.
struct Requirement {
  std::string key;
  std::string op;  // In, NotIn, Exists, DoesNotExist
  std::vector<std::string> values;
};
struct Selector {
  std::map<std::string, std::string> labels;
  std::vector<Requirement> expressions;
  bool matches(const std::map<std::string, std::string>& labels_of) const;
};

enum class RoutesFrom { kSame, kAll, kSelector, kNone };
struct GroupKind {
  std::string group;
  std::string kind;
  auto operator<=>(const GroupKind&) const = default;
  std::string str() const { return group.empty() ? kind : group + "/" + kind; }
};

// A Secret or ConfigMap.
struct ObjectRef {
  Spot spot;
  GroupKind target;
  std::string ns;
  std::string name;
};

struct ListenerTls {
  Spot spot;
  bool passthrough = false;
  std::vector<ObjectRef> certificates;
  std::string min_version, max_version;    // "1.2", "1.3"; empty when not given
  std::vector<std::string> cipher_suites;
  std::vector<std::string> foreign_options;  // keys that are not ours
};

// Who may bring routes to a listener, or listeners to a Gateway.
struct Namespaces {
  RoutesFrom from = RoutesFrom::kSame;
  Selector selector;
};

struct Listener {
  Spot spot;
  std::string name;
  std::string hostname;  // lower case; "" for any
  uint16_t port = 0;
  std::string protocol;  // as written: HTTP, HTTPS, TLS, TCP, UDP or a domain-prefixed one
  Namespaces namespaces;
  std::optional<std::vector<GroupKind>> kinds;  // allowedRoutes.kinds when given
  std::optional<ListenerTls> tls;               // of protocols HTTPS and TLS, always
};

struct GatewayAddress {
  Spot spot;
  std::string type = "IPAddress";
  std::string value;
};

// Which certificates clients must show.
struct ClientValidation {
  Spot spot;
  std::vector<ObjectRef> authorities;
  bool insecure_fallback = false;
};

struct Gateway {
  std::string class_name;
  std::vector<Listener> listeners;
  std::vector<GatewayAddress> addresses;
  Namespaces listener_sets{RoutesFrom::kNone, {}};  // allowedListeners
  std::optional<ObjectRef> parameters;              // infrastructure.parametersRef
  std::optional<ObjectRef> client_certificate;      // tls.backend.clientCertificateRef
  std::optional<ClientValidation> clients;                           // tls.frontend.default
  std::map<uint16_t, std::optional<ClientValidation>> clients_of_port;  // tls.frontend.perPort, instead of it

  // Of the listeners of a port; null: clients need not show any.
  const ClientValidation* clients_at(uint16_t port) const;
};

struct ListenerSet {
  Spot spot;  // of the reference to its Gateway
  GroupKind target;
  std::string ns;
  std::string name;
  std::vector<Listener> listeners;
};

struct ParentRef {
  Spot spot;
  GroupKind target;
  std::string ns;
  std::string name;
  std::string section;  // "" when not given
  int port = 0;         // 0 when not given
};

struct BackendRef {
  Spot spot;
  GroupKind target;
  std::string ns;
  std::string name;
  int64_t port = 0;
  uint32_t weight = 1;
};

struct Mirror {
  BackendRef to;
  uint32_t numerator = 100;
  uint32_t denominator = 100;
};

// All filters of a rule or of one backend. Repeated kinds other than mirrors were refused on reading.
struct Filters {
  intent::HeaderModifier request_headers;
  intent::HeaderModifier response_headers;
  std::optional<intent::Redirect> redirect;
  std::optional<intent::UrlRewrite> rewrite;
  std::vector<Mirror> mirrors;
  std::optional<intent::Cors> cors;
  std::vector<Spot> extensions;  // ExtensionRef: nothing of ours goes by one
};

struct RuleBackend {
  BackendRef to;
  Filters filters;
};

// What precedence among GRPCRoutes looks at. A method's path is in the match as well.
struct GrpcName {
  int rank = 2;       // 0: exact, 1: a regular expression, 2: any
  size_t length = 0;  // characters
  auto operator<=>(const GrpcName&) const = default;
};
struct GrpcMethod {
  GrpcName service;
  GrpcName method;
};

struct RouteMatch {
  Spot spot;
  intent::Match match;
  GrpcMethod grpc = {};  // of GRPCRoutes
};

struct Rule {
  Spot spot;
  std::string name;
  std::vector<RouteMatch> matches;  // never empty: the default is every path
  Filters filters;
  std::vector<RuleBackend> backends;
  std::optional<std::chrono::milliseconds> request_timeout;
  std::optional<std::chrono::milliseconds> backend_timeout;
  std::optional<intent::Retry> retry;
  std::optional<intent::Session> session;
};

// An HTTPRoute, or a GRPCRoute in its words.
struct HttpRoute {
  bool grpc = false;
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;  // lower case
  std::vector<Rule> rules;             // never empty: the default is one rule for everything
};

struct TlsRoute {
  std::vector<ParentRef> parents;
  std::vector<std::string> hostnames;  // lower case
  Spot rule;                           // there is exactly one
  std::vector<BackendRef> backends;
};

// A TCPRoute or a UDPRoute.
struct L4Route {
  bool udp = false;
  std::vector<ParentRef> parents;
  Spot rule;  // there is exactly one
  std::vector<BackendRef> backends;
};

struct BackendTlsPolicy {
  struct Target {
    Spot spot;
    GroupKind kind;
    std::string name;
    std::string section;  // a port's name; "" for all ports
  };
  std::vector<Target> targets;
  Spot validation;
  std::vector<ObjectRef> authorities;  // caCertificateRefs
  std::string well_known;              // wellKnownCACertificates; "" when authorities are given
  std::string hostname;
  std::vector<intent::SubjectAltName> names;  // subjectAltNames, or the hostname
  std::vector<std::string> foreign_options;
};

struct ReferenceGrant {
  struct From {
    GroupKind kind;
    std::string ns;
  };
  struct To {
    GroupKind kind;
    std::string name;  // "" for every object of the kind
  };
  std::vector<From> from;
  std::vector<To> to;
};

// For Store::register_group(kGroup, …).
bool check_gateway_api(const Object& object, std::vector<Diagnostic>& out);
// For Store::register_group(kExperimentalGroup, …): its kinds are all refused by name.
bool check_experimental(const Object& object, std::vector<Diagnostic>& out);

// What is wrong is appended to `out`; the result is then only good for telling about it.
GatewayClass read_gateway_class(const Object& object, std::vector<Diagnostic>& out);
Gateway read_gateway(const Object& object, std::vector<Diagnostic>& out);
ListenerSet read_listener_set(const Object& object, std::vector<Diagnostic>& out);
HttpRoute read_http_route(const Object& object, std::vector<Diagnostic>& out);
HttpRoute read_grpc_route(const Object& object, std::vector<Diagnostic>& out);
L4Route read_l4_route(const Object& object, std::vector<Diagnostic>& out);
TlsRoute read_tls_route(const Object& object, std::vector<Diagnostic>& out);
BackendTlsPolicy read_backend_tls_policy(const Object& object, std::vector<Diagnostic>& out);
ReferenceGrant read_reference_grant(const Object& object, std::vector<Diagnostic>& out);

}  // namespace fairlead::adapters::gatewayapi
