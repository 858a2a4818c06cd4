// What processes tell each other of a session: what goes in comes out, and nothing else does.
#include "dataplane/filters/udp/udp_proxy/handed.h"

#include <catch2/catch.hpp>

namespace fairlead::filters::udp::udp_proxy {
namespace {

HandedState a_session() {
  HandedState out{.path = {}, .per_packet = true, .cluster = "a", .host = "[::1]:53", .counts = {1, 2, 3, 4, 5}, .began_us = 1'700'000'000'000'000, .age_us = 7, .idle_us = 8};
  out.path.peer.fill(9);
  out.path.local.fill(10);
  out.path.scope = 11;
  out.path.peer_port = 12;
  out.path.v6 = true;
  return out;
}

TEST_CASE("a session that is told of is the same where it is heard") {
  CHECK(HandedState::decode(a_session().encode()) == a_session());
  CHECK(HandedState::decode(HandedState{}.encode()) == HandedState{});
}

TEST_CASE("what is cut short, or longer, is no session") {
  const std::string whole = a_session().encode();
  for (size_t n = 0; n < whole.size(); ++n) CHECK_FALSE(HandedState::decode(std::string_view(whole).substr(0, n)).has_value());
  CHECK_FALSE(HandedState::decode(whole + "x").has_value());
}

}  // namespace
}  // namespace fairlead::filters::udp::udp_proxy
