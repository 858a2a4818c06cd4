// The paths of all Ingresses of one class, by host: who has which, in which order they are tried, and what answers the rest. Pure; private to
// the room; lives for one translate(). Add in order of rank: what is there already stays.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controlplane/intent/intent.h"

namespace fairlead::adapters::ingress {

class HostTable {
 public:
  // A host that has no paths of its own, yet: its requests are the default backend's.
  void add_host(const std::string& host) { hosts_[host]; }
  // Null, and `route` is in; else the route that has this host, path and type of path already.
  const intent::Route* add(const std::string& host, intent::Route route);
  // What answers requests of the host that no path matches; null, or the one there is.
  const intent::Route* set_fallback(const std::string& host, intent::Route route);
  // The same for hosts without one of their own, and for hosts that no rule has.
  const intent::Route* set_fallback(intent::Route route);

  // What a listener for this name serves: "" every host, "*.example.com" those one label below, else that one. A wildcard's routes are for one
  // label too; hosts further below get what there is for hosts that no rule names.
  std::vector<intent::VirtualHost> virtual_hosts(const std::string& listener) const;

 private:
  struct Host {
    std::vector<intent::Route> paths;
    std::optional<intent::Route> fallback;
    std::map<std::pair<intent::PathMatchType, std::string>, size_t> seen;  // -> paths
  };

  const Host* find(const std::string& name) const;  // the most specific there is
  std::vector<intent::Route> routes(const Host* host) const;
  std::vector<intent::Route> routes_of(const std::string& name) const;

  std::map<std::string, Host> hosts_;  // "": rules without host
  std::optional<intent::Route> fallback_;
};

// Whether `name` is one label below "*.example.com".
bool one_below(std::string_view name, std::string_view wildcard);

}  // namespace fairlead::adapters::ingress
