// The PROXY protocol's header, byte by byte.
#include <catch2/catch.hpp>

#include "dataplane/upstream/pool/proxy_header.h"

using namespace fairlead;
using namespace fairlead::upstream;
using namespace std::string_literals;

namespace {

net::Address at(std::string_view text) { return *net::Address::parse(text); }

std::string header(const config::ProxyProtocol& protocol, std::string_view source, std::string_view destination) {
  const ProxiedFor client{at(source), at(destination)};
  return proxy_header(protocol, &client, at("127.0.0.1:1"), at("127.0.0.1:2"));
}

const std::string kSignature = "\r\n\r\n\0\r\nQUIT\n"s;

}  // namespace

TEST_CASE("version 1 names the client and the address it came to") {
  CHECK(header({}, "10.0.0.1:1234", "10.0.0.2:80") == "PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n");
  CHECK(header({}, "[2001:db8::1]:1234", "[::1]:80") == "PROXY TCP6 2001:db8::1 ::1 1234 80\r\n");
  CHECK(header({}, "/client", "/server") == "PROXY UNKNOWN\r\n");
}

TEST_CASE("version 2 is binary") {
  CHECK(header({.v2 = true, .tlvs = {}}, "10.0.0.1:4660", "10.0.0.2:80") == kSignature + "\x21\x11\x00\x0c\x0a\x00\x00\x01\x0a\x00\x00\x02\x12\x34\x00\x50"s);
  const std::string six = header({.v2 = true, .tlvs = {}}, "[::1]:1", "[::2]:2");
  CHECK(six.size() == 16 + 36);
  CHECK(six.substr(12, 4) == "\x21\x21\x00\x24"s);
  CHECK(six.substr(48) == "\x00\x01\x00\x02"s);
}

TEST_CASE("TLVs follow the addresses of version 2") {
  CHECK(header({.v2 = true, .tlvs = {{0xf0, "abc"}, {1, ""}}}, "10.0.0.1:1", "10.0.0.2:2").substr(12) == "\x21\x11\x00\x15\x0a\x00\x00\x01\x0a\x00\x00\x02\x00\x01\x00\x02\xf0\x00\x03"s + "abc" + "\x01\x00\x00"s);
}

TEST_CASE("without a client, version 1 names the connection's own ends and version 2 says LOCAL") {
  CHECK(proxy_header({}, nullptr, at("10.0.0.3:5"), at("10.0.0.4:6")) == "PROXY TCP4 10.0.0.3 10.0.0.4 5 6\r\n");
  CHECK(proxy_header({.v2 = true, .tlvs = {}}, nullptr, at("10.0.0.3:5"), at("10.0.0.4:6")) == kSignature + "\x20\x00\x00\x00"s);
}
