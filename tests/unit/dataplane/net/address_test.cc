// Parsing and printing of socket addresses.
#include "dataplane/net/address.h"

#include <catch2/catch.hpp>

using fairlead::net::Address;

TEST_CASE("addresses survive the way through text and sockaddr", "[address]") {
  for (const char* text : {"127.0.0.1:80", "0.0.0.0:0", "[::1]:65535", "[2001:db8::1]:443", "/run/x.sock", "@abstract"}) {
    auto a = Address::parse(text);
    REQUIRE(a.ok());
    CHECK(a->to_string() == text);
    sockaddr_storage storage;
    socklen_t size = a->to_sockaddr(storage);
    CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), size) == *a);
  }
}

TEST_CASE("what is no address is refused with its text", "[address]") {
  for (const char* text : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "1.2.3:80", "::1:80", "[::1]", "host:80", "[::g]:1"}) {
    auto a = Address::parse(text);
    INFO(text);
    CHECK_FALSE(a.ok());
    CHECK(a.status().message().find(text) != std::string::npos);
  }
  CHECK_FALSE(Address::from_unix(std::string(200, 'x')).ok());
}

TEST_CASE("kinds of addresses", "[address]") {
  CHECK(Address::v4_loopback(1).is_loopback());
  CHECK(Address::parse("127.9.9.9:1")->is_loopback());
  CHECK(Address::parse("[::1]:1")->is_loopback());
  CHECK(Address::parse("[::ffff:127.0.0.1]:1")->is_loopback());
  CHECK_FALSE(Address::parse("10.0.0.1:1")->is_loopback());
  CHECK(Address::v4_any(5).is_any());
  CHECK(Address::parse("[::]:5")->is_any());
  CHECK(Address::v4_any(5).with_port(6).port() == 6);
  CHECK(Address::parse("10.0.0.1:1")->ip_string() == "10.0.0.1");
}

TEST_CASE("a v4-mapped peer is an IPv4 peer", "[address]") {
  sockaddr_storage storage;
  socklen_t size = Address::parse("[::ffff:10.1.2.3]:9")->to_sockaddr(storage);
  CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), size).to_string() == "10.1.2.3:9");
}
