// Who is at the other end of a connection, and whether others can read along. A value, one object for all calls of a connection that show the same
// token, or none.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead::rpc {

struct Peer {
  std::string address;             // "127.0.0.1:1234"; "unix" for a Unix socket's
  std::string host;                // the same without the port
  bool local = false;              // on this machine: a loopback address or a Unix socket
  bool encrypted = false;          // TLS
  std::vector<std::string> names;  // of its verified certificate, URIs before DNS names, and of its token; empty: it has shown none
  const void* connection = nullptr;  // of one that stands in another's place: that one; see connection_key()
  bool operator==(const Peer&) const = default;

  // Whether what nobody else may read can be sent to it.
  bool may_carry_secrets() const { return encrypted || local; }
  // Its first name: of a workload its SPIFFE ID. Empty: not known.
  std::string_view identity() const { return names.empty() ? std::string_view() : names.front(); }
  // The same for all calls of one connection, whoever they are found to be from.
  const void* connection_key() const { return connection != nullptr ? connection : this; }
  // "127.0.0.1:1234 (spiffe://example.org/edge)"
  std::string text() const { return names.empty() ? address : address + " (" + names.front() + ")"; }
};
using PeerPtr = std::shared_ptr<const Peer>;

}  // namespace fairlead::rpc
