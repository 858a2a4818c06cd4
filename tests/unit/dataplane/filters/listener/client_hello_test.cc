// The ClientHello parser on bytes: whole, in pieces, cut short, wrong.
#include <catch2/catch.hpp>

#include "dataplane/filters/listener/tls_inspector/client_hello.h"
#include "tests/unit/dataplane/filters/listener/client_hello.h"

namespace fairlead::filters::listener::tls_inspector {
namespace {

using namespace fairlead::testing;

HelloOptions usual() { return HelloOptions().name("API.Example.com").alpn({"h2", "http/1.1"}).versions({0x0304, 0x0303}); }

Verdict verdict(const std::string& bytes, size_t limit = kMaxClientHello) { return inspect(bytes, {.limit = limit}).verdict; }

}  // namespace

TEST_CASE("a ClientHello tells its name in lower case and its protocols in order") {
  const std::string bytes = hello(usual());
  const Inspection seen = inspect(bytes + "and what follows", {});
  CHECK(seen.verdict == Verdict::kTls);
  CHECK(seen.hello.server_name == "api.example.com");
  CHECK(seen.hello.application_protocols == std::vector<std::string>{"h2", "http/1.1"});
  CHECK(seen.hello.has_application_protocols);
  CHECK(seen.bytes == bytes.size());
  CHECK(seen.hello.ja3.empty());
  const Inspection bare = inspect(hello(HelloOptions()), {});
  CHECK(bare.verdict == Verdict::kTls);
  CHECK(bare.hello.server_name.empty());
  CHECK_FALSE(bare.hello.has_application_protocols);
  HelloOptions old;
  old.no_extensions = true;
  CHECK(verdict(hello(old)) == Verdict::kTls);
}

TEST_CASE("every prefix of a stream waits or gets the verdict of the whole, in records of any size") {
  HelloOptions wrong_version = usual();
  wrong_version.version = 0x0300;
  const std::vector<std::string> streams = {hello(usual()), hello(usual(), 1), hello(usual(), 7), hello(usual(), 100), "GET / HTTP/1.1\r\n\r\n", hello(wrong_version), record("\x02" + std::string("\0\0\1x", 4)), record("alert", 21)};
  for (const std::string& stream : streams) {
    const Verdict whole = verdict(stream);
    CHECK(whole != Verdict::kMore);
    for (size_t size = 0; size < stream.size(); ++size) {
      const Verdict part = verdict(stream.substr(0, size));
      if (part != Verdict::kMore && part != whole) FAIL("prefix of " << size << " bytes of " << stream.size());
    }
  }
  CHECK(inspect(hello(usual(), 7), {}).hello.server_name == "api.example.com");
}

TEST_CASE("what is no ClientHello is not TLS, from the first byte that shows it") {
  CHECK(verdict("G") == Verdict::kNotTls);
  CHECK(verdict("\x16") == Verdict::kMore);
  CHECK(verdict("\x16\x02") == Verdict::kNotTls);
  CHECK(verdict("\x16\x03\x01\xff\xff") == Verdict::kNotTls);
  CHECK(verdict("") == Verdict::kMore);
}

TEST_CASE("a message that is broken is not TLS; whether its handshake could go well is not asked") {
  const auto with = [](auto change) {
    HelloOptions o = usual();
    change(o);
    return verdict(hello(o));
  };
  CHECK(with([](HelloOptions&) {}) == Verdict::kTls);
  CHECK(with([](HelloOptions& o) { o.ciphers.clear(); }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.compression.clear(); }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.compression = "\x01"; }) == Verdict::kTls);
  CHECK(with([](HelloOptions& o) { o.session = std::string(33, 's'); }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.extensions[2].second = sized8(u16(0x0305)); }) == Verdict::kTls);
  CHECK(with([](HelloOptions& o) { o.extensions[2].second = "x"; }) == Verdict::kTls);
  CHECK(with([](HelloOptions& o) { o.with(999, "").with(999, ""); }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.extensions[0].second = sized16(u8(0) + sized16("")); }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.extensions[0].second = sized16(u8(0) + sized16(std::string("a\0b", 3))); }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.extensions[0].second = "x"; }) == Verdict::kNotTls);
  CHECK(with([](HelloOptions& o) { o.extensions[0].second = sized16(u8(0) + sized16(std::string(255, 'a'))); }) == Verdict::kTls);
  CHECK(with([](HelloOptions& o) { o.extensions[0].second = sized16(u8(0) + sized16(std::string(256, 'a'))); }) == Verdict::kNotTls);
  std::string message = message_of(usual());
  message.resize(message.size() - 3);  // shorter than it says: more is to come
  CHECK(verdict(record(message)) == Verdict::kMore);
}

