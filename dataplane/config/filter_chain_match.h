// FilterChainMatcher: filter_chain_match of a listener's chains, compiled: which of them a connection gets. Pure and immutable.
// Levels in Envoy's order: destination port, destination network, server name, transport protocol, application protocol, network of the peer,
// source type, source network, source port. At each the most specific entry that fits is final: a miss further down does not go back.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <absl/container/flat_hash_map.h>
#include <absl/status/status.h>
#include <absl/types/span.h>
#include <google/protobuf/repeated_field.h>

#include "base/status.h"
#include "dataplane/net/address.h"

namespace envoy::config::core::v3 {
class CidrRange;
}
namespace envoy::config::listener::v3 {
class FilterChain;
class FilterChainMatch;
}

namespace fairlead::config {

// What is known of a connection when its chain is chosen.
struct ConnectionFacts {
  const net::Address& local;          // where the client meant to connect
  const net::Address& remote;         // the client
  const net::Address& direct_remote;  // the socket's peer
  std::string_view server_name = {};  // lower case
  std::string_view transport_protocol = "raw_buffer";
  absl::Span<const std::string> application_protocols = {};  // in the client's order
};

// Whether the client is this host, as far as addresses show it.
bool same_ip_or_loopback(const ConnectionFacts& facts);

class FilterChainMatcher {
 public:
  // Chains are known by their index in the order in which they are added. Problems go to `errors` with their place.
  void add(const envoy::config::listener::v3::FilterChain& chain, ErrorList& errors);
  std::optional<uint32_t> find(const ConnectionFacts& facts) const;
  // Every connection gets the first chain: it is the only one and has no criteria.
  bool trivial() const { return trivial_ && names_.size() == 1; }

 private:
  using Bytes = std::array<uint8_t, 16>;
  struct Prefix {
    bool v6 = false, any = false;  // any: no criterion
    uint8_t bits = 0;
    Bytes bytes{};
  };
  // The longest network that holds an address.
  template <class Next>
  class Networks {
   public:
    Next& at(const Prefix& prefix);
    const Next* find(const net::Address& address) const;

   private:
    struct Length {
      uint8_t bits;
      absl::flat_hash_map<Bytes, Next> networks;
    };
    std::vector<Length> v4_, v6_;  // longest first
    std::optional<Next> any_;
  };
  template <class Next>
  using Named = absl::flat_hash_map<std::string, Next>;       // "": any
  using SourcePorts = absl::flat_hash_map<uint16_t, uint32_t>;  // 0: any → chain
  using Sources = Networks<SourcePorts>;
  using SourceTypes = std::array<std::optional<Sources>, 3>;  // any, same IP or loopback, external
  using Peers = Networks<SourceTypes>;
  using Protocols = Named<Peers>;
  using Transports = Named<Protocols>;
  using ServerNames = Named<Transports>;
  using Destinations = Networks<ServerNames>;

  static std::optional<uint32_t> find_by_name(const ServerNames& names, const ConnectionFacts& facts);
  static std::optional<uint32_t> find_by_protocol(const Transports& transports, const ConnectionFacts& facts);
  static std::optional<uint32_t> find_by_source(const Peers& peers, const ConnectionFacts& facts);
  static std::vector<Prefix> prefixes(const google::protobuf::RepeatedPtrField<envoy::config::core::v3::CidrRange>& ranges, const std::string& place, ErrorList& errors);
  static bool add_source(const envoy::config::listener::v3::FilterChainMatch& match, uint32_t chain, const std::vector<Prefix>& sources, std::optional<Sources>& type);

  absl::flat_hash_map<uint16_t, Destinations> ports_;  // 0: any
  absl::flat_hash_map<std::string, uint32_t> known_;   // serialised criteria
  std::vector<std::string> names_;                     // of chains, for errors
  bool trivial_ = false;
};

}  // namespace fairlead::config
