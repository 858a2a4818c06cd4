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
    std::sort(plan_.clusters.begin(), plan_.clusters.end(), [](const Cluster& a, const Cluster& b) { return a.name < b.name; });
    return std::move(plan_);
  }

 private:
  void find(Severity severity, const intent::Origin& origin, std::string reason, std::string message) {
    plan_.findings.push_back({severity, origin, gateway_.key.str(), std::move(reason), std::move(message)});
  }

  // Decides whether the listener gets a place on its port, or says who has it.
  void place(const intent::Listener& listener) {
    if (listener.protocol != intent::Protocol::kHttp) {
      find(Severity::kError, listener.origin, "UnsupportedProtocol",
           absl::StrCat("listener \"", listener.name, "\": protocol ", intent::protocol_name(listener.protocol),
                        " is not served; HTTP is"));
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
    listener.route_table = listener.name;
    RouteTable table;
    table.name = listener.name;
    table.listener_port = number;
    // A listener's own hostname is a virtual host even without routes: it keeps wider listeners from answering for it.
    std::map<std::string, VirtualHost> hosts;
    for (const intent::Listener* l : port.listeners) {
      intent::add_origin(listener.origins, l->origin);
      intent::add_origin(table.origins, l->origin);
      if (const std::string own = domain_of(l->hostname); own != "*" && port.listeners.size() > 1) host(hosts, own);
      for (const intent::VirtualHost& v : l->virtual_hosts) add_host(hosts, table, port, *l, v);
    }
    for (auto& [domain, host] : hosts) {
      host.name = absl::StrCat(table.name, "/", domain);
      table.virtual_hosts.push_back(std::move(host));
    }
    plan_.listeners.push_back(std::move(listener));
    plan_.route_tables.push_back(std::move(table));
  }

  static VirtualHost& host(std::map<std::string, VirtualHost>& hosts, const std::string& domain) {
    VirtualHost& h = hosts[domain];
    h.domain = domain;
    return h;
  }

  void add_host(std::map<std::string, VirtualHost>& hosts, RouteTable& table, const Port& port, const intent::Listener& listener,
                const intent::VirtualHost& v) {
    const std::string domain = domain_of(v.hostname);
    for (const intent::Listener* other : port.listeners) {
      if (other == &listener || other->hostname.empty()) continue;
      // `other` is the more specific listener for this hostname: requests for it are not ours.
      if (covers(other->hostname, domain) && covers(listener.hostname, other->hostname)) return;
    }
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

  void use(const intent::BackendKey& key, intent::BackendProtocol protocol, const intent::Origin& origin) {
    auto [at, made] = clusters_.try_emplace(key);
    Cluster& cluster = at->second;
    if (made) {
      cluster.name = cluster_name(key);
      cluster.key = key;
    }
    // One service port speaks one protocol: whoever knows of HTTP/2 decides.
    if (protocol == intent::BackendProtocol::kHttp2) cluster.protocol = protocol;
    intent::add_origin(cluster.origins, origin);
    if (made && !topology_.knows(key)) {
      find(Severity::kWarning, origin, "BackendUnknown",
           absl::StrCat("no endpoints are known for port ", key.port, " of service ", key.ns, "/", key.service,
                        "; requests to it are answered 503"));
    }
  }

  const intent::Gateway& gateway_;
  const topology::View& topology_;
  Plan plan_;
  std::map<std::pair<std::string, uint16_t>, Port> ports_;
  std::map<intent::BackendKey, Cluster> clusters_;
};

}  // namespace

std::string cluster_name(const intent::BackendKey& key) { return key.str(); }

Plan make_plan(const intent::Gateway& gateway, const topology::View& topology) { return Planner(gateway, topology).make(); }

}  // namespace fairlead::plan
