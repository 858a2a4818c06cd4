// The seam between a Connection's buffers and its descriptor. A plain TCP or Unix connection has none (Connection calls readv
// and writev itself); TLS and the simulated pair put one in. Called on the connection's loop thread only.
#pragma once

#include <cstddef>

#include "dataplane/net/buffer.h"

namespace fairlead::net {

struct IoResult {
  enum class Next { Again, Done, Closed, Error };  // Again: more may follow at once; Done: wait for readiness; Closed: end of stream
  Next next = Next::Done;
  size_t bytes = 0;
  int error = 0;  // errno when Error
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual IoResult read(Buffer& into, size_t limit) = 0;  // appends
  virtual IoResult write(Buffer& from) = 0;               // drains what it took
  virtual void shutdown_write() = 0;
  virtual void close(bool reset) = 0;
};

}  // namespace fairlead::net
