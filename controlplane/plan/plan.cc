// Listeners that share a port, hostnames that several listeners cover, and the clusters their routes need.
#include "controlplane/plan/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

namespace fairlead::plan {
namespace {

// Origins, each once, of what may have thousands: intent::add_origin() looks at all there are.
class UniqueOrigins {
 public:
  void add(const intent::Origin& origin) {
    if (seen_.insert(origin).second) list_.push_back(origin);
  }
  intent::Origins take() { return std::move(list_); }

 private:
  intent::Origins list_;
  std::set<intent::Origin> seen_;
};

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

class Planner {
 public:
  Planner(const intent::Gateway& gateway, const topology::View& topology) : gateway_(gateway), topology_(topology) {
    plan_.scope = gateway.key;
  }

  Plan make() {
    for (const intent::Listener& listener : gateway_.listeners) place(listener);
    for (const auto& [at, port] : ports_) add_listener(at, port);
    for (auto& [key, cluster] : clusters_) plan_.clusters.push_back(std::move(cluster));
    take_secrets();
    std::sort(plan_.clusters.begin(), plan_.clusters.end(), [](const Cluster& a, const Cluster& b) { return a.name < b.name; });
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
    listener.name = absl::StrCat(gateway_.key.ns, "/", gateway_.key.name, "/", at.address, "/", at.number, at.udp ? "/udp" : "");
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
    plan_.clusters.push_back(std::move(cluster));
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
    listener.route_table = listener.name;
    RouteTable table;
    table.name = listener.name;
    table.listener_port = listener.port;
    // A listener's own hostname is a virtual host even without routes: it keeps wider listeners from answering for it.
    std::map<std::string, VirtualHost> hosts;
    UniqueOrigins origins;
    for (const intent::Listener* l : port.listeners) {
      origins.add(l->origin);
      if (const std::string own = domain_of(l->hostname); own != "*" && port.listeners.size() > 1) host(hosts, own);
      for (const intent::VirtualHost& v : l->virtual_hosts) add_host(hosts, table, origins, port, *l, v);
    }
    table.origins = origins.take();
    listener.filters = table.filters;
    add_table(std::move(table), std::move(hosts));
  }

  void add_table(RouteTable table, std::map<std::string, VirtualHost> hosts) {
    for (auto& [domain, host] : hosts) {
      host.name = absl::StrCat(table.name, "/", domain);
      table.virtual_hosts.push_back(std::move(host));
    }
    plan_.route_tables.push_back(std::move(table));
  }

  // A listener's own table: the server name has chosen the listener already.
  void add_https(Listener& to, const Port& port, const intent::Listener& l) {
    RouteTable table;
    table.name = absl::StrCat(to.name, "/", l.name);
    table.listener_port = to.port;
    table.https = true;
    UniqueOrigins origins;
    origins.add(l.origin);
    std::map<std::string, VirtualHost> hosts;
    if (const std::string own = domain_of(l.hostname); own != "*" && port.listeners.size() > 1) host(hosts, own);
    for (const intent::VirtualHost& v : l.virtual_hosts) add_host(hosts, table, origins, port, l, v);
    table.origins = origins.take();
    to.chains.push_back({l.name, l.hostname, l.tls, table.name, {}, table.filters});
    // Clients that reuse a connection for every name its certificate has shall open another one for a host of another listener.
    for (const intent::Listener* other : port.listeners) {
      const std::string domain = domain_of(other->hostname);
      if (other == &l || hosts.contains(domain)) continue;
      intent::Route misdirected;
      misdirected.name = "misdirected";
      misdirected.origin = other->origin;
      misdirected.direct_response = intent::DirectResponse{421, ""};
      host(hosts, domain).routes.push_back(std::move(misdirected));
    }
    add_table(std::move(table), std::move(hosts));
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

  static VirtualHost& host(std::map<std::string, VirtualHost>& hosts, const std::string& domain) {
    VirtualHost& h = hosts[domain];
    h.domain = domain;
    return h;
  }

  void add_host(std::map<std::string, VirtualHost>& hosts, RouteTable& table, UniqueOrigins& origins, const Port& port,
                const intent::Listener& listener, const intent::VirtualHost& v) {
    const std::string domain = domain_of(v.hostname);
    if (belongs_to_another(port, listener, domain)) return;
    VirtualHost& h = host(hosts, domain);
    for (const intent::Route& route : v.routes) {
      origins.add(route.origin);
      h.routes.push_back(route);
      table.filters.cors |= route.cors.has_value();
      table.filters.sessions |= route.session.has_value();
      for (const intent::WeightedBackend& b : route.backends) {
        if (b.backend && !route.redirect && !route.direct_response) use(*b.backend, b.protocol, route.origin);
      }
      for (const intent::Mirror& m : route.mirrors) use(m.backend, m.protocol, route.origin);
    }
  }

  // The name of the cluster. `passed_on`: connections that bring their own TLS.
  std::string use(const intent::BackendKey& key, intent::BackendProtocol protocol, const intent::Origin& origin, bool passed_on = false) {
    const auto tls = std::find_if(gateway_.backend_tls.begin(), gateway_.backend_tls.end(), [&](const intent::BackendTls& t) { return t.backend == key; });
    const bool secured = tls != gateway_.backend_tls.end();
    auto [at, made] = clusters_.try_emplace({key, passed_on && secured});
    Cluster& cluster = at->second;
    if (made) {
      cluster.name = passed_on && secured ? absl::StrCat(cluster_name(key), "/passed-on") : cluster_name(key);
      cluster.key = key;
      const topology::Service* service = topology_.find({key.ns, key.service});
      cluster.by_load = service && service->by_load && !key.udp;
      if (secured && !passed_on) {
        cluster.tls = *tls;
        intent::add_origin(cluster.origins, tls->origin);
      }
    }
    // One service port speaks one protocol: whoever knows of HTTP/2 decides.
    if (protocol == intent::BackendProtocol::kHttp2) cluster.protocol = protocol;
    intent::add_origin(cluster.origins, origin);
    if (made) warn_unknown(key, origin);
    return cluster.name;
  }

  void warn_unknown(const intent::BackendKey& key, const intent::Origin& origin) {
    if (topology_.knows(key)) return;
    find(Severity::kWarning, origin, "BackendUnknown",
         absl::StrCat("no endpoints are known for port ", key.port, " of service ", key.ns, "/", key.service,
                      key.udp ? "; datagrams for it are dropped" : "; requests to it are answered 503"));
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
  Plan plan_;
  std::map<At, Port> ports_;
  std::map<std::pair<intent::BackendKey, bool>, Cluster> clusters_;  // true: passed on
};

}  // namespace

std::string cluster_name(const intent::BackendKey& key) { return key.str(); }

Plan make_plan(const intent::Gateway& gateway, const topology::View& topology) { return Planner(gateway, topology).make(); }

}  // namespace fairlead::plan
