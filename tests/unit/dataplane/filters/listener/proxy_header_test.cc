// PROXY protocol headers and request lines on bytes: whole, cut short, wrong.
#include <catch2/catch.hpp>

#include "dataplane/filters/listener/http_inspector/request_line.h"
#include "dataplane/filters/listener/proxy_protocol/header.h"
#include "tests/unit/dataplane/filters/listener/client_hello.h"

namespace fairlead::filters::listener {
namespace {

using namespace fairlead::testing;
using proxy_protocol::Header;
using proxy_protocol::read_header;
using ProxyVerdict = proxy_protocol::Verdict;
using HttpVerdict = http_inspector::Verdict;

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kV4("\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb", 12);  // 1.2.3.4:80 to 5.6.7.8:443

std::string v2(int command, int family, const std::string& body) { return kSignature + u8(static_cast<size_t>(command)) + u8(static_cast<size_t>(family)) + sized16(body); }
ProxyVerdict proxy(const std::string& bytes) { return read_header(bytes).verdict; }

}  // namespace

TEST_CASE("version 1 names both ends, or nobody") {
  const Header v4 = read_header("PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\nGET /");
  CHECK(v4.verdict == ProxyVerdict::kHeader);
  CHECK(v4.version == 1);
  CHECK(v4.bytes == 37);
  CHECK(v4.remote.to_string() == "1.2.3.4:1000");
  CHECK(v4.local.to_string() == "5.6.7.8:443");
  const Header v6 = read_header("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
  CHECK(v6.verdict == ProxyVerdict::kHeader);
  CHECK(v6.remote.to_string() == "[2001:db8::1]:0");
  const Header unknown = read_header("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n");
  CHECK(unknown.verdict == ProxyVerdict::kHeader);
  CHECK_FALSE(unknown.addressed);
}

TEST_CASE("a line that is not quite version 1 is malformed") {
  for (const char* line : {"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1000 443 1\r\n", "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 -2\r\n", "PROXY TCP4 1.2.3.4 5.6.7.8 1 x\r\n",
                           "PROXY TCP4 ::1 ::2 1 2\r\n", "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 host 1 2\r\n", "PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n", "PROXY \r\n1",
                           "PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n", "PROXY TCP4 1.2.3.4 255.255.255.255 1 2\r\n", "PROXY TCP4 1.2.3.4 224.0.0.1 1 2\r\n", "PROXY TCP6 ff02::1 ::1 1 2\r\n"}) {
    INFO(line);
    CHECK(proxy(line) == ProxyVerdict::kMalformed);
  }
  CHECK(proxy("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n") == ProxyVerdict::kHeader);
  CHECK(proxy("PROXY UNKNOWN " + std::string(93, 'x') + "\r\n") == ProxyVerdict::kMalformed);
  CHECK(proxy("PROXY " + std::string(103, 'x')) == ProxyVerdict::kNone);
  CHECK(proxy("PROXY " + std::string(102, 'x')) == ProxyVerdict::kMore);
  CHECK(proxy("PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n") == ProxyVerdict::kNone);
}

TEST_CASE("version 2 names both ends and carries TLVs; LOCAL names nobody") {
  const std::string bytes = v2(0x21, 0x11, kV4 + "\x02" + sized16("host") + "\xe0" + sized16(""));  // TLVs are views into it
  const Header v4 = read_header(bytes);
  CHECK(v4.verdict == ProxyVerdict::kHeader);
  CHECK(v4.version == 2);
  CHECK(v4.bytes == 16 + 12 + 7 + 3);
  CHECK(v4.remote.to_string() == "1.2.3.4:80");
  CHECK(v4.local.to_string() == "5.6.7.8:443");
  REQUIRE(v4.tlvs.size() == 2);
  CHECK(v4.tlvs[0] == std::pair<uint8_t, std::string_view>(2, "host"));
  const Header v6 = read_header(v2(0x21, 0x22, std::string(15, '\0') + "\x01" + std::string(15, '\0') + "\x02" + u16(1) + u16(2)));
  CHECK(v6.verdict == ProxyVerdict::kHeader);
  CHECK(v6.local.to_string() == "[::2]:2");
  const Header local = read_header(v2(0x20, 0x00, "anything"));
  CHECK(local.verdict == ProxyVerdict::kHeader);
  CHECK_FALSE(local.addressed);
  CHECK(local.bytes == 24);
}

TEST_CASE("a binary header that is not quite version 2 is malformed") {
  CHECK(proxy(v2(0x31, 0x11, kV4)) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x22, 0x11, kV4)) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x00, kV4)) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x31, std::string(216, 'x'))) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x13, kV4)) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x11, kV4.substr(1))) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x21, kV4)) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x11, kV4 + "\x02")) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x11, kV4 + "\x02" + u16(2) + "x")) == ProxyVerdict::kMalformed);
  CHECK(proxy(v2(0x21, 0x11, std::string(4, '\0') + kV4.substr(4))) == ProxyVerdict::kMalformed);
}

