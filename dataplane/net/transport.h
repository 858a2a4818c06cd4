// The seam between a Connection's buffers and its descriptor. A plain TCP or Unix connection has none (Connection calls readv
// and writev itself); TLS and the simulated pair put one in. Called on the connection's loop thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/net/buffer.h"

namespace fairlead::net {

struct IoResult {
  enum class Next { Again, Done, Closed, Error };  // Again: more may follow at once; Done: wait for readiness; Closed: end of stream
  Next next = Next::Done;
  size_t bytes = 0;
  int error = 0;  // errno when Error
};

enum class HandshakeState : uint8_t { Done, Wait, Failed };

class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult read(Buffer& into, size_t limit) = 0;  // appends
  virtual IoResult write(Buffer& from) = 0;               // drains what it took
  virtual void shutdown_write() = 0;
  virtual void close(bool reset) = 0;

  // The following are asked of a transport over a descriptor (Connection::adopt, Dial::transport) only.
  // Once, before anything else: `fd` is connected, and the transport's from here on; close() closes it.
  virtual void attach(int /*fd*/) {}
  // Until Done: nothing is read or written before. Wait: again with the next readiness. A failure ends the connection.
  virtual HandshakeState handshake() { return HandshakeState::Done; }
  // The time for it is up: close() follows.
  virtual void handshake_timed_out() {}
  // Told of each edge first. What it answers is what the connection acts on: a transport that waits for room in order to read
  // turns EPOLLOUT into both.
  virtual uint32_t ready(uint32_t epoll_events) { return epoll_events; }
  // Why the handshake, a read or a write failed, in the transport's words; empty: the descriptor's errno says it all.
  virtual std::string_view failure_reason() const { return {}; }
};

}  // namespace fairlead::net
