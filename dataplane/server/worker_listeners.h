// The listeners of one worker: accepts connections and hands them to the connection manager in force; what was replaced or removed drains.
// Every call on the worker's thread. Owned by the server, outlived by the worker's context and by the sockets.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/net/listener.h"
#include "dataplane/stats/names.h"
#include "dataplane/stream/http_connection.h"

namespace fairlead::server {

// A listening socket with everything the workers need to serve it; shared by main and all workers.
struct ServingListener {
  std::string name;
  std::vector<std::shared_ptr<net::ListenSocket>> sockets;  // one per address; empty with bind_to_port false
  std::shared_ptr<const stream::ConnectionManager> manager;
  stats::ScopePtr scope;                                    // listener.<address>.
  stats::Block<stats::ListenerStat> stats;
  bool inbound = false;
};

class WorkerListeners {
 public:
  explicit WorkerListeners(stream::WorkerContext& worker, uint32_t socket_index);
  ~WorkerListeners();

  // Adds the listener, or replaces it: same sockets go on accepting, new connections get the new manager, old ones drain.
  void set(std::shared_ptr<const ServingListener> listener, std::chrono::milliseconds drain_time);
  // Stops accepting at once; connections drain.
  void remove(const std::string& name, std::chrono::milliseconds drain_time);
  void drain(const std::string& name);         // goes on accepting; every response is its connection's last
  void drain_all();                            // every response is its connection's last
  void close_idle();
  void close_all();
  size_t connections() const;                  // live and draining
  void refresh_gauges();                       // before a scrape: downstream_cx_active and _destroy
 private:
  struct Accepting;
  struct Active;
  struct Draining;
  void start_drain(std::shared_ptr<const ServingListener> listener, std::unique_ptr<stream::HttpConnections> connections, std::chrono::milliseconds drain_time);

  stream::WorkerContext& worker_;
  const uint32_t socket_index_;
  std::map<std::string, std::unique_ptr<Active>> active_;
  std::list<Draining> draining_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace fairlead::server
