// The neutral model every vocabulary translates to: what should be listened to and where requests should go, in no
// orchestrator's words and in no proxy's. Immutable values once handed over (GatewayPtr); any thread may read.
// An adapter has already resolved references, permissions and precedence: routes are in the order they are to be tried.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/doc.h"
#include "base/shared.h"
#include "controlplane/intent/origin.h"

namespace fairlead::intent {

// Whom a scope is for: the proxies of a Gateway, or clients of the mesh, which call Services from where they run.
enum class Audience : uint8_t {
  kGateway,
  kMeshProxy,  // proxies that connections to Services are redirected to
  kMeshGrpc,   // gRPC clients that ask for Services by name
};

// A set of proxies that see the same configuration is named after its Gateway; one of mesh clients after the namespace they run in, without
// `name`. Those of namespaces that have no scope of their own share the one without either.
struct ScopeKey {
  std::string ns;
  std::string name;
  Audience audience = Audience::kGateway;
  auto operator<=>(const ScopeKey&) const = default;
  bool operator==(const ScopeKey&) const = default;
  bool mesh() const { return audience != Audience::kGateway; }
  std::string str() const;    // "ns/name"; "mesh:ns", "mesh:*", "mesh-grpc:ns"
  std::string scope() const;  // "gateway:ns/name"; else the same
  // That of a key by its str(): no Gateway's has a colon.
  static std::string scope_of(std::string_view key);
  template <typename H>
  friend H AbslHashValue(H h, const ScopeKey& k) {
    return H::combine(std::move(h), k.ns, k.name, k.audience);
  }
};

// One port of one service: the key of the topology and the name of a cluster.
struct BackendKey {
  std::string ns;
  std::string service;
  uint16_t port = 0;
  bool udp = false;  // a service may have a TCP and a UDP port of one number
  auto operator<=>(const BackendKey&) const = default;
  bool operator==(const BackendKey&) const = default;
  std::string str() const { return ns + "/" + service + "/" + std::to_string(port) + (udp ? "/udp" : ""); }
  template <typename H>
  friend H AbslHashValue(H h, const BackendKey& k) {
    return H::combine(std::move(h), k.ns, k.service, k.port, k.udp);
  }
};

// --- matches ----------------------------------------------------------------------------------------------------

enum class PathMatchType {
  kExact,
  kPrefix,  // by path element: "/foo" matches /foo and /foo/bar, not /foobar; a trailing slash in `value` is ignored
  kRegex,   // RE2, whole path
};
struct PathMatch {
  PathMatchType type = PathMatchType::kPrefix;
  std::string value = "/";
  bool operator==(const PathMatch&) const = default;
};

enum class ValueMatchType { kExact, kRegex };
// A header or a query parameter. Header names are compared without case.
struct ValueMatch {
  std::string name;
  ValueMatchType type = ValueMatchType::kExact;
  std::string value;
  bool operator==(const ValueMatch&) const = default;
};

struct Match {
  PathMatch path;
  std::vector<ValueMatch> headers;
  std::vector<ValueMatch> query;
  std::string method;  // "GET"; empty for any
  bool operator==(const Match&) const = default;
};

// --- filters ----------------------------------------------------------------------------------------------------

struct HeaderValue {
  std::string name;
  std::string value;  // literal: '%' has no meaning here and is escaped on the way out
  bool operator==(const HeaderValue&) const = default;
};
struct HeaderModifier {
  std::vector<HeaderValue> set;  // replace, or add when absent
  std::vector<HeaderValue> add;  // append
  std::vector<std::string> remove;
  bool empty() const { return set.empty() && add.empty() && remove.empty(); }
  bool operator==(const HeaderModifier&) const = default;
};

enum class PathRewriteType { kFull, kPrefix };
// kPrefix replaces the prefix that the route's (prefix) path match matched; "" and "/" both cut it off.
struct PathRewrite {
  PathRewriteType type = PathRewriteType::kFull;
  std::string value;
  bool operator==(const PathRewrite&) const = default;
};

// What is left out keeps the request's own. Without a port: the scheme's well-known port when a scheme is given,
// else the port of the listener (Gateway API, HTTPRequestRedirectFilter.port); plan/ applies that rule.
struct Redirect {
  std::string scheme;
  std::string hostname;
  std::optional<uint16_t> port;
  std::optional<PathRewrite> path;
  int status = 302;  // 301, 302, 303, 307, 308
  bool operator==(const Redirect&) const = default;
};

struct UrlRewrite {
  std::string hostname;
  std::optional<PathRewrite> path;
  bool operator==(const UrlRewrite&) const = default;
};

enum class BackendProtocol { kHttp1, kHttp2 };

struct Mirror {
  BackendKey backend;
  uint32_t numerator = 100;
  uint32_t denominator = 100;
  BackendProtocol protocol = BackendProtocol::kHttp1;
  bool operator==(const Mirror&) const = default;
};

struct DirectResponse {
  int status = 500;
  std::string body;
  bool operator==(const DirectResponse&) const = default;
};

// Who may read responses in a browser. Preflight requests are answered, never passed on.
struct Cors {
  std::vector<std::string> origins;  // "https://shop.example", "https://*.example" (any number of labels), "*"
  std::vector<std::string> methods;  // "*" alone: all
  std::vector<std::string> request_headers;
  std::vector<std::string> response_headers;
  bool credentials = false;
  int max_age = 5;  // seconds that a preflight's answer holds
  bool operator==(const Cors&) const = default;
};

// Connection errors and tries that took too long are always tried again.
struct Retry {
  std::vector<int> statuses;  // and responses with one of these
  uint32_t attempts = 1;      // after the first try
  std::optional<std::chrono::milliseconds> backoff;
  bool operator==(const Retry&) const = default;
};

// Keeps a client on the endpoint that served it first.
struct Session {
  bool cookie = true;  // else a header
  std::string name;    // of the cookie or the header
  std::string path;    // of the cookie
  std::optional<std::chrono::milliseconds> lifetime;  // of a cookie that outlives the browser
  bool operator==(const Session&) const = default;
};

// --- backends and routes ----------------------------------------------------------------------------------------

// One share of a route's traffic. A share without `backend` (a reference that does not resolve) answers Route::without_backend;
// the adapter has told its author already.
struct WeightedBackend {
  std::optional<BackendKey> backend;
  uint32_t weight = 1;
  BackendProtocol protocol = BackendProtocol::kHttp1;
  HeaderModifier request_headers;
  HeaderModifier response_headers;
  bool operator==(const WeightedBackend&) const = default;
};

// One match of one rule. Exactly one of redirect, direct_response and backends decides the answer, in that order;
// none of them, or only zero weights, answers `without_backend`.
struct Route {
  std::string name;  // stable and unique within its listener: "default/app/rule/0/match/1"
  Origin origin;
  Match match;
  HeaderModifier request_headers;
  HeaderModifier response_headers;
  std::optional<Redirect> redirect;
  std::optional<DirectResponse> direct_response;
  std::optional<UrlRewrite> rewrite;
  std::vector<Mirror> mirrors;
  std::optional<std::chrono::milliseconds> request_timeout;  // whole request; 0 = none; unset = the proxy's default
  std::optional<std::chrono::milliseconds> backend_timeout;  // one try
  std::optional<Retry> retry;
  std::optional<Cors> cors;
  std::optional<Session> session;
  int without_backend = 500;  // 503 for gRPC, whose clients shall see UNAVAILABLE
  std::vector<WeightedBackend> backends;
  bool operator==(const Route&) const = default;
};

// Routes for one hostname of one listener: "*", "*.example.com" or "a.example.com", lower case.
struct VirtualHost {
  std::string hostname = "*";
  std::vector<Shared<Route>> routes;  // in the order they are tried
  bool operator==(const VirtualHost&) const = default;
};
using VirtualHosts = std::vector<Shared<VirtualHost>>;

// --- TLS --------------------------------------------------------------------------------------------------------

// Material that proxies fetch by name, checked already: a certificate with its key, or certificates to trust.
struct Secret {
  std::string name;               // "ns/name" of a Secret, "ns/name/ca.crt" of a ConfigMap
  Origins origins;
  std::string certificate_chain;  // PEM; with `private_key`
  std::string private_key;        // PEM; in no document, log or message
  std::string trusted_ca;         // PEM; instead of the two
  bool operator==(const Secret&) const = default;
};

// A listener that ends TLS.
struct ServerTls {
  std::vector<std::string> certificates;   // names of secrets, never none
  std::string min_version, max_version;    // "1.2", "1.3"; empty: the proxy's own
  std::vector<std::string> cipher_suites;  // of TLS 1.2, in OpenSSL's names; empty: the proxy's own
  std::string trusted_clients;             // the secret of those who issue clients' certificates; empty: none is asked for
  bool require_client = true;              // else clients without, and with any, are let in too
  bool operator==(const ServerTls&) const = default;
};

enum class SubjectAltNameType { kDns, kUri };
struct SubjectAltName {
  SubjectAltNameType type = SubjectAltNameType::kDns;
  std::string value;
  bool operator==(const SubjectAltName&) const = default;
};

// How connections to one backend are secured, whoever's route they serve.
struct BackendTls {
  BackendKey backend;
  Origin origin;
  std::string server_name;            // SNI
  std::string trusted_ca;             // a secret's name; empty: what the proxy's system trusts
  std::vector<SubjectAltName> names;  // one of which the certificate must have; never none
  std::string client_certificate = {};  // a secret's name; empty: none is shown
  bool operator==(const BackendTls&) const = default;
};

// Connections by the name their ClientHello asks for, to be passed on as they are or, where the listener ends TLS, in plain.
struct TlsRoute {
  std::string hostname = "*";  // as that of a VirtualHost
  Origin origin;
  std::vector<WeightedBackend> backends;  // a share without backend, and none at all, closes the connection
  bool operator==(const TlsRoute&) const = default;
};

// All connections or datagrams of a listener, told apart by nothing.
struct L4Route {
  Origin origin;
  std::vector<WeightedBackend> backends;  // as those of a TlsRoute
  bool operator==(const L4Route&) const = default;
};

enum class Protocol { kHttp, kHttps, kTls, kTcp, kUdp };
std::string_view protocol_name(Protocol p);  // "HTTP", …

// Of a mesh scope: a port of a Service, "ns/service/port", whose routes are those of one virtual host "*". `address` and `more_addresses` are then where
// its clients find it: for proxies its cluster IPs, for gRPC the names that it is asked for by.
struct Listener {
  std::string name;
  Origin origin;
  std::string address = "0.0.0.0";  // an IP address
  std::vector<std::string> more_addresses;  // besides that one; all listeners of a Gateway have the same
  uint16_t port = 0;
  Protocol protocol = Protocol::kHttp;
  std::string hostname;                    // "" for any, else "*.example.com" or "a.example.com", lower case
  std::optional<ServerTls> tls;            // HTTPS, and TLS that ends here; TLS without is passed on
  VirtualHosts virtual_hosts;              // HTTP, HTTPS; intersected with `hostname` already; one entry per hostname
  std::vector<TlsRoute> tls_routes;        // TLS; the same
  std::optional<L4Route> l4_route;         // TCP, UDP; TLS that ends here, for names that no TLS route has
  bool operator==(const Listener&) const = default;
};

struct Gateway {
  ScopeKey key;
  std::string gateway_class;
  Origin origin;
  std::vector<Listener> listeners;  // in the Gateway's own order: of two that conflict the first wins
  std::vector<BackendTls> backend_tls;  // of backends its routes name, sorted by them
  std::vector<Secret> secrets;          // all that is named above, sorted by name; nothing else
  bool operator==(const Gateway&) const = default;
};
using GatewayPtr = std::shared_ptr<const Gateway>;

// Everything all vocabularies want, by scope. Equal pointers mean equal content: planning skips them.
struct Model {
  std::map<ScopeKey, GatewayPtr> gateways;
};

// A deterministic document of an intent, for golden files and `translate`. Fields at their defaults are left out,
// order is that of the structs; of secrets it says what they hold, not what it is. Origins are written as `origin: "HTTPRoute ns/name: field"`, without file and line, so that
// moving text in a file changes no golden.
doc::Value to_doc(const Gateway& gateway);
doc::Value to_doc(const Model& model);
std::string to_yaml(const Model& model);

}  // namespace fairlead::intent
