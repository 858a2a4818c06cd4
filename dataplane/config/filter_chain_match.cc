// Compiling criteria, and walking down them; see filter_chain_match.h.
#include "dataplane/config/filter_chain_match.h"

#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <arpa/inet.h>

#include <algorithm>

#include "envoy/config/listener/v3/listener_components.pb.h"

namespace fairlead::config {
namespace listener_v3 = envoy::config::listener::v3;
namespace {

constexpr size_t kAny = 0, kLocal = 1, kExternal = 2;

void keep_bits(std::array<uint8_t, 16>& bytes, unsigned bits) {
  for (unsigned i = bits / 8; i < bytes.size(); ++i) {
    const unsigned kept = i == bits / 8 ? bits % 8 : 0;
    bytes[i] = static_cast<uint8_t>(bytes[i] & ~(0xff >> kept));
  }
}

// Envoy 1.40: of 127.0.0.0/8 only 127.0.0.1 counts as loopback here.
bool is_loopback(const net::Address& address) {
  const auto& b = address.bytes();
  if (address.kind() == net::Address::Kind::V4) return b[0] == 127 && b[1] == 0 && b[2] == 0 && b[3] == 1;
  return address.kind() == net::Address::Kind::V6 && b[15] == 1 && std::all_of(b.begin(), b.end() - 1, [](uint8_t byte) { return byte == 0; });
}

}  // namespace

bool same_ip_or_loopback(const ConnectionFacts& facts) {
  if (!facts.remote.is_ip() || is_loopback(facts.remote)) return true;
  return facts.local.kind() == facts.remote.kind() && facts.local.bytes() == facts.remote.bytes();
}

template <class Next>
Next& FilterChainMatcher::Networks<Next>::at(const Prefix& prefix) {
  if (prefix.any) return any_.has_value() ? *any_ : any_.emplace();
  auto& lengths = prefix.v6 ? v6_ : v4_;
  auto it = std::find_if(lengths.begin(), lengths.end(), [&](const Length& l) { return l.bits <= prefix.bits; });
  if (it == lengths.end() || it->bits != prefix.bits) it = lengths.insert(it, Length{prefix.bits, {}});
  return it->networks[prefix.bytes];
}

template <class Next>
const Next* FilterChainMatcher::Networks<Next>::find(const net::Address& address) const {
  // Envoy 1.40: what has no IP counts as 0.0.0.0
  const auto& lengths = address.kind() == net::Address::Kind::V6 ? v6_ : v4_;
  for (const Length& length : lengths) {
    Bytes bytes = address.bytes();
    keep_bits(bytes, length.bits);
    if (const auto it = length.networks.find(bytes); it != length.networks.end()) return &it->second;
  }
  return any_.has_value() ? &*any_ : nullptr;
}

// --- compiling ------------------------------------------------------------------------------------------------------------

std::vector<FilterChainMatcher::Prefix> FilterChainMatcher::prefixes(const google::protobuf::RepeatedPtrField<envoy::config::core::v3::CidrRange>& ranges,
                                                                     const std::string& place, ErrorList& errors) {
  std::vector<Prefix> out;
  if (ranges.empty()) out.push_back({.any = true});
  for (int i = 0; i < ranges.size(); ++i) {
    const auto& range = ranges.Get(i);
    Prefix prefix;
    prefix.v6 = absl::StrContains(range.address_prefix(), ':');
    if (inet_pton(prefix.v6 ? AF_INET6 : AF_INET, range.address_prefix().c_str(), prefix.bytes.data()) != 1) {
      errors.add(absl::StrCat(place, "[", i, "].address_prefix"), absl::StrCat("malformed IP address: ", range.address_prefix()));
      continue;
    }
    const uint32_t longest = prefix.v6 ? 128 : 32;  // Envoy 1.40: longer ones are cut
    prefix.bits = static_cast<uint8_t>(std::min(range.has_prefix_len() ? range.prefix_len().value() : 0, longest));
    keep_bits(prefix.bytes, prefix.bits);
    out.push_back(prefix);
  }
  return out;
}

bool FilterChainMatcher::add_source(const listener_v3::FilterChainMatch& match, uint32_t chain, const std::vector<Prefix>& sources, std::optional<Sources>& type) {
  bool fresh = true;
  if (!type.has_value()) type.emplace();
  for (const Prefix& source : sources) {
    SourcePorts& ports = type->at(source);
    if (match.source_ports().empty()) fresh &= ports.try_emplace(0, chain).second;
    for (const uint32_t port : match.source_ports()) fresh &= ports.try_emplace(static_cast<uint16_t>(port), chain).second;
  }
  return fresh;
}

void FilterChainMatcher::add(const listener_v3::FilterChain& proto, ErrorList& errors) {
  const auto chain = static_cast<uint32_t>(names_.size());
  const std::string field = absl::StrCat("filter_chains[", chain, "]"), place = field + ".filter_chain_match";
  names_.push_back(proto.name());
  const listener_v3::FilterChainMatch& match = proto.filter_chain_match();
  std::string key;
  match.SerializeToString(&key);  // without maps, so equal messages have equal bytes
  trivial_ = chain == 0 && key.empty();
  if (const auto [it, fresh] = known_.try_emplace(std::move(key), chain); !fresh) {
    errors.add(field, absl::StrCat("filter chain '", proto.name(), "' has the same matching rules defined as '", names_[it->second], "'"));
    return;
  }
  if (!match.address_suffix().empty() || match.has_suffix_len()) {
    errors.add(place, absl::StrCat("filter chain '", proto.name(), "' contains unimplemented fields"));
    return;
  }
  std::vector<std::string> server_names;
  for (const std::string& name : match.server_names()) {
    const bool wildcard = absl::StartsWith(name, "*.");
    if (!wildcard && absl::StrContains(name, '*')) {  // Envoy 1.40: "*.*.x" passes, and never matches
      errors.add(place + ".server_names", absl::StrCat("partial wildcards are not supported in \"server_names\" (", name, ")"));
      return;
    }
    server_names.push_back(absl::AsciiStrToLower(std::string_view(name).substr(wildcard ? 1 : 0)));
  }
  if (server_names.empty()) server_names.emplace_back();
  std::vector<std::string> protocols(match.application_protocols().begin(), match.application_protocols().end());
  if (protocols.empty()) protocols.emplace_back();
  const auto destinations = prefixes(match.prefix_ranges(), place + ".prefix_ranges", errors);
  const auto peers = prefixes(match.direct_source_prefix_ranges(), place + ".direct_source_prefix_ranges", errors);
  const auto sources = prefixes(match.source_prefix_ranges(), place + ".source_prefix_ranges", errors);
  const auto type = static_cast<size_t>(match.source_type());
  bool fresh = true;
  for (const Prefix& destination : destinations) {
    ServerNames& names = ports_[static_cast<uint16_t>(match.destination_port().value())].at(destination);
    for (const std::string& name : server_names) {
      Protocols& next = names[name][match.transport_protocol()];
      for (const std::string& protocol : protocols)
        for (const Prefix& peer : peers) fresh &= add_source(match, chain, sources, next[protocol].at(peer)[type]);
    }
  }
  if (!fresh) errors.add(place, "multiple filter chains with overlapping matching rules are defined");
}

// --- finding --------------------------------------------------------------------------------------------------------------

std::optional<uint32_t> FilterChainMatcher::find(const ConnectionFacts& facts) const {
  auto port = facts.local.is_ip() ? ports_.find(facts.local.port()) : ports_.end();
  if (port == ports_.end()) port = ports_.find(0);
  if (port == ports_.end()) return std::nullopt;
  const ServerNames* names = port->second.find(facts.local);
  return names != nullptr ? find_by_name(*names, facts) : std::nullopt;
}

std::optional<uint32_t> FilterChainMatcher::find_by_name(const ServerNames& names, const ConnectionFacts& facts) {
  const std::string_view name = facts.server_name;
  if (const auto exact = names.find(name); exact != names.end()) return find_by_protocol(exact->second, facts);
  // ".example.com", then ".com"
  for (size_t dot = name.find('.', 1); dot != std::string_view::npos && dot + 1 < name.size(); dot = name.find('.', dot + 1))
    if (const auto wildcard = names.find(name.substr(dot)); wildcard != names.end()) return find_by_protocol(wildcard->second, facts);
  const auto any = names.find(std::string_view());
  return any != names.end() ? find_by_protocol(any->second, facts) : std::nullopt;
}

std::optional<uint32_t> FilterChainMatcher::find_by_protocol(const Transports& transports, const ConnectionFacts& facts) {
  auto transport = transports.find(facts.transport_protocol);
  if (transport == transports.end()) transport = transports.find(std::string_view());
  if (transport == transports.end()) return std::nullopt;
  const Protocols& protocols = transport->second;
  for (const std::string& protocol : facts.application_protocols)
    if (const auto it = protocols.find(protocol); it != protocols.end()) return find_by_source(it->second, facts);
  const auto any = protocols.find(std::string_view());
  return any != protocols.end() ? find_by_source(any->second, facts) : std::nullopt;
}

std::optional<uint32_t> FilterChainMatcher::find_by_source(const Peers& peers, const ConnectionFacts& facts) {
  const SourceTypes* types = peers.find(facts.direct_remote);
  if (types == nullptr) return std::nullopt;
  size_t type = kAny;
  if ((*types)[kLocal].has_value() || (*types)[kExternal].has_value()) type = same_ip_or_loopback(facts) ? kLocal : kExternal;
  if (!(*types)[type].has_value()) type = kAny;
  if (!(*types)[type].has_value()) return std::nullopt;
  const SourcePorts* ports = (*types)[type]->find(facts.remote);
  if (ports == nullptr) return std::nullopt;
  auto port = ports->find(facts.remote.is_ip() ? facts.remote.port() : 0);
  if (port == ports->end()) port = ports->find(0);
  return port != ports->end() ? std::optional(port->second) : std::nullopt;
}

}  // namespace fairlead::config
