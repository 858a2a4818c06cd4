// Two connected ends in memory, on one event loop: what one writes the other reads, in the steps the test allows.
// Codec and stream tests use it instead of sockets. Nothing moves outside the loop's turns.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "dataplane/net/connection.h"

namespace fairlead::net {

class SimulatedPair {
 public:
  // `a` and `b` are ordinary Connections (set_events() before the next turn). Addresses: 192.0.2.1:1 and 192.0.2.2:2.
  explicit SimulatedPair(EventLoop& loop, const Connection::Options& options = {});
  ~SimulatedPair();

  ConnectionPtr take_a();
  ConnectionPtr take_b();

  // What each end may put on the wire before write reports "would block". Default: unlimited. Raising it makes the end writable.
  void allow_writes_of_a(size_t bytes);
  void allow_writes_of_b(size_t bytes);
  // At most this many bytes per read (1: everything arrives byte by byte). Default: unlimited.
  void limit_reads(size_t bytes);
  // The wire is cut: both ends see a reset.
  void cut();

  struct Wire;  // simulated.cc

 private:
  std::shared_ptr<Wire> wire_;
  ConnectionPtr a_;
  ConnectionPtr b_;
};

}  // namespace fairlead::net
