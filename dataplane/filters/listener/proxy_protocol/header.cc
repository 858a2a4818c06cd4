// See header.h. What is refused is what Envoy 1.40 refuses.
#include "dataplane/filters/listener/proxy_protocol/header.h"

#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace fairlead::filters::listener::proxy_protocol {
namespace {

constexpr std::string_view kLine = "PROXY ";
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixed = 16;  // of version 2: signature, version and command, family and transport, length
constexpr size_t kV4 = 12, kV6 = 36;

size_t u16(std::string_view at) { return static_cast<size_t>(static_cast<uint8_t>(at[0])) << 8 | static_cast<uint8_t>(at[1]); }

// TCP has no other ends than single hosts.
bool is_unicast(const net::Address& address) {
  const auto& bytes = address.bytes();
  if (address.is_any()) return false;
  if (address.kind() == net::Address::Kind::V6) return bytes[0] != 0xff;
  const bool broadcast = std::all_of(bytes.begin(), bytes.begin() + 4, [](uint8_t b) { return b == 0xff; });
  return !broadcast && bytes[0] >> 4 != 14;
}

bool set_addresses(Header& out, net::Address remote, net::Address local) {
  if (!is_unicast(remote) || !is_unicast(local)) return false;
  out.addressed = true;
  out.remote = std::move(remote);
  out.local = std::move(local);
  return true;
}

bool read_address(std::string_view ip, std::string_view port, bool v4, net::Address& out) {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(port, &number) || number > 65535) return false;
  auto address = net::Address::from_ip(ip, static_cast<uint16_t>(number));
  if (!address.ok() || (address->kind() == net::Address::Kind::V4) != v4) return false;
  out = *std::move(address);
  return true;
}

// "PROXY TCP4 SOURCE DESTINATION PORT PORT", "PROXY UNKNOWN …", without its end.
bool read_line(std::string_view line, Header& out) {
  line = absl::StripTrailingAsciiWhitespace(line);
  const std::vector<std::string_view> parts = absl::StrSplit(line, ' ');
  if (parts.size() < 2) return false;
  if (parts[1] == "UNKNOWN") return true;
  const bool v4 = parts[1] == "TCP4";
  if (parts.size() != 6 || (!v4 && parts[1] != "TCP6")) return false;
  net::Address remote, local;
  return read_address(parts[2], parts[4], v4, remote) && read_address(parts[3], parts[5], v4, local) && set_addresses(out, std::move(remote), std::move(local));
}

Header read_v1(std::string_view stream) {
  Header out;
  const size_t end = stream.substr(0, kMaxLine + 1).find("\r\n");
  if (end == std::string_view::npos) {
    if (stream.size() > kMaxLine) out.verdict = Verdict::kNone;
    return out;
  }
  out.version = 1;
  out.bytes = end + 2;
  out.verdict = out.bytes <= kMaxLine && read_line(stream.substr(0, end), out) ? Verdict::kHeader : Verdict::kMalformed;
  return out;
}

net::Address address_of(std::string_view ip, std::string_view port) {
  sockaddr_storage storage{};
  if (ip.size() == 4) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    std::memcpy(&v4.sin_addr, ip.data(), 4);
    std::memcpy(&v4.sin_port, port.data(), 2);
    return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), sizeof(sockaddr_in));
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
  v6.sin6_family = AF_INET6;
  std::memcpy(&v6.sin6_addr, ip.data(), 16);
  std::memcpy(&v6.sin6_port, port.data(), 2);
  return net::Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), sizeof(sockaddr_in6));
}

bool read_tlvs(std::string_view rest, Header& out) {
  while (!rest.empty()) {
    if (rest.size() < 3) return false;
    const size_t length = u16(rest.substr(1));
    if (rest.size() < 3 + length) return false;
    out.tlvs.emplace_back(static_cast<uint8_t>(rest[0]), rest.substr(3, length));
    rest.remove_prefix(3 + length);
  }
  return true;
}

// `body`: the whole of what follows the fixed part.
bool read_body(std::string_view body, size_t of_addresses, Header& out) {
  const size_t ip = (of_addresses - 4) / 2;
  if (!read_tlvs(body.substr(of_addresses), out)) return false;
  return set_addresses(out, address_of(body.substr(0, ip), body.substr(2 * ip)), address_of(body.substr(ip, ip), body.substr(2 * ip + 2)));
}

Header read_v2(std::string_view stream) {
  Header out;
  if (stream.size() < kFixed) return out;
  out.version = 2;
  const uint8_t command = static_cast<uint8_t>(stream[12]), family = static_cast<uint8_t>(stream[13]);
  const size_t length = u16(stream.substr(14));
  out.verdict = Verdict::kMalformed;
  if (command >> 4 != 2) return out;
  const bool local = (command & 15) == 0;
  size_t of_addresses = 0;
  if (!local) {
    const bool transport = (family & 15) == 1 || (family & 15) == 2;  // a stream, or datagrams
    of_addresses = family >> 4 == 1 ? kV4 : family >> 4 == 2 ? kV6 : 0;
    if ((command & 15) != 1 || !transport || of_addresses == 0 || length < of_addresses) return out;
  }
  out.bytes = kFixed + length;
  if (stream.size() < out.bytes) {
    out.verdict = Verdict::kMore;
    return out;
  }
  if (local || read_body(stream.substr(kFixed, length), of_addresses, out)) out.verdict = Verdict::kHeader;
  return out;
}

}  // namespace

Candidates candidates(std::string_view stream) {
  const auto may_be = [&](std::string_view signature) { return stream.substr(0, signature.size()) == signature.substr(0, stream.size()); };
  return {may_be(kLine), may_be(kSignature)};
}

Header read_header(std::string_view stream) {
  const Candidates may = candidates(stream);
  if (may.v1 && stream.size() >= kLine.size()) return read_v1(stream);
  if (may.v2 && stream.size() >= kSignature.size()) return read_v2(stream);
  Header out;
  if (!may.v1 && !may.v2) out.verdict = Verdict::kNone;
  return out;
}

}  // namespace fairlead::filters::listener::proxy_protocol