TEST_CASE("every prefix of a header waits or gets the verdict of the whole") {
  const std::vector<std::string> streams = {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 443\r\nGET / HTTP/1.1\r\n", "PROXY UNKNOWN\r\n", "PROXY TCP4\r\n", v2(0x21, 0x11, kV4 + "\x02" + sized16("host")) + "more", v2(0x20, 0, ""), v2(0x21, 0x11, kV4 + "\x02"),
                                            v2(0x11, 0x11, kV4), "GET / HTTP/1.1\r\n\r\n", "PROXX", "\r\n\r\nx", "PROXY " + std::string(200, 'x')};
  for (const std::string& stream : streams) {
    INFO(stream);
    const ProxyVerdict whole = proxy(stream);
    CHECK(whole != ProxyVerdict::kMore);
    for (size_t size = 0; size < stream.size(); ++size) {
      const ProxyVerdict part = proxy(stream.substr(0, size));
      if (part != ProxyVerdict::kMore && part != whole) FAIL("prefix of " << size);
    }
  }
}

TEST_CASE("the first bytes of HTTP are told from others, and its versions apart") {
  const std::vector<std::pair<std::string, HttpVerdict>> streams = {
      {"GET / HTTP/1.1\r\nhost: x\r\n", HttpVerdict::kHttp11},
      {"GET / HTTP/1.1\n", HttpVerdict::kHttp11},
      {"GET / HTTP/1.0\r\n", HttpVerdict::kHttp10},
      {"GET /\r\n", HttpVerdict::kHttp10},
      {"BREW * HTTP/1.1\r\n", HttpVerdict::kHttp11},
      {"GET http://a.b/c HTTP/1.1\r\n", HttpVerdict::kHttp11},
      {"CONNECT a.b:443 HTTP/1.1\r\n", HttpVerdict::kHttp11},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpVerdict::kHttp2},
      {"PRI * HTTP/1.1\r\n", HttpVerdict::kHttp11},
      {"GET\t/ HTTP/1.1 \r\n", HttpVerdict::kHttp11},
      {"GET / \r\n", HttpVerdict::kHttp10},
      {"CONNECT /a HTTP/1.1\r\n", HttpVerdict::kHttp11},
      {"GET a+b://c/ HTTP/1.1\r\n", HttpVerdict::kHttp11},
      {"GET ://c/ HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"GET http://a^/ HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"GET /a\x7f HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"GET /a b HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"GET / HTTP/x.1\r\n", HttpVerdict::kNotHttp},
      {"GET / FTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"GET a HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"GET\r\n", HttpVerdict::kNotHttp},
      {" GET / HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"\r\nGET / HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {"G(T / HTTP/1.1\r\n", HttpVerdict::kNotHttp},
      {std::string("\x16\x03\x01", 3), HttpVerdict::kNotHttp},
      {std::string("\0\0\0", 3), HttpVerdict::kNotHttp},
  };
  for (const auto& [stream, verdict] : streams) {
    INFO(stream);
    CHECK(http_inspector::inspect(stream) == verdict);
    for (size_t size = 0; size < stream.size(); ++size) {
      const HttpVerdict part = http_inspector::inspect(std::string_view(stream).substr(0, size));
      if (part != HttpVerdict::kMore && part != verdict) FAIL("prefix of " << size);
    }
  }
  CHECK(http_inspector::inspect("GET /" + std::string(70000, 'x')) == HttpVerdict::kMore);
}

}  // namespace fairlead::filters::listener
