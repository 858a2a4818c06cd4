// How often one user of a connection has paused its reading: taken back one by one, or all at once when the user goes. Its loop's thread.
#pragma once

#include <cstdint>

#include "dataplane/net/connection.h"

namespace fairlead::net {

class ReadPauses {
 public:
  void add(Connection& connection) {
    ++count_;
    connection.read_disable();
  }
  // Nothing without one.
  void remove(Connection& connection) {
    if (count_ == 0) return;
    --count_;
    connection.read_enable();
  }
  void remove_all(Connection& connection) {
    while (count_ != 0) remove(connection);
  }

 private:
  uint32_t count_ = 0;
};

}  // namespace fairlead::net
