// Thresholds and intervals of active checks.
#include <catch2/catch.hpp>

#include "dataplane/upstream/health/check_state.h"
#include "dataplane/upstream/pool/host_health.h"

namespace fairlead::upstream {
namespace {

using std::chrono::milliseconds;

TEST_CASE("the first result counts at once, later ones by their thresholds") {
  CheckState state(2, 3);
  uint32_t flags = kFailedCheck;
  CHECK(state.success(flags, false) == Transition::Changed);
  CHECK(flags == 0);
  CHECK(state.failure(flags, CheckFailure::Network) == Transition::Pending);
  CHECK(state.failure(flags, CheckFailure::Timeout) == Transition::Pending);
  CHECK(flags == kCheckTimedOut);
  CHECK(state.failure(flags, CheckFailure::Retriable) == Transition::Changed);
  CHECK(flags == kFailedCheck);
  CHECK(state.success(flags, false) == Transition::Pending);
  CHECK(flags == kFailedCheck);
  CHECK(state.success(flags, false) == Transition::Changed);
  CHECK(flags == 0);
}

TEST_CASE("results of the other kind in between begin the count anew") {
  CheckState state(2, 2);
  uint32_t flags = kFailedCheck;
  state.success(flags, false);
  state.failure(flags, CheckFailure::Network);
  state.success(flags, false);
  CHECK(state.failure(flags, CheckFailure::Network) == Transition::Pending);
  CHECK(state.failure(flags, CheckFailure::Network) == Transition::Changed);
  state.success(flags, false);
  state.failure(flags, CheckFailure::Network);
  CHECK(state.success(flags, false) == Transition::Pending);
  CHECK(flags == kFailedCheck);
}

TEST_CASE("an answer that says so makes a host unhealthy at once") {
  for (const CheckFailure why : {CheckFailure::Answer, CheckFailure::Passive}) {
    CheckState state(1, 10);
    uint32_t flags = kFailedCheck;
    state.success(flags, false);
    CHECK(state.failure(flags, why) == Transition::Changed);
    CHECK(flags == kFailedCheck);
  }
}

TEST_CASE("a first check that fails leaves the host as it was, and the next success needs the threshold") {
  CheckState state(2, 1);
  uint32_t flags = kFailedCheck | kPendingCheck;
  CHECK(state.first());
  CHECK(state.failure(flags, CheckFailure::Network) == Transition::Changed);  // it is not pending any more
  CHECK_FALSE(state.first());
  CHECK(flags == kFailedCheck);
  CHECK(state.failure(flags, CheckFailure::Network) == Transition::Unchanged);
  CHECK(state.success(flags, false) == Transition::Pending);
  CHECK(state.success(flags, false) == Transition::Changed);
}

TEST_CASE("degraded comes and goes with the answers") {
  CheckState state(1, 1);
  uint32_t flags = kFailedCheck;
  state.success(flags, true);
  CHECK(flags == kDegradedCheck);
  CHECK(state.success(flags, true) == Transition::Unchanged);
  CHECK(state.success(flags, false) == Transition::Changed);
  CHECK(flags == 0);
}

TEST_CASE("the next check comes by traffic, result and pending transition") {
  Random random(1);
  config::HealthCheck check;
  check.interval = milliseconds(10);
  check.unhealthy_interval = milliseconds(20);
  check.unhealthy_edge_interval = milliseconds(30);
  check.healthy_edge_interval = milliseconds(40);
  check.no_traffic_interval = milliseconds(50);
  check.no_traffic_healthy_interval = milliseconds(60);
  CHECK(next_check(check, true, Transition::Unchanged, true, random).count() == 10);
  CHECK(next_check(check, true, Transition::Changed, true, random).count() == 10);
  CHECK(next_check(check, false, Transition::Changed, true, random).count() == 20);
  CHECK(next_check(check, false, Transition::Pending, true, random).count() == 30);
  CHECK(next_check(check, true, Transition::Pending, true, random).count() == 40);
  CHECK(next_check(check, false, Transition::Pending, false, random).count() == 50);
  CHECK(next_check(check, true, Transition::Changed, false, random).count() == 60);
  CHECK(first_check(check, random).count() == 0);
  check.interval_jitter = milliseconds(5);
  check.interval_jitter_percent = 50;
  check.initial_jitter = milliseconds(7);
  for (int i = 0; i < 100; ++i) {
    const auto wait = next_check(check, true, Transition::Unchanged, true, random).count();
    CHECK((wait >= 10 && wait < 20));
    CHECK(first_check(check, random).count() < 7);
  }
}

}  // namespace
}  // namespace fairlead::upstream
