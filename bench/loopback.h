// What the benchmarks' own programs share: addresses of this machine, and the end of one that cannot go on.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace fairlead::bench {

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  at.sin_port = htons(port);
  return at;
}

[[noreturn]] inline void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

}  // namespace fairlead::bench
