// Listeners that share a port, hostnames that several listeners cover, and the clusters their routes need.
#include "controlplane/plan/plan.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include <absl/container/flat_hash_map.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace fairlead::plan {
namespace {

// A cluster as it was planned, and who uses it in this round.
struct ClusterMemory {
  std::shared_ptr<const Cluster> planned;    // null: it never was
  std::vector<const intent::Origin*> users;  // that it was planned for
  uint64_t round = 0;                        // that it was used in
  std::vector<const intent::Origin*> now;
  Cluster next;                              // without origins
  uint64_t topology = 0;                     // the generation of what `next` says of the service, and of:
  bool unknown = false;
};

// What one virtual host of the intent comes to in a table.
struct HostMemory {
  struct Use {
    ClusterMemory* cluster;
    intent::BackendProtocol protocol;
    const intent::Origin* origin;
  };
  Shared<VirtualHost> planned;
  HttpFilters filters;
  std::vector<Use> uses;
  bool lacks_backend = false;  // a share of it
  uint64_t round = 0;
};

// What a table's origins are made of.
struct Source {
  intent::Origin listener;
  intent::VirtualHosts hosts;
  bool operator==(const Source&) const = default;
};

struct TableMemory {
  absl::flat_hash_map<const intent::VirtualHost*, HostMemory> hosts;
  std::vector<Shared<VirtualHost>> planned;
  std::vector<Source> sources;
  intent::Origins origins;
  uint64_t round = 0;
};

}  // namespace

// Whatever is remembered by pointer belongs to `gateway`, the one planned last.
struct Planner::Memory {
  intent::GatewayPtr gateway;
  uint64_t round = 0;
  std::map<std::pair<intent::BackendKey, bool>, ClusterMemory> clusters;  // true: passed on
  std::map<std::string, TableMemory> tables;
};

namespace {

using intent::Finding;
using intent::Severity;

// What one hostname covers: "" and "*" everything, "*.a" all below a, else itself.
bool covers(std::string_view pattern, std::string_view hostname) {
  if (pattern.empty() || pattern == "*" || pattern == hostname) return true;
  if (!pattern.starts_with("*.")) return false;
  const std::string_view suffix = pattern.substr(1);
  return hostname.size() > suffix.size() && hostname.ends_with(suffix);
}

// Listeners of one family can share a port: HTTPS and TLS are told apart by server names.
intent::Protocol family(const intent::Listener& l) { return l.protocol == intent::Protocol::kHttps ? intent::Protocol::kTls : l.protocol; }

std::string domain_of(std::string_view hostname) { return hostname.empty() ? "*" : std::string(hostname); }

struct At {
  std::string address;
  uint16_t number = 0;
  bool udp = false;
  auto operator<=>(const At&) const = default;
};

// Gathers the listeners of one address and port.
struct Port {
  const intent::Listener* first = nullptr;
  std::vector<const intent::Listener*> listeners;
};

// The hostnames of a table. None: it has no routes.
using Hosts = std::map<std::string, std::optional<Shared<VirtualHost>>>;

}  // namespace

class Round {
 public:
  Round(const intent::Gateway& gateway, const topology::View& topology, Planner::Memory& memory) : gateway_(gateway), topology_(topology), memory_(memory) {
    plan_.scope = gateway.key;
    ++memory_.round;
  }

  Plan make() {
    for (const intent::Listener& listener : gateway_.listeners) place(listener);
    for (const auto& [at, port] : ports_) add_listener(at, port);
    if (gateway_.key.mesh()) finish_mesh();
    add_clusters();
    take_secrets();
    std::erase_if(memory_.tables, [&](const auto& table) { return table.second.round != memory_.round; });
    std::erase_if(memory_.clusters, [&](const auto& cluster) { return cluster.second.round != memory_.round; });
    return std::move(plan_);
  }

 private:
  void find(Severity severity, const intent::Origin& origin, std::string reason, std::string message) {
    plan_.findings.push_back({severity, origin, gateway_.key.str(), std::move(reason), std::move(message)});
  }

