// See plain_assignment.h. Numbers of fields and their rules: envoy/config/endpoint/v3/endpoint.proto, endpoint_components.proto and
// envoy/config/core/v3/address.proto of Envoy 1.40.
#include "apps/pipeline/plain_assignment.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "base/wire.h"

namespace fairlead::pipeline {
namespace {

constexpr uint64_t kMostWeight = std::numeric_limits<uint32_t>::max();  // of a locality's endpoints together, and of all localities

// Takes fields off the front of a message, one by one. False: the next one is another, or no field.
class PlainFields {
 public:
  explicit PlainFields(std::string_view bytes) : bytes_(bytes) {}

  bool done() const { return bytes_.empty(); }
  bool is_next(int field) const { return !bytes_.empty() && static_cast<uint8_t>(bytes_.front()) == (field << 3 | 2); }

  bool take(int field, std::string_view& value) {
    uint64_t size = 0;
    if (!is_next(field)) return false;
    bytes_.remove_prefix(1);
    if (!varint(size) || size > bytes_.size()) return false;
    value = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  bool take(int field, uint64_t& value) {
    if (bytes_.empty() || static_cast<uint8_t>(bytes_.front()) != field << 3) return false;
    bytes_.remove_prefix(1);
    return varint(value);
  }

 private:
  bool varint(uint64_t& value) {  // in its shortest form, and up to 35 bits: none is larger here
    const size_t before = bytes_.size();
    return wire::take_varint(bytes_, value, 5) && before - bytes_.size() == wire::varint_size(value);
  }

  std::string_view bytes_;
};

// Which the parser takes for UTF-8 without a doubt.
bool is_visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_plain_ip(std::string_view text) {
  char copy[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof copy || !is_visible_ascii(text)) return false;
  std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  unsigned char address[sizeof(in6_addr)];
  return inet_pton(text.find(':') == std::string_view::npos ? AF_INET : AF_INET6, copy, address) == 1;
}

// A UInt32Value that must not be 0.
bool take_weight(PlainFields& from, int field, uint64_t& weight) {
  std::string_view wrapped;
  if (!from.take(field, wrapped)) return false;
  PlainFields value(wrapped);
  return value.take(1, weight) && value.done() && weight >= 1 && weight <= kMostWeight;
}

// SocketAddress: protocol = 1 (TCP, left out), address = 2, port_value = 3. `bytes`: an Endpoint, whose first field is an Address, whose first is that.
bool is_plain_endpoint(std::string_view bytes) {
  PlainFields endpoint(bytes);
  std::string_view inner, host;
  uint64_t port = 0;
  if (!endpoint.take(1, inner) || !endpoint.done()) return false;
  PlainFields address(inner);
  if (!address.take(1, inner) || !address.done()) return false;
  PlainFields socket(inner);
  return socket.take(2, host) && is_plain_ip(host) && socket.take(3, port) && port <= 65535 && socket.done();
}

// Locality: region = 1, zone = 2, sub_zone = 3.
bool is_plain_place(std::string_view bytes) {
  PlainFields place(bytes);
  for (int field = 1; field <= 3; ++field) {
    std::string_view name;
    if (place.is_next(field) && !(place.take(field, name) && is_visible_ascii(name))) return false;
  }
  return place.done();
}

// LbEndpoint: endpoint = 1, load_balancing_weight = 4.
bool add_plain_member(std::string_view bytes, uint64_t& weights) {
  PlainFields member(bytes);
  std::string_view endpoint;
  uint64_t weight = 1;  // Envoy 1.40: 1, LbEndpoint.load_balancing_weight
  if (!member.take(1, endpoint) || !is_plain_endpoint(endpoint)) return false;
  if (!member.done() && !take_weight(member, 4, weight)) return false;
  weights += weight;
  return member.done();
}

// LocalityLbEndpoints: locality = 1, lb_endpoints = 2, load_balancing_weight = 3.
bool add_plain_locality(std::string_view bytes, uint64_t& weights) {
  PlainFields locality(bytes);
  std::string_view part;
  uint64_t of_members = 0, weight = 0;
  if (locality.is_next(1) && !(locality.take(1, part) && is_plain_place(part))) return false;
  while (locality.is_next(2)) {
    if (!locality.take(2, part) || !add_plain_member(part, of_members) || of_members > kMostWeight) return false;
  }
  if (!locality.done() && !take_weight(locality, 3, weight)) return false;
  weights += weight;
  return locality.done() && weights <= kMostWeight;
}

}  // namespace

// ClusterLoadAssignment: cluster_name = 1, endpoints = 2.
bool is_plain_assignment(std::string_view bytes) {
  PlainFields assignment(bytes);
  std::string_view part;
  uint64_t weights = 0;
  if (!assignment.take(1, part) || part.empty() || !is_visible_ascii(part)) return false;
  while (!assignment.done()) {
    if (!assignment.take(2, part) || !add_plain_locality(part, weights)) return false;
  }
  return true;
}

}  // namespace fairlead::pipeline
