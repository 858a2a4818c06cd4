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

using intent::Finding;
using intent::Severity;

// What one hostname covers: "" and "*" everything, "*.a" all below a, else itself.
bool covers(std::string_view pattern, std::string_view hostname) {
  if (pattern.empty() || pattern == "*" || pattern == hostname) return true;
  if (!pattern.starts_with("*.")) return false;
  const std::string_view suffix = pattern.substr(1);
  return hostname.size() > suffix.size() && hostname.ends_with(suffix);
}

bool is_tls(const intent::Listener& l) { return l.protocol == intent::Protocol::kHttps || l.protocol == intent::Protocol::kTls; }

std::string domain_of(std::string_view hostname) { return hostname.empty() ? "*" : std::string(hostname); }

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
    for (const auto& [at, port] : ports_) add_listener(at.first, at.second, port);
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
    if (listener.protocol == intent::Protocol::kTcp || listener.protocol == intent::Protocol::kUdp) {
      find(Severity::kError, listener.origin, "UnsupportedProtocol",
           absl::StrCat("listener \"", listener.name, "\": protocol ", intent::protocol_name(listener.protocol),
                        " is not served; HTTP, HTTPS and TLS are"));
      return;
    }
    for (const auto& [at, port] : ports_) {
      const bool wildcard = at.first == "0.0.0.0" || at.first == "::" || listener.address == "0.0.0.0" || listener.address == "::";
      if (at.second == listener.port && at.first != listener.address && wildcard) {
        find(Severity::kError, listener.origin, "AddressConflict",
             absl::StrCat("listener \"", listener.name, "\": ", listener.address, ":", listener.port, " overlaps with ", at.first, ":",
                          at.second, " of listener \"", port.first->name, "\""));
        return;
      }
    }
    Port& port = ports_[{listener.address, listener.port}];
    if (port.first && is_tls(*port.first) != is_tls(listener)) {
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

  void add_listener(const std::string& address, uint16_t number, const Port& port) {
    Listener listener;
    listener.name = absl::StrCat(gateway_.key.ns, "/", gateway_.key.name, "/", address, "/", number);
    listener.address = address;
    listener.port = number;
    for (const intent::Listener* l : port.listeners) intent::add_origin(listener.origins, l->origin);
    if (is_tls(*port.first)) {
      for (const intent::Listener* l : port.listeners) {
        if (l->protocol == intent::Protocol::kHttps) {
          add_https(listener, port, *l);
        } else {
          add_tls(listener, port, *l);
        }
      }
    } else {
      add_http(listener, port);
    }
    plan_.listeners.push_back(std::move(listener));
  }

  void add_http(Listener& listener, const Port& port) {
    listener.route_table = listener.name;
    RouteTable table;
    table.name = listener.name;
    table.listener_port = listener.port;
    // A listener's own hostname is a virtual host even without routes: it keeps wider listeners from answering for it.
    std::map<std::string, VirtualHost> hosts;
    for (const intent::Listener* l : port.listeners) {
      intent::add_origin(table.origins, l->origin);
      if (const std::string own = domain_of(l->hostname); own != "*" && port.listeners.size() > 1) host(hosts, own);
      for (const intent::VirtualHost& v : l->virtual_hosts) add_host(hosts, table, port, *l, v);
    }
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
    table.origins = {l.origin};
    to.chains.push_back({l.name, l.hostname, l.tls, table.name, {}});
    std::map<std::string, VirtualHost> hosts;
    if (const std::string own = domain_of(l.hostname); own != "*" && port.listeners.size() > 1) host(hosts, own);
    for (const intent::VirtualHost& v : l.virtual_hosts) add_host(hosts, table, port, l, v);
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
      FilterChain chain{absl::StrCat(l.name, "/", domain), domain == "*" ? "" : domain, l.tls, "", {}};
      for (const intent::WeightedBackend& b : route.backends) {
        if (b.weight == 0) continue;
        chain.shares.emplace_back(b.backend ? use(*b.backend, b.protocol, route.origin, !l.tls) : kInvalidBackend, b.weight);
      }
      if (chain.shares.empty()) chain.shares.emplace_back(kInvalidBackend, 1);
      intent::add_origin(to.origins, route.origin);
      to.chains.push_back(std::move(chain));
      ++made;
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

  void add_host(std::map<std::string, VirtualHost>& hosts, RouteTable& table, const Port& port, const intent::Listener& listener,
                const intent::VirtualHost& v) {
    const std::string domain = domain_of(v.hostname);
    if (belongs_to_another(port, listener, domain)) return;
    VirtualHost& h = host(hosts, domain);
    for (const intent::Route& route : v.routes) {
      intent::add_origin(table.origins, route.origin);
      h.routes.push_back(route);
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
      if (secured && !passed_on) {
        cluster.tls = *tls;
        intent::add_origin(cluster.origins, tls->origin);
      }
    }
    // One service port speaks one protocol: whoever knows of HTTP/2 decides.
    if (protocol == intent::BackendProtocol::kHttp2) cluster.protocol = protocol;
    intent::add_origin(cluster.origins, origin);
    if (made && !topology_.knows(key)) {
      find(Severity::kWarning, origin, "BackendUnknown",
           absl::StrCat("no endpoints are known for port ", key.port, " of service ", key.ns, "/", key.service,
                        "; requests to it are answered 503"));
    }
    return cluster.name;
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
    }
    for (const intent::Secret& secret : gateway_.secrets) {
      if (named.contains(secret.name)) plan_.secrets.push_back(secret);
    }
  }

  const intent::Gateway& gateway_;
  const topology::View& topology_;
  Plan plan_;
  std::map<std::pair<std::string, uint16_t>, Port> ports_;
  std::map<std::pair<intent::BackendKey, bool>, Cluster> clusters_;  // true: passed on
};

}  // namespace

std::string cluster_name(const intent::BackendKey& key) { return key.str(); }

Plan make_plan(const intent::Gateway& gateway, const topology::View& topology) { return Planner(gateway, topology).make(); }

}  // namespace fairlead::plan