  // Decides whether the listener gets a place on its port, or says who has it.
  void place(const intent::Listener& listener) {
    const bool udp = listener.protocol == intent::Protocol::kUdp;
    for (const auto& [at, port] : ports_) {
      if (gateway_.key.mesh()) break;  // theirs are cluster IPs and names
      const bool wildcard = at.address == "0.0.0.0" || at.address == "::" || listener.address == "0.0.0.0" || listener.address == "::";
      if (at.udp == udp && at.number == listener.port && at.address != listener.address && wildcard) {
        find(Severity::kError, listener.origin, "AddressConflict",
             absl::StrCat("listener \"", listener.name, "\": ", listener.address, ":", listener.port, " overlaps with ", at.address, ":",
                          at.number, " of listener \"", port.first->name, "\""));
        return;
      }
    }
    Port& port = ports_[{listener.address, listener.port, udp}];
    if (port.first && family(*port.first) != family(listener)) {
      find(Severity::kError, listener.origin, "ProtocolConflict",
           absl::StrCat("listener \"", listener.name, "\": port ", listener.port, " speaks ", intent::protocol_name(port.first->protocol), " for listener \"",
                        port.first->name, "\" (", port.first->origin.place(), ")"));
      return;
    }
    for (const intent::Listener* other : port.listeners) {
      if (domain_of(other->hostname) == domain_of(listener.hostname)) {
        find(Severity::kError, listener.origin, "HostnameConflict",
             absl::StrCat("listener \"", listener.name, "\": hostname \"", domain_of(listener.hostname), "\" on port ", listener.port,
                          " belongs to listener \"", other->name, "\" (", other->origin.place(), ")"));
        return;
      }
    }
    if (!port.first) port.first = &listener;
    port.listeners.push_back(&listener);
  }

  void add_listener(const At& at, const Port& port) {
    Listener listener;
    listener.name = name_of(at, port);
    if (gateway_.key.mesh()) listener.use = grpc() ? ListenerUse::kNamed : ListenerUse::kRedirected;
    listener.address = at.address;
    listener.more_addresses = port.first->more_addresses;
    listener.port = at.number;
    listener.udp = at.udp;
    for (const intent::Listener* l : port.listeners) intent::add_origin(listener.origins, l->origin);
    switch (family(*port.first)) {
      case intent::Protocol::kTcp:
      case intent::Protocol::kUdp:
        add_bytes(listener, *port.first);
        break;
      case intent::Protocol::kTls:
        for (const intent::Listener* l : port.listeners) {
          if (l->protocol == intent::Protocol::kHttps) {
            add_https(listener, port, *l);
          } else {
            add_tls(listener, port, *l);
          }
        }
        break;
      default:
        add_http(listener, port);
    }
    plan_.listeners.push_back(std::move(listener));
  }

  bool grpc() const { return gateway_.key.audience == intent::Audience::kMeshGrpc; }

  std::string name_of(const At& at, const Port& port) const {
    if (grpc()) return absl::StrCat(at.address, ":", at.number);
    if (gateway_.key.mesh()) return port.first->name;
    return absl::StrCat(gateway_.key.ns, "/", gateway_.key.name, "/", at.address, "/", at.number, at.udp ? "/udp" : "");
  }

