// What one process says to the next of a session that goes on there, beside its socket. Pure; read by the same program in another version, so
// whatever does not fit is no session.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/filters/udp/udp_proxy/config.h"
#include "dataplane/net/datagrams.h"

namespace fairlead::filters::udp::udp_proxy {

struct SessionCounts {
  uint64_t rx_bytes = 0, rx_datagrams = 0, tx_bytes = 0, tx_datagrams = 0, tx_errors = 0;
  friend bool operator==(const SessionCounts&, const SessionCounts&) = default;
};

struct HandedState {
  net::DatagramPath path;
  bool per_packet = false;  // it is one host's
  std::string cluster, host;
  SessionCounts counts;
  int64_t began_us = 0;     // since 1970
  int64_t age_us = 0;
  int64_t idle_us = -1;     // that it may still be idle; -1: as long as it likes

  std::string encode() const;
  static std::optional<HandedState> decode(std::string_view bytes);
  friend bool operator==(const HandedState&, const HandedState&) = default;
};

}  // namespace fairlead::filters::udp::udp_proxy
