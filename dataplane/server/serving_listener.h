// ServingListener: a listening socket with everything the workers need to serve it; ServingChain: one of its filter chains.
// Made on the main thread, immutable, shared by main and all workers. A chain that does not change is shared by the forms of its listener:
// that is how workers know whose connections stay.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/config/listener.h"
#include "dataplane/net/listener.h"
#include "dataplane/server/connection_balance.h"
#include "dataplane/server/connection_limits.h"
#include "dataplane/stats/names.h"
#include "dataplane/stream/chain_transport.h"
#include "dataplane/stream/connection_log.h"
#include "dataplane/stream/connection_manager.h"
#include "dataplane/stream/listener_filter.h"
#include "dataplane/stream/network_connections.h"
#include "dataplane/stream/udp_filter.h"

namespace fairlead::server {

struct ServingChain {
  std::shared_ptr<const config::FilterChain> config;
  std::shared_ptr<const stream::ChainTransport> transport;   // null: connections are plain
  std::shared_ptr<const stream::ConnectionManager> manager;  // null: the chain ends otherwise
  std::shared_ptr<const stream::NetworkChain> network;       // null: the chain is the manager alone
};

using ServingChains = std::vector<std::shared_ptr<const ServingChain>>;
using ListenerFilters = std::vector<std::shared_ptr<const stream::ListenerFilterFactory>>;

struct ServingListener {
  std::string name;
  std::shared_ptr<const config::ListenerConfig> config;
  std::vector<std::shared_ptr<net::ListenSocket>> sockets;   // one per address; empty with bind_to_port false
  std::vector<net::Address> addresses;                       // bound or not
  ServingChains chains;                                      // by ListenerConfig's numbers
  std::shared_ptr<const ListenerFilters> listener_filters;   // null: none
  std::shared_ptr<const stream::UdpFilterFactory> udp;       // takes the datagrams; null: a TCP listener
  std::shared_ptr<const stream::ConnectionLog> log;          // null: connections are not logged
  stats::ScopePtr scope;                                     // listener.<address>.
  stats::Block<stats::ListenerStat> stats;
  stats::Counter overload_reject, global_overflow, out_of_descriptors;  // of `scope`
  std::shared_ptr<ConnectionCount> open = std::make_shared<ConnectionCount>();
  std::shared_ptr<ConnectionBalance> balance;                // null: connections stay where the kernel brings them
  std::string limit_key;                                     // of the runtime; empty: there is no limit
  bool inbound = false;
  bool gradual_drain = true;                                 // of chains that were replaced in place
};

}  // namespace fairlead::server