  void finish_mesh() {
    if (grpc()) {
      // One listener by each name; the first has the others of its addresses.
      std::vector<Listener> more;
      for (Listener& l : plan_.listeners) {
        for (const std::string& name : std::exchange(l.more_addresses, {})) {
          more.push_back(l);
          more.back().name = absl::StrCat(name, ":", l.port);
          more.back().address = name;
        }
      }
      plan_.listeners.insert(plan_.listeners.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
      if (lacks_backend_) {
        Cluster none;
        none.name = kInvalidBackend;
        none.key = {"fairlead", "invalid-backend", 0};
        made_up_.push_back(std::move(none));
      }
    } else {
      Listener outbound;
      outbound.name = kOutbound;
      outbound.use = ListenerUse::kOutbound;
      outbound.address = "127.0.0.1";  // where nftables redirects what leaves this machine
      outbound.port = kOutboundPort;
      outbound.shares = {{kOutbound, 1}};
      plan_.listeners.push_back(std::move(outbound));
      Cluster original;
      original.name = kOutbound;
      original.original = true;
      made_up_.push_back(std::move(original));
    }
    std::sort(plan_.listeners.begin(), plan_.listeners.end(), [](const Listener& a, const Listener& b) { return a.name < b.name; });
    std::sort(plan_.route_tables.begin(), plan_.route_tables.end(), [](const RouteTable& a, const RouteTable& b) { return a.name < b.name; });
  }

  void add_bytes(Listener& listener, const intent::Listener& from) {
    if (!from.l4_route) {
      listener.shares = {{kInvalidBackend, 1}};
      return;
    }
    intent::add_origin(listener.origins, from.l4_route->origin);
    if (listener.udp) {
      listener.shares = {{one_cluster(listener.name, *from.l4_route), 1}};
    } else {
      listener.shares = shares(from.l4_route->backends, from.l4_route->origin, false);
    }
  }

  // Envoy's udp_proxy knows one cluster for all datagrams: several services make one up. Shares without a backend are the others', then.
  std::string one_cluster(const std::string& listener, const intent::L4Route& route) {
    std::map<intent::BackendKey, uint32_t> members;
    for (const intent::WeightedBackend& b : route.backends) {
      if (b.backend && b.weight > 0) members[*b.backend] += b.weight;
    }
    if (members.empty()) return kInvalidBackend;
    if (members.size() == 1) return use(members.begin()->first, intent::BackendProtocol::kHttp1, route.origin);
    Cluster cluster;
    cluster.name = listener;
    cluster.members.assign(members.begin(), members.end());
    cluster.origins = {route.origin};
    for (const auto& [key, weight] : cluster.members) warn_unknown(key, route.origin);
    made_up_.push_back(std::move(cluster));
    return listener;
  }

  // Clusters of backends that get bytes; the invalid one where there is none.
  Shares shares(const std::vector<intent::WeightedBackend>& backends, const intent::Origin& origin, bool passed_on) {
    Shares out;
    for (const intent::WeightedBackend& b : backends) {
      if (b.weight > 0) out.emplace_back(b.backend ? use(*b.backend, b.protocol, origin, passed_on) : kInvalidBackend, b.weight);
    }
    if (out.empty()) out.emplace_back(kInvalidBackend, 1);
    return out;
  }

  void add_http(Listener& listener, const Port& port) {
    listener.route_table = gateway_.key.mesh() ? port.first->name : listener.name;
    RouteTable table;
    table.name = listener.route_table;
    table.listener_port = listener.port;
    table.grpc = grpc();
    TableMemory& memory = memory_of(table);
    // A listener's own hostname is a virtual host even without routes: it keeps wider listeners from answering for it.
    Hosts hosts;
    std::vector<Source> sources;
    for (const intent::Listener* l : port.listeners) {
      if (const std::string own = domain_of(l->hostname); own != "*" && port.listeners.size() > 1) hosts[own];
      sources.push_back(add_hosts(hosts, table, memory, port, *l));
    }
    listener.filters = table.filters;
    add_table(std::move(table), std::move(hosts), memory, std::move(sources));
  }

  TableMemory& memory_of(const RouteTable& table) {
    TableMemory& memory = memory_.tables[table.name];
    memory.round = memory_.round;
    return memory;
  }

  static std::string host_name(const RouteTable& table, std::string_view domain) { return absl::StrCat(table.name, "/", domain); }

  // The one of the table as it was; null: there was none.
  static const Shared<VirtualHost>* planned_before(const TableMemory& memory, std::string_view domain) {
    const auto at = std::lower_bound(memory.planned.begin(), memory.planned.end(), domain, [](const Shared<VirtualHost>& host, std::string_view d) { return host->domain < d; });
    return at != memory.planned.end() && (*at)->domain == domain ? &*at : nullptr;
  }

  void add_table(RouteTable table, Hosts hosts, TableMemory& memory, std::vector<Source> sources) {
    table.virtual_hosts.reserve(hosts.size());
    auto before = memory.planned.begin();
    for (auto& [domain, made] : hosts) {
      if (!made) made.emplace(VirtualHost{host_name(table, domain), domain, {}});
      while (before != memory.planned.end() && before->get() != made->get() && (*before)->domain < domain) ++before;
      const bool same = before != memory.planned.end() && *before == *made;
      table.virtual_hosts.push_back(same ? *before : std::move(*made));
    }
    memory.planned = table.virtual_hosts;
    absl::erase_if(memory.hosts, [&](const auto& host) { return host.second.round != memory_.round; });
    if (memory.sources != sources) {
      memory.origins = intent::Origins::later([sources] {
        intent::UniqueOrigins origins;
        for (const Source& source : sources) {
          origins.add(source.listener);
          for (const auto& host : source.hosts) {
            for (const auto& route : host->routes) origins.add(route->origin);
          }
        }
        return origins.take();
      });
      memory.sources = std::move(sources);
    }
    table.origins = memory.origins;
    plan_.route_tables.push_back(std::move(table));
  }

  // A listener's own table: the server name has chosen the listener already.
  void add_https(Listener& to, const Port& port, const intent::Listener& l) {
    RouteTable table;
    table.name = absl::StrCat(to.name, "/", l.name);
    table.listener_port = to.port;
    table.https = true;
    TableMemory& memory = memory_of(table);
    Hosts hosts;
    if (const std::string own = domain_of(l.hostname); own != "*" && port.listeners.size() > 1) hosts[own];
    std::vector<Source> sources = {add_hosts(hosts, table, memory, port, l)};
    to.chains.push_back({l.name, l.hostname, l.tls, table.name, {}, table.filters});
    // Clients that reuse a connection for every name its certificate has shall open another one for a host of another listener.
    for (const intent::Listener* other : port.listeners) {
      const std::string domain = domain_of(other->hostname);
      if (other == &l || hosts.contains(domain)) continue;
      intent::Route misdirected;
      misdirected.name = "misdirected";
      misdirected.origin = other->origin;
      misdirected.direct_response = intent::DirectResponse{421, ""};
      hosts[domain].emplace(VirtualHost{host_name(table, domain), domain, {std::move(misdirected)}});
    }
    add_table(std::move(table), std::move(hosts), memory, std::move(sources));
  }

  void add_tls(Listener& to, const Port& port, const intent::Listener& l) {
    bool own = false;
    size_t made = 0;
    for (const intent::TlsRoute& route : l.tls_routes) {
      const std::string domain = domain_of(route.hostname);
      if (belongs_to_another(port, l, domain)) continue;
      own |= domain == domain_of(l.hostname);
      intent::add_origin(to.origins, route.origin);
      to.chains.push_back({absl::StrCat(l.name, "/", domain), domain == "*" ? "" : domain, l.tls, "", shares(route.backends, route.origin, !l.tls)});
      ++made;
    }
    if (!own && l.l4_route) {
      intent::add_origin(to.origins, l.l4_route->origin);
      to.chains.push_back({l.name, l.hostname, l.tls, "", shares(l.l4_route->backends, l.l4_route->origin, false)});
      return;
    }
    // Names of its hostname that no route has are nobody's, rather than those of a wider listener. And no listener is without a chain.
    if (!own && (made == 0 || (!l.hostname.empty() && port.listeners.size() > 1))) to.chains.push_back({l.name, l.hostname, l.tls, "", {{kInvalidBackend, 1}}});
  }

  // Another listener of the port is the more specific one for this hostname.
  static bool belongs_to_another(const Port& port, const intent::Listener& listener, const std::string& domain) {
    return std::any_of(port.listeners.begin(), port.listeners.end(), [&](const intent::Listener* other) {
      return other != &listener && !other->hostname.empty() && covers(other->hostname, domain) && covers(listener.hostname, other->hostname);
    });
  }

  // Those of a listener; what of it counts among the table's origins.
  Source add_hosts(Hosts& hosts, RouteTable& table, TableMemory& memory, const Port& port, const intent::Listener& listener) {
    Source source{listener.origin, {}};
    source.hosts.reserve(listener.virtual_hosts.size());
    for (const Shared<intent::VirtualHost>& v : listener.virtual_hosts) {
      const std::string domain = domain_of(v->hostname);
      if (belongs_to_another(port, listener, domain)) continue;
      source.hosts.push_back(v);
      const HostMemory& host = host_of(table, memory, *v, domain);
      table.filters.cors |= host.filters.cors;
      table.filters.sessions |= host.filters.sessions;
      lacks_backend_ |= host.lacks_backend;
      for (const HostMemory::Use& u : host.uses) use(*u.cluster, u.protocol, *u.origin);
      std::optional<Shared<VirtualHost>>& at = hosts.try_emplace(hosts.end(), domain)->second;  // they come in their order
      if (!at || (*at)->routes.empty()) {
        at = host.planned;
        continue;
      }
      VirtualHost both = **at;
      both.routes.insert(both.routes.end(), host.planned->routes.begin(), host.planned->routes.end());
      at.emplace(std::move(both));
    }
    return source;
  }

  const HostMemory& host_of(const RouteTable& table, TableMemory& memory, const intent::VirtualHost& v, const std::string& domain) {
    if (const auto known = memory.hosts.find(&v); known != memory.hosts.end()) {
      known->second.round = memory_.round;
      return known->second;
    }
    HostMemory host{VirtualHost{host_name(table, domain), domain, v.routes}, {}, {}, false, memory_.round};
    if (const Shared<VirtualHost>* before = planned_before(memory, domain); before && *before == host.planned) host.planned = *before;
    for (const Shared<intent::Route>& route : v.routes) {
      host.filters.cors |= route->cors.has_value();
      host.filters.sessions |= route->session.has_value();
      const bool forwards = !route->redirect && !route->direct_response;
      for (const intent::WeightedBackend& b : route->backends) {
        if (b.backend && forwards) host.uses.push_back({&cluster_of(*b.backend, false), b.protocol, &route->origin});
        host.lacks_backend |= forwards && !b.backend && b.weight > 0;  // the others may have none either: then it is an answer, and the cluster idle
      }
      for (const intent::Mirror& m : route->mirrors) host.uses.push_back({&cluster_of(m.backend, false), m.protocol, &route->origin});
    }
    return memory.hosts.emplace(&v, std::move(host)).first->second;
  }

  ClusterMemory& cluster_of(const intent::BackendKey& key, bool passed_on) {
    const auto [at, made] = memory_.clusters.try_emplace({key, passed_on});
    if (made) at->second.next.key = key;
    return at->second;
  }

  // The name of the cluster. `passed_on`: connections that bring their own TLS.
  std::string use(const intent::BackendKey& key, intent::BackendProtocol protocol, const intent::Origin& origin, bool passed_on = false) {
    ClusterMemory& cluster = cluster_of(key, passed_on && tls_of(key));
    use(cluster, protocol, origin, passed_on);
    return cluster.next.name;
  }

  void use(ClusterMemory& cluster, intent::BackendProtocol protocol, const intent::Origin& origin, bool passed_on = false) {
    if (cluster.round != memory_.round) begin(cluster, origin, passed_on);
    // One service port speaks one protocol: whoever knows of HTTP/2 decides.
    if (protocol == intent::BackendProtocol::kHttp2) cluster.next.protocol = protocol;
    cluster.now.push_back(&origin);
  }

  // Its first use.
  void begin(ClusterMemory& cluster, const intent::Origin& origin, bool passed_on) {
    cluster.round = memory_.round;
    cluster.now.clear();
    Cluster& next = cluster.next;
    const intent::BackendKey key = next.key;
    const intent::BackendTls* tls = tls_of(key);
    const intent::BackendTls* own = passed_on ? nullptr : tls;
    if (own) cluster.now.push_back(&own->origin);
    if (!next.name.empty() && cluster.topology == topology_.generation() && (own ? next.tls == *own : !next.tls)) {
      next.protocol = intent::BackendProtocol::kHttp1;
      if (cluster.unknown) warn_unknown(key, origin);
      return;
    }
    next = Cluster();
    next.name = passed_on && tls ? absl::StrCat(cluster_name(key), "/passed-on") : cluster_name(key);
    next.key = key;
    const topology::Service* service = topology_.find({key.ns, key.service});
    next.by_load = service && service->by_load && !key.udp;
    if (own) next.tls = *own;
    cluster.topology = topology_.generation();
    cluster.unknown = warn_unknown(key, origin);
  }

  const intent::BackendTls* tls_of(const intent::BackendKey& key) const {
    const auto tls = std::lower_bound(gateway_.backend_tls.begin(), gateway_.backend_tls.end(), key, [](const intent::BackendTls& t, const intent::BackendKey& k) { return t.backend < k; });
    return tls != gateway_.backend_tls.end() && tls->backend == key ? &*tls : nullptr;
  }

  void add_clusters() {
    plan_.clusters.reserve(memory_.clusters.size() + made_up_.size());
    for (auto& [key, cluster] : memory_.clusters) {
      if (cluster.round != memory_.round) continue;
      settle(cluster);
      plan_.clusters.emplace_back(cluster.planned);
    }
    for (Cluster& c : made_up_) plan_.clusters.emplace_back(std::move(c));
    // The order of their keys is nearly that of their names.
    const auto before = [](const Shared<Cluster>& a, const Shared<Cluster>& b) { return a->name < b->name; };
    if (!std::is_sorted(plan_.clusters.begin(), plan_.clusters.end(), before)) std::sort(plan_.clusters.begin(), plan_.clusters.end(), before);
  }

  // Users that are the same by pointer need not be looked at: they belong to the Gateway planned last, which is still there, and to this one.
  static void settle(ClusterMemory& c) {
    c.next.origins = c.planned ? c.planned->origins : intent::Origins();
    if (!c.planned || c.now != c.users || *c.planned != c.next) {
      intent::UniqueOrigins origins;
      for (const intent::Origin* origin : c.now) origins.add(*origin);
      if (std::vector<intent::Origin> list = origins.take(); list != c.next.origins.list()) c.next.origins = intent::Origins(std::move(list));
      if (!c.planned || *c.planned != c.next) c.planned = std::make_shared<const Cluster>(c.next);
    }
    c.users.swap(c.now);
  }

  bool warn_unknown(const intent::BackendKey& key, const intent::Origin& origin) {
    if (topology_.knows(key)) return false;
    find(Severity::kWarning, origin, "BackendUnknown",
         absl::StrCat("no endpoints are known for port ", key.port, " of service ", key.ns, "/", key.service,
                      key.udp ? "; datagrams for it are dropped" : "; requests to it are answered 503"));
    return true;
  }

  // A proxy is sent what its listeners and clusters name, nothing else of the Gateway's.
  void take_secrets() {
    std::set<std::string_view> named;
    for (const Listener& l : plan_.listeners) {
      for (const FilterChain& chain : l.chains) {
        if (!chain.tls) continue;
        named.insert(chain.tls->certificates.begin(), chain.tls->certificates.end());
        named.insert(chain.tls->trusted_clients);
      }
    }
    for (const Cluster& c : plan_.clusters) {
      if (c.tls) named.insert(c.tls->trusted_ca);
      if (c.tls) named.insert(c.tls->client_certificate);
    }
    for (const intent::Secret& secret : gateway_.secrets) {
      if (named.contains(secret.name)) plan_.secrets.push_back(secret);
    }
  }

  const intent::Gateway& gateway_;
  const topology::View& topology_;
  Planner::Memory& memory_;
  Plan plan_;
  std::map<At, Port> ports_;
  std::deque<Cluster> made_up_;  // of several services, and of none
  bool lacks_backend_ = false;   // some share
};

std::string cluster_name(const intent::BackendKey& key) { return key.str(); }

Planner::Planner() : memory_(std::make_unique<Memory>()) {}
Planner::~Planner() = default;
Planner::Planner(Planner&&) noexcept = default;
Planner& Planner::operator=(Planner&&) noexcept = default;

Plan Planner::plan(const intent::GatewayPtr& gateway, const topology::View& topology) {
  Plan plan = Round(*gateway, topology, *memory_).make();
  memory_->gateway = gateway;
  return plan;
}

Plan make_plan(const intent::Gateway& gateway, const topology::View& topology) {
  return Planner().plan(intent::GatewayPtr(intent::GatewayPtr(), &gateway), topology);  // which nobody looks at once its planner is gone
}

}  // namespace fairlead::plan
