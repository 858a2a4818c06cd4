// Shares of load per priority, against the table in Envoy's documentation.
#include <catch2/catch.hpp>

#include "dataplane/upstream/lb/priority_load.h"

using namespace fairlead::upstream;

namespace {
PriorityLoad compute(std::vector<PriorityHealth> p, uint32_t panic = 50) { return PriorityLoad::compute(p, 140, panic); }
}  // namespace

TEST_CASE("two priorities share as Envoy documents") {
  struct Row {
    uint32_t healthy0, p0, p1;
  };
  for (const Row row : {Row{100, 100, 0}, {72, 100, 0}, {71, 99, 1}, {50, 70, 30}, {25, 35, 65}, {0, 0, 100}}) {
    const PriorityLoad load = compute({{100, row.healthy0, 0}, {100, 100, 0}});
    INFO(row.healthy0);
    CHECK(load.shares()[0].healthy == row.p0);
    CHECK(load.shares()[1].healthy == row.p1);
    CHECK_FALSE(load.shares()[0].panic);
  }
}

TEST_CASE("lacking capacity is normalised and panic starts below half") {
  const PriorityLoad load = compute({{100, 25, 0}, {100, 25, 0}});
  CHECK(load.shares()[0].healthy == 50);
  CHECK(load.shares()[1].healthy == 50);
  CHECK(load.shares()[0].panic);
  CHECK(load.shares()[1].panic);
  CHECK_FALSE(compute({{100, 25, 0}, {100, 25, 0}}, 0).shares()[0].panic);
}

TEST_CASE("a sick priority does not panic while another carries the load") {
  const PriorityLoad load = compute({{10, 1, 0}, {10, 10, 0}});
  CHECK_FALSE(load.shares()[0].panic);
  CHECK(load.shares()[0].healthy == 14);
  CHECK(load.shares()[1].healthy == 86);
}

TEST_CASE("degraded hosts serve only after all healthy capacity") {
  const PriorityLoad load = compute({{100, 50, 50}, {100, 0, 0}});
  CHECK(load.shares()[0].healthy == 70);
  CHECK(load.shares()[0].degraded == 30);
  CHECK(load.pick(70 - 1).degraded == false);
  CHECK(load.pick(70).degraded);
}

TEST_CASE("no healthy host at all: panic goes by the number of hosts") {
  const PriorityLoad load = compute({{0, 0, 0}, {30, 0, 0}, {10, 0, 0}});
  CHECK(load.shares()[0].healthy == 0);
  CHECK(load.shares()[1].healthy == 75);
  CHECK(load.shares()[2].healthy == 25);
  CHECK(load.pick(0).priority == 1);
  CHECK(load.pick(0).panic);
}

TEST_CASE("shares always sum to 100") {
  for (uint32_t a = 0; a <= 7; ++a) {
    for (uint32_t b = 0; b <= 7; ++b) {
      for (uint32_t d = 0; a + d <= 7; ++d) {
        uint32_t sum = 0;
        const PriorityLoad load = compute({{7, a, d}, {7, b, 0}, {7, 3, 0}});
        for (const auto& s : load.shares()) sum += s.healthy + s.degraded;
        CHECK(sum == 100);
      }
    }
  }
}
