// The PROXY protocol's header of an upstream connection, version 1 or 2. Pure.
#pragma once

#include <optional>
#include <string>

#include "dataplane/config/cluster.h"
#include "dataplane/net/address.h"

namespace fairlead::upstream {

// Both ends of the client's connection, in whose name an upstream connection is made.
struct ProxiedFor {
  net::Address source, destination;
};

// What makes an upstream connection one for some requests alone; others never use it.
struct MadeFor {
  std::optional<ProxiedFor> client;  // where the cluster speaks the PROXY protocol
  // Where the request gives TLS its names. Empty: the cluster's own, and none.
  std::string server_name, verify_name;
};

// `client` null (health checks, mirrors): version 1 names the connection's own ends, version 2 says LOCAL.
std::string proxy_header(const config::ProxyProtocol& protocol, const ProxiedFor* client, const net::Address& local, const net::Address& remote);

}  // namespace fairlead::upstream
