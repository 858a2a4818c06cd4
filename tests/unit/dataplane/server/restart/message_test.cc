// Packets of a hot restart: what goes in comes out, and nothing else does.
#include "dataplane/server/restart/message.h"

#include <catch2/catch.hpp>

namespace fairlead::server::restart {
namespace {

using Catch::Matchers::Contains;

std::vector<Message> one_of_each() {
  return {Hello{7, "1.2.3", 900'000},
          Welcome{8, 1, 2, 3, 1'700'000'000'000, "127.0.0.1:0", "127.0.0.1:9901", 2},
          Refused{"it is about to end"},
          SocketsWanted{SocketType::datagram, "l", "0.0.0.0:53"},
          Sockets{SocketType::stream, "/run/x.sock"},
          Ready{},
          Draining{9, 4},
          Taken{},
          Confirmed{},
          Statistics{12, 34},
          UdpSessions{77, {"one", "", "three"}}};
}

TEST_CASE("every message comes out as it went in") {
  const std::vector<Message> all = one_of_each();
  REQUIRE(all.size() == std::variant_size_v<Message>);
  for (const Message& m : all) {
    const auto back = decode(encode(m));
    REQUIRE(back.ok());
    CHECK(*back == m);
  }
}

TEST_CASE("a packet that is cut short anywhere, or has more behind it, is refused") {
  for (const Message& m : one_of_each()) {
    const std::string whole = encode(m);
    for (size_t n = 0; n < whole.size(); ++n) CHECK_FALSE(decode(std::string_view(whole).substr(0, n)).ok());
    CHECK_FALSE(decode(whole + "x").ok());
  }
}

TEST_CASE("packets of others are told apart: no mark, an unknown type, another version") {
  CHECK_THAT(std::string(decode("GET / HTTP/1.1\r\n").status().message()), Contains("no packet"));
  std::string packet = encode(Ready{});
  packet[6] = 99;
  CHECK_THAT(std::string(decode(packet).status().message()), Contains("unknown type 99"));
  packet = encode(Ready{});
  packet[4] = 1;
  CHECK_THAT(std::string(decode(packet).status().message()), Contains("version 1 in place of 2"));
  CHECK(version_text() == "fairlead.2");
}

TEST_CASE("a hello of another version is told apart from nonsense, and a refusal is understood in every version") {
  std::string hello = encode(Hello{7, "9.9", 1});
  hello[4] = 3;
  CHECK(decode(hello).status().code() == absl::StatusCode::kFailedPrecondition);
  std::string refused = encode(Refused{"no"});
  refused[4] = 3;
  const auto back = decode(refused);
  REQUIRE(back.ok());
  CHECK(*back == Message(Refused{"no"}));
}

TEST_CASE("a text that says to be longer than the packet is refused") {
  std::string packet = encode(Refused{"no"});
  packet[8] = packet[9] = packet[10] = packet[11] = static_cast<char>(0xff);
  CHECK_FALSE(decode(packet).ok());
}

}  // namespace
}  // namespace fairlead::server::restart
