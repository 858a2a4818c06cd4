// See proxy_header.h.
#include "dataplane/upstream/pool/proxy_header.h"

#include <absl/strings/str_cat.h>

namespace fairlead::upstream {
namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

void append_u16(std::string& out, size_t value) {
  out.push_back(static_cast<char>(value >> 8 & 255));
  out.push_back(static_cast<char>(value & 255));
}

std::string text_header(const net::Address& source, const net::Address& destination) {
  if (!source.is_ip() || !destination.is_ip()) return "PROXY UNKNOWN\r\n";
  return absl::StrCat("PROXY ", source.kind() == net::Address::Kind::V4 ? "TCP4" : "TCP6", " ", source.ip_string(), " ", destination.ip_string(), " ", source.port(), " ", destination.port(), "\r\n");
}

std::string binary_header(const config::ProxyProtocol& protocol, const ProxiedFor* client) {
  std::string out(kSignature);
  if (client == nullptr || !client->source.is_ip() || client->source.kind() != client->destination.kind()) {
    return out + std::string("\x20\0\0\0", 4);  // LOCAL, of no family
  }
  const bool v4 = client->source.kind() == net::Address::Kind::V4;
  std::string body;
  for (const net::Address* address : {&client->source, &client->destination}) {
    body.append(reinterpret_cast<const char*>(address->bytes().data()), v4 ? 4 : 16);
  }
  append_u16(body, client->source.port());
  append_u16(body, client->destination.port());
  std::string tlvs;
  for (const auto& [type, value] : protocol.tlvs) {
    tlvs.push_back(static_cast<char>(type));
    append_u16(tlvs, value.size());
    tlvs += value;
  }
  body += tlvs;  // the configuration holds no more than fits
  out.push_back('\x21');  // version 2, PROXY
  out.push_back(v4 ? '\x11' : '\x21');  // a stream over the family
  append_u16(out, body.size());
  return out + body;
}

}  // namespace

std::string proxy_header(const config::ProxyProtocol& protocol, const ProxiedFor* client, const net::Address& local, const net::Address& remote) {
  if (protocol.v2) return binary_header(protocol, client);
  return client != nullptr ? text_header(client->source, client->destination) : text_header(local, remote);
}

}  // namespace fairlead::upstream
