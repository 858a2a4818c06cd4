// What two generations of the proxy say to each other while one takes over from the other. One message is one packet of a SOCK_SEQPACKET
// socket; descriptors travel beside it. Pure: bytes in, messages out. Numbers are in the machine's own order, for the socket never leaves it.
//
//   new: Hello                          old: Welcome (and a Sockets for each socket that the service manager has passed), or Refused
//   new: SocketsWanted, again and again old: Sockets, without descriptors where it has none
//   new: Ready (it accepts)             old: stops accepting; Draining for each still older process, UdpSessions of the sockets that were wanted,
//                                            which it reads no longer, then Taken
//   new: Confirmed                      old: closes its sockets, drains, and sends Statistics until its end
//
// Until Confirmed the old process can go on as if nothing had been; from then on it cannot.
// A packet begins with a mark and the version of the protocol; these and Hello and Refused keep their form in all versions, so that each side
// can tell the other that they do not fit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace fairlead::server::restart {

inline constexpr uint16_t kProtocolVersion = 2;
inline constexpr size_t kLargestPacket = 16 * 1024;
inline constexpr size_t kMostDescriptors = 250;  // of one packet; Linux: SCM_MAX_FD is 253

// What --hot-restart-version prints: processes that print the same can follow each other.
std::string version_text();

enum class SocketType : uint8_t { stream = 0, datagram = 1 };

struct Hello {
  uint32_t pid = 0;
  std::string release;
  uint64_t parent_shutdown_ms = 0;  // after this the old process ends whatever it still serves
  friend bool operator==(const Hello&, const Hello&) = default;
};
struct Welcome {
  uint32_t pid = 0, base_id = 0, epoch = 0, generation = 0;
  uint64_t first_start_ms = 0;                // of the first of all these processes, in ms since 1970
  std::string admin_configured, admin_bound;  // addresses; empty: it has no admin
  uint32_t passed = 0;                        // Sockets that follow: those of the service manager
  friend bool operator==(const Welcome&, const Welcome&) = default;
};
struct Refused {
  std::string reason;
  friend bool operator==(const Refused&, const Refused&) = default;
};
struct SocketsWanted {
  SocketType type = SocketType::stream;
  std::string listener, address;  // as configured; a listener's name counts only where the port is 0
  friend bool operator==(const SocketsWanted&, const SocketsWanted&) = default;
};
struct Sockets {  // with descriptors
  SocketType type = SocketType::stream;
  std::string address;  // as bound
  friend bool operator==(const Sockets&, const Sockets&) = default;
};
struct Ready {
  friend bool operator==(const Ready&, const Ready&) = default;
};
struct Draining {  // with the socket on which that process sends its Statistics
  uint32_t pid = 0, epoch = 0;
  friend bool operator==(const Draining&, const Draining&) = default;
};
struct Taken {  // with a file that holds the statistics
  friend bool operator==(const Taken&, const Taken&) = default;
};
struct Confirmed {
  friend bool operator==(const Confirmed&, const Confirmed&) = default;
};
struct Statistics {  // with a file that holds what has changed
  uint64_t connections = 0, memory = 0;
  friend bool operator==(const Statistics&, const Statistics&) = default;
};

struct UdpSessions {  // with a descriptor for each. One that finds none left for it begins anew
  uint64_t socket = 0;              // of the listener, as the kernel names it
  std::vector<std::string> states;  // for the listener's filter
  friend bool operator==(const UdpSessions&, const UdpSessions&) = default;
};

using Message = std::variant<Hello, Welcome, Refused, SocketsWanted, Sockets, Ready, Draining, Taken, Confirmed, Statistics, UdpSessions>;

std::string encode(const Message& message);
// Errors say what is wrong: no such packet, another version, cut short, too long.
absl::StatusOr<Message> decode(std::string_view packet);

}  // namespace fairlead::server::restart
