// The counters behind the limits.
#include "dataplane/http/h2/limits.h"

#include <catch2/catch.hpp>

using namespace fairlead::h2;

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

TEST_CASE("every count has its name", "[h2][limits]") {
  CHECK(stat_name(Stat::goaway_sent) == "goaway_sent");
  CHECK(stat_name(Stat::too_many_premature_resets) == "too_many_premature_resets");
  CHECK(stat_name(Stat::deferred_stream_close) == "deferred_stream_close");
  CHECK(stat_name(Stat::streams_active) == "streams_active");
}
