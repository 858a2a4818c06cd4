// What is on its way to clients is bounded, and those that do not read hold nobody up.
#include "controlplane/serve/outflow.h"

#include <catch2/catch.hpp>

namespace outflow_test {

using namespace fairlead;
using serve::Outflow;
using std::chrono::milliseconds;

namespace {
MonotonicTime at(int ms) { return MonotonicTime(milliseconds(1'000'000 + ms)); }
}  // namespace

TEST_CASE("it is full from its measure on, and no more once something is written") {
  Outflow flow({1000, milliseconds(250)});
  CHECK_FALSE(flow.full(at(0)));
  CHECK_FALSE(flow.deadline());
  flow.sent(1, 600, at(0));
  flow.sent(1, 300, at(10));
  CHECK_FALSE(flow.full(at(10)));
  flow.sent(2, 100, at(20));
  CHECK(flow.full(at(20)));
  CHECK(flow.bytes() == 1000);
  flow.written(2);
  CHECK_FALSE(flow.full(at(20)));
  flow.written(2);
  flow.written(3);
  CHECK(flow.bytes() == 900);
  flow.sent(4, 0, at(20));
  CHECK(flow.bytes() == 900);
}

TEST_CASE("what a client does not take in time counts no more, and what it is sent later does") {
  Outflow flow({1000, milliseconds(250)});
  flow.sent(1, 800, at(0));
  flow.sent(2, 800, at(100));
  REQUIRE(flow.full(at(249)));
  CHECK(flow.deadline() == at(250));
  CHECK_FALSE(flow.full(at(250)));
  CHECK(flow.bytes() == 800);
  flow.sent(1, 800, at(260));
  CHECK(flow.full(at(349)));
  CHECK(flow.deadline() == at(350));
  CHECK_FALSE(flow.full(at(350)));
  CHECK(flow.bytes() == 800);  // the first one's, sent anew
  flow.sent(2, 800, at(360));
  CHECK(flow.full(at(509)));
  CHECK_FALSE(flow.full(at(510)));
}

TEST_CASE("thousands that were written leave nothing in the line") {
  Outflow flow({1000, milliseconds(250)});
  flow.sent(1, 1, at(0));
  for (int i = 0; i < 10'000; ++i) {
    flow.sent(2, 999, at(i / 100));
    REQUIRE(flow.full(at(i / 100)));
    flow.written(2);
  }
  CHECK(flow.bytes() == 1);
  CHECK_FALSE(flow.full(at(100)));
}

}  // namespace outflow_test
