// The connections of one filter chain of one listener on one worker: HttpConnections where the chain ends in the connection manager,
// NetworkConnections where it has network filters of its own. What a listener does with its connections while it drains, it does through this.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>

#include "dataplane/net/connection.h"
#include "dataplane/stream/connection_info.h"

namespace fairlead::stream {

class ConnectionManager;
struct OverloadState;

class ChainConnections {
 public:
  virtual ~ChainConnections() = default;  // closes what is left, at once
  // `info` null: nothing is known beyond the connection's addresses.
  virtual void accept(net::ConnectionPtr connection, std::unique_ptr<ConnectionInfo> info) = 0;
  virtual size_t size() const = 0;
  // New connections get the newer configuration; from now on these end as soon as their protocol allows.
  virtual void drain() = 0;
  // The same by chance, ever more likely until `time` has passed, so that not all clients come back at once.
  virtual void drain_gradually(std::chrono::milliseconds /*time*/) { drain(); }
  // Connections take the new manager with their next request, but those with requests that do not end: these end gradually within `time`.
  // Precondition: the chains have the same FilterChain::connection_hash.
  virtual void take(std::shared_ptr<const ConnectionManager> /*manager*/, std::chrono::milliseconds time) { drain_gradually(time); }
  // The listener is replaced or removed, and its route tables may go with it: what these connections still ask is answered by the present epoch's.
  virtual void keep_epoch() = 0;
  virtual void close_idle() = 0;
  virtual void close_all(net::CloseType type) = 0;
  // The worker's overload state is another than `before`: timeouts that run follow.
  virtual void rescale_timeouts(const OverloadState& /*before*/) {}
  // Called for each connection that has gone; it may outlive what it was accepted from.
  std::function<void()> on_gone;
  // Called when the last connection has gone (never from inside one of the calls above).
  std::function<void()> on_empty;
};

}  // namespace fairlead::stream
