// Outlier detection's arithmetic, and the counts that workers keep.
#include <catch2/catch.hpp>
#include <vector>

#include "dataplane/upstream/health/ejection.h"
#include "dataplane/upstream/pool/host_health.h"

namespace fairlead::upstream {
namespace {

using namespace std::chrono_literals;
using config::OutlierDetection;

TEST_CASE("ten percent of nine hosts is none, unless one may always go") {
  OutlierDetection detection;
  CHECK_FALSE(room_for_ejection(detection, 9, 0));
  CHECK(room_for_ejection(detection, 10, 0));
  CHECK_FALSE(room_for_ejection(detection, 10, 1));
  CHECK(room_for_ejection(detection, 20, 1));
  detection.always_eject_one_host = true;
  CHECK(room_for_ejection(detection, 2, 0));
  CHECK_FALSE(room_for_ejection(detection, 2, 1));
  detection.max_ejection_percent = 100;
  CHECK(room_for_ejection(detection, 2, 1));
}

TEST_CASE("an ejection lasts longer each time, up to the limit, and shorter again once the host behaves") {
  OutlierDetection detection;
  detection.base_ejection_time = 30s;
  detection.max_ejection_time = 70s;
  Ejection host;
  MonotonicTime now{1h};
  const auto lasts = [&](std::chrono::milliseconds jitter = 0ms) {
    begin_ejection(detection, host, now, jitter);
    const MonotonicTime from = now;
    while (!ejection_over(detection, host, now)) now += 1s;
    host.ejected = false;
    return now - from;
  };
  CHECK(lasts() == 30s);
  CHECK(lasts() == 60s);
  CHECK(lasts() == 60s);  // Envoy 1.40 counts up to max / base
  CHECK(lasts(5s) == 65s);
  CHECK_FALSE(ejection_over(detection, host, now));
  CHECK(host.times == 1);
  CHECK_FALSE(ejection_over(detection, host, now));
  CHECK_FALSE(ejection_over(detection, host, now));
  CHECK(host.times == 0);
  CHECK(lasts() == 30s);
}

TEST_CASE("success rates: the mean less so many standard deviations") {
  const std::vector<double> rates = {100, 100, 100, 100, 50};
  CHECK(success_rates(rates, 1900).threshold == Approx(90 - 1.9 * 20));
  CHECK(success_rates(rates, 1900).average == Approx(90));
  CHECK(success_rates(rates, 0).threshold == Approx(90));
  CHECK(success_rates(std::vector<double>{97}, 1900).threshold == Approx(97));
}

struct Counting {
  explicit Counting(OutlierDetection d) : detection(d) {}
  OutlierDetection detection;
  std::vector<HealthEvent> told;
  ClusterHealth cluster{&detection, 0, [this](const std::string&, HealthEvent event) { told.push_back(event); }};
  std::shared_ptr<HostHealth> host = cluster.host("10.0.0.1:80", true);
};

TEST_CASE("a run of failures is told once, when it reaches its threshold") {
  Counting c(OutlierDetection{.consecutive_5xx = 3, .consecutive_gateway = 2});
  c.cluster.on_status(*c.host, 500);
  c.cluster.on_status(*c.host, 503);
  CHECK(c.told.empty());
  c.cluster.on_status(*c.host, 503);
  CHECK(c.told == std::vector{HealthEvent::ConsecutiveGateway, HealthEvent::Consecutive5xx});
  c.cluster.on_status(*c.host, 503);
  CHECK(c.told.size() == 2);
  c.cluster.on_status(*c.host, 404);
  c.cluster.on_status(*c.host, 500);
  c.cluster.on_status(*c.host, 500);
  CHECK(c.told.size() == 2);
  CHECK(c.host->external.total == 7);
  CHECK(c.host->external.success == 1);
}

TEST_CASE("failed connects and timeouts are 503 and 504, unless local origin is counted apart") {
  Counting together(OutlierDetection{.consecutive_5xx = 2});
  together.cluster.on_local(*together.host, LocalResult::Connected);
  together.cluster.on_local(*together.host, LocalResult::ConnectFailed);
  together.cluster.on_local(*together.host, LocalResult::TimedOut);
  CHECK(together.told == std::vector{HealthEvent::Consecutive5xx});
  CHECK(together.host->external.total == 2);

  Counting apart(OutlierDetection{.split_local_origin = true, .consecutive_local = 2});
  apart.cluster.on_local(*apart.host, LocalResult::ConnectFailed);
  apart.cluster.on_local(*apart.host, LocalResult::Connected);
  apart.cluster.on_local(*apart.host, LocalResult::TimedOut);
  CHECK(apart.told.empty());
  apart.cluster.on_local(*apart.host, LocalResult::ConnectFailed);
  CHECK(apart.told == std::vector{HealthEvent::ConsecutiveLocal});
  CHECK(apart.host->external.total == 0);
  CHECK(apart.host->local.total == 4);
  CHECK(apart.host->local.success == 1);
}

TEST_CASE("flags and the control plane's word together make a host's health") {
  CHECK(health_in(Health::kHealthy, 0) == Health::kHealthy);
  CHECK(health_in(Health::kHealthy, kDegradedCheck) == Health::kDegraded);
  CHECK(health_in(Health::kDegraded, kEjected) == Health::kUnhealthy);
  CHECK(health_in(Health::kUnhealthy, kDegradedCheck) == Health::kUnhealthy);
  CHECK(health_in(Health::kHealthy, kFailedCheck | kDegradedCheck) == Health::kUnhealthy);
}

TEST_CASE("an address that left begins anew when it comes back; one without checks is never unchecked") {
  ClusterHealth cluster(nullptr, kFailedCheck, {});
  const auto host = cluster.host("a", true);
  CHECK(host->flags == kFailedCheck);
  host->flags = 0;
  CHECK(cluster.host("a", true) == host);
  cluster.forget("a");
  CHECK(cluster.host("a", true)->flags == kFailedCheck);
  CHECK(cluster.host("b", false)->flags == 0);
}

}  // namespace
}  // namespace fairlead::upstream
