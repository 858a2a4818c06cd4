// Intent + topology -> what one scope (one Gateway) needs: listeners, route tables, clusters, in proxy words but not in
// any wire form. Pure functions; conflicts are resolved here and told as findings, each with its Origin.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/shared.h"
#include "controlplane/intent/intent.h"
#include "controlplane/topology/topology.h"

namespace fairlead::plan {

using Shares = std::vector<std::pair<std::string, uint32_t>>;  // cluster and weight

// One cluster for each backend named by any route, mirrors included. A backend with TLS has a second one, "ns/service/port/passed-on", for
// connections that bring their own.
struct Cluster {
  std::string name;  // "ns/service/port"; "ns/service/port/udp"
  intent::BackendKey key;
  intent::BackendProtocol protocol = intent::BackendProtocol::kHttp1;
  std::optional<intent::BackendTls> tls;
  // Services and weights, instead of `key`: of a listener for datagrams, all of which go to one cluster, named after it.
  std::vector<std::pair<intent::BackendKey, uint32_t>> members = {};
  intent::Origins origins;  // every route that sends traffic here
  bool by_load = false;     // weights of localities count, and are made of what clients report
  bool original = false;    // connections go on to where they were meant for: no backend
  bool operator==(const Cluster&) const = default;
};

// One hostname of a route table. Routes are in the order they are tried; `listener_port` is what redirects fall back to.
struct VirtualHost {
  std::string name;
  std::string domain;  // "*", "*.example.com", "a.example.com"
  std::vector<Shared<intent::Route>> routes;
  bool operator==(const VirtualHost&) const = default;
};

// Which filters the routes of a table need besides the router.
struct HttpFilters {
  bool cors = false;
  bool sessions = false;
  bool operator==(const HttpFilters&) const = default;
};

struct RouteTable {
  std::string name;  // that of its listener; of HTTPS with "/LISTENER" of the Gateway
  uint16_t listener_port = 0;
  bool https = false;
  bool grpc = false;  // for gRPC clients, which know less of routes than proxies
  HttpFilters filters;
  std::vector<Shared<VirtualHost>> virtual_hosts;  // sorted by domain
  intent::Origins origins;                         // of its listeners and of all its routes
  bool operator==(const RouteTable&) const = default;
};

// What becomes of connections that ask for a name, of those of a port that are told apart by it.
struct FilterChain {
  std::string name;                      // the Gateway's listener's; with "/hostname" where there are several
  std::string server_name;               // "a.example.com", "*.example.com"; empty: any other, or none
  std::optional<intent::ServerTls> tls;  // none: the connection is passed on
  std::string route_table;               // HTTP; empty: to `shares`, as bytes
  Shares shares;
  HttpFilters filters = {};              // those of the table
  bool operator==(const FilterChain&) const = default;
};

enum class ListenerUse : uint8_t {
  kPort,        // a Gateway's: clients connect to it
  kOutbound,    // of a mesh: connections that were redirected come in here, and go on to where they were meant for, unless that is
  kRedirected,  // a Service's cluster IP and port: no socket of its own
  kNamed,       // what a gRPC client asks for by its name: no address
};

// One address and port; all of the Gateway's listeners there share it.
struct Listener {
  std::string name;  // "ns/gateway/address/port"; of UDP with "/udp"; of a mesh "ns/service/port", or what it is asked for by
  ListenerUse use = ListenerUse::kPort;
  std::string address;
  std::vector<std::string> more_addresses;
  uint16_t port = 0;
  bool udp = false;
  std::string route_table;          // of HTTP without TLS
  HttpFilters filters;              // those of the table
  std::vector<FilterChain> chains;  // of TLS, by server name; no two alike
  Shares shares;                    // of TCP and UDP; of UDP one
  intent::Origins origins;
  bool operator==(const Listener&) const = default;
};

struct Plan {
  intent::ScopeKey scope;
  std::vector<Listener> listeners;      // sorted by name
  std::vector<RouteTable> route_tables;  // sorted by name
  std::vector<Shared<Cluster>> clusters;  // sorted by name
  std::vector<intent::Secret> secrets;  // those that listeners and clusters name, sorted by name
  std::vector<intent::Finding> findings;
  bool operator==(const Plan&) const = default;
};
using PlanPtr = std::shared_ptr<const Plan>;

std::string cluster_name(const intent::BackendKey& key);
// The cluster a share without a backend is given to. No such cluster exists: its routes answer 500 for a missing one.
inline constexpr const char* kInvalidBackend = "fairlead/invalid-backend";
// Of mesh proxies: connections that are for no Service with routes, and where they go.
inline constexpr const char* kOutbound = "fairlead/outbound";
inline constexpr uint16_t kOutboundPort = 15001;  // Istio: virtualOutbound, which redirecting rules of others know

// Rules. HTTP listeners on one address and port share one proxy listener; of listeners that cannot (another protocol on
// the port, the same hostname twice) the first in the Gateway's order wins and the others get a finding. A hostname is
// answered by the most specific listener that covers it, even if that listener has no route for it. HTTPS and TLS listeners share a
// port by server names, each with a route table of its own: a request for a host of another of them is answered 421. A TCP listener has
// its port for itself, and so has a UDP one, beside whatever speaks TCP there. Backends the topology does not know get a warning; their
// clusters exist and are empty. Of mesh proxies each listener is one that connections are redirected to, beside the one that takes all of them;
// of gRPC clients each has every name that it is asked for by, and a share without backend a cluster without endpoints: such a client would wait for one
// that does not exist.
Plan make_plan(const intent::Gateway& gateway, const topology::View& topology);

// Plans of one Gateway, one after the other: a virtual host of the intent that is the same by pointer is not looked into again, and what comes out as
// it was keeps its pointers. Invariant: each is what make_plan() gives. One thread at a time.
class Planner {
 public:
  Planner();
  ~Planner();
  Planner(Planner&&) noexcept;
  Planner& operator=(Planner&&) noexcept;

  Plan plan(const intent::GatewayPtr& gateway, const topology::View& topology);

 private:
  friend class Round;
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

}  // namespace fairlead::plan
