// The counters behind the limits.
#include "dataplane/http/h2/limits.h"

#include <catch2/catch.hpp>

#include "tests/unit/dataplane/http/h2/harness.h"

using namespace fairlead::h2;
using namespace fairlead::h2::test;

TEST_CASE("frames leave the count with their bytes", "[h2][limits]") {
  OutboundFrames frames;
  uint64_t written = 0;
  for (int i = 0; i < 5; ++i) {
    frames.add(i % 2 == 0);
    written += 10;
    frames.settle(written, written);
  }
  CHECK(frames.frames() == 5);
  CHECK(frames.control() == 3);
  frames.settle(written, 21);  // 29 bytes are gone: two whole frames
  CHECK(frames.frames() == 3);
  CHECK(frames.control() == 2);
  frames.settle(written, 0);
  CHECK(frames.frames() == 0);
}

TEST_CASE("joined marks never lose a frame and forget all in the end", "[h2][limits]") {
  OutboundFrames frames;
  uint64_t written = 0;
  for (int i = 0; i < 1000; ++i) {
    frames.add(false);
    written += 10;
    frames.settle(written, written);
    REQUIRE(frames.frames() == static_cast<uint32_t>(i) + 1);
  }
  frames.settle(written, 5000);
  CHECK(frames.frames() >= 500);
  frames.settle(written, 10);
  CHECK(frames.frames() >= 1);
  frames.settle(written, 0);
  CHECK(frames.frames() == 0);
}

TEST_CASE("premature resets end the connection as in Envoy", "[h2][limits]") {
  PrematureResets early(500);
  for (int i = 0; i < 249; ++i) REQUIRE_FALSE(early.ended(true));
  CHECK(early.ended(true));
  PrematureResets mixed(500);
  for (int i = 0; i < 2000; ++i) REQUIRE_FALSE(mixed.ended(i % 3 == 0));
  PrematureResets off(0);
  for (int i = 0; i < 2000; ++i) REQUIRE_FALSE(off.ended(true));
}

namespace {

// The code of the breach that these frames end in, 0 for none; given whole and byte by byte.
uint32_t breach(const std::string& frames, bool server = true) {
  const std::string bytes = (server ? kPreface : std::string()) + frames;
  StreamHistory whole(server), pieces(server);
  const auto found = whole.read(bytes);
  for (char c : bytes) {
    if (const auto again = pieces.read(std::string_view(&c, 1)); again) {
      CHECK(found.has_value());
      return again->code;
    }
  }
  CHECK_FALSE(found.has_value());
  return 0;
}

}  // namespace

TEST_CASE("a peer may not speak on streams it has ended or skipped", "[h2][limits]") {
  const std::string get1 = headers(1, kGet), post1 = headers(1, kPost, false), rst1 = frame(kRst, 0, 1, be(8, 4));
  CHECK(breach(get1 + headers(3, kGet)) == 0);
  CHECK(breach(post1 + frame(kData, 0, 1, "x") + headers(1, {{"a", "b"}})) == 0);
  CHECK(breach(get1 + rst1 + rst1 + frame(kWindowUpdate, 0, 1, be(1, 4)) + frame(kPriority, 0, 1, be(0, 5))) == 0);
  CHECK(breach(get1 + frame(kData, 0, 1, "x")) == 5);
  CHECK(breach(get1 + get1) == 5);
  CHECK(breach(post1 + rst1 + frame(kData, 0, 1, "x")) == 5);
  CHECK(breach(headers(9, kGet) + headers(11, kGet)) == 0);
  CHECK(breach(headers(9, kGet) + headers(7, kGet)) == 1);
  CHECK(breach(headers(1, kPost, false) + headers(9, kGet) + headers(1, {{"a", "b"}})) == 0);
  CHECK(breach(headers(1, {{":status", "200"}}) + headers(1, {{"a", "b"}}), false) == 5);
  std::string many = get1;
  for (uint32_t id = 3; id < 60; id += 2) many += headers(id, kGet);
  CHECK(breach(many + get1) == 0);  // long ago: nghttp2 ignores it
}

TEST_CASE("every count has its name", "[h2][limits]") {
  CHECK(stat_name(Stat::goaway_sent) == "goaway_sent");
  CHECK(stat_name(Stat::header_overflow) == "header_overflow");
  CHECK(stat_name(Stat::too_many_premature_resets) == "too_many_premature_resets");
  CHECK(stat_name(Stat::deferred_stream_close) == "deferred_stream_close");
  CHECK(stat_name(Stat::streams_active) == "streams_active");
}