TEST_CASE("a ClientHello of a version from before TLS 1.0 or after 1.3 is refused, with its name") {
  for (const auto& [version, expected] : std::vector<std::pair<uint16_t, Verdict>>{{0x0300, Verdict::kRefused}, {0x0301, Verdict::kTls}, {0x0304, Verdict::kTls}, {0x0305, Verdict::kRefused}, {0xfefd, Verdict::kRefused}}) {
    HelloOptions o = usual();
    o.version = version;
    const Inspection seen = inspect(hello(o), {});
    CHECK(seen.verdict == expected);
    CHECK(seen.hello.server_name == "api.example.com");
  }
}

TEST_CASE("a name that is no host's is marked, and writes nothing of its own into logs") {
  CHECK(safe_name("a-b_c.example.com") == "a-b_c.example.com");
  CHECK(safe_name("") == "");
  CHECK(safe_name("a\n\"b.test") == "invalid:a__b.test");
  CHECK(safe_name("[::1]") == "invalid:___1_");
}

TEST_CASE("a list of protocols that is broken is left to the handshake") {
  HelloOptions o = usual();
  o.extensions[1].second = std::string("\0\5\2h2", 5);
  const Inspection seen = inspect(hello(o), {});
  CHECK(seen.verdict == Verdict::kTls);
  CHECK_FALSE(seen.hello.has_application_protocols);
}

TEST_CASE("a ClientHello without an end within the limit is too large") {
  HelloOptions o = usual();
  o.with(21, std::string(3000, '\0'));
  const std::string bytes = hello(o);
  CHECK(verdict(bytes, 2000) == Verdict::kTooLarge);
  CHECK(verdict(bytes.substr(0, 1999), 2000) == Verdict::kMore);
  CHECK(verdict(bytes, bytes.size()) == Verdict::kTls);
  CHECK(verdict(record(u8(1) + u24(16385))) == Verdict::kNotTls);
}

TEST_CASE("fingerprints say what is offered and in which order, without GREASE") {
  HelloOptions o;
  o.ciphers = {0x2a2a, 0x1301, 0xc02f};
  o.with(0x3a3a, "").name("example.com").with(10, sized16(u16(29) + u16(23))).with(11, sized8(u8(0))).with(13, sized16(u16(0x0403) + u16(0x0804))).alpn({"h2", "http/1.1"}).versions({0x4a4a, 0x0304, 0x0303});
  const Inspection seen = inspect(hello(o), {.ja3 = true, .ja4 = true});
  // md5 of "771,4865-49199,0-10-11-13-16-43,29-23,0"
  CHECK(seen.hello.ja3 == "97737df38853b88c4324af06e211c4a1");
  // sha256 of "1301,c02f" and of "000a,000b,000d,002b_0403,0804"
  CHECK(seen.hello.ja4 == "t13d0206h2_c1929292aa6b_fb71836bce29");
  const Inspection bare = inspect(hello(HelloOptions()), {.ja3 = true, .ja4 = true});
  CHECK(bare.hello.ja4.substr(0, 11) == "t12i020000_");
  CHECK(bare.hello.ja4.substr(24) == "000000000000");
}

}  // namespace fairlead::filters::listener::tls_inspector
