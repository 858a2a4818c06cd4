// What is carried from one process's registry to the next one's.
#include "dataplane/server/restart/statistics.h"

#include <catch2/catch.hpp>

namespace fairlead::server::restart {
namespace {

using stats::Registry;

struct Side {
  Registry registry{2};
  stats::ScopePtr scope = registry.scope(stats::cluster_scope("up"));
  stats::Counter total = scope->counter("upstream_rq_total");
  stats::Gauge active = scope->gauge("upstream_rq_active");
  stats::Gauge healthy = scope->gauge("membership_healthy");
};

uint64_t value(const Side& side, std::string_view leaf) { return side.registry.find("cluster.up." + std::string(leaf)); }

TEST_CASE("counters are carried once and then by what is added; open things as they are, until their process has gone") {
  Side old, next;
  old.registry.cells(1).add(old.total, 10);
  old.registry.cells(1).set(old.active, 3);
  old.registry.cells(0).set(old.healthy, 5);
  next.registry.cells(1).add(next.total, 1);
  next.registry.cells(1).set(next.active, 2);
  StatisticsSource source(old.registry);
  StatisticsSink sink(next.registry);
  REQUIRE(sink.apply(source.all()).ok());
  CHECK(value(next, "upstream_rq_total") == 11);
  CHECK(value(next, "upstream_rq_active") == 5);
  CHECK(value(next, "membership_healthy") == 0);  // says how that process is, not what is open

  old.registry.cells(1).add(old.total, 4);
  old.registry.cells(1).set(old.active, 1);
  REQUIRE(sink.apply(source.changes()).ok());
  CHECK(value(next, "upstream_rq_total") == 15);
  CHECK(value(next, "upstream_rq_active") == 3);
  REQUIRE(sink.apply(source.changes()).ok());
  CHECK(value(next, "upstream_rq_total") == 15);
  sink.end();
  CHECK(value(next, "upstream_rq_active") == 2);
  CHECK(value(next, "upstream_rq_total") == 15);
}

TEST_CASE("what nobody heard is said again") {
  Side old, next;
  StatisticsSource source(old.registry);
  StatisticsSink sink(next.registry);
  REQUIRE(sink.apply(source.all()).ok());
  old.registry.cells(1).add(old.total, 4);
  source.changes();
  source.take_back();
  REQUIRE(sink.apply(source.changes()).ok());
  CHECK(value(next, "upstream_rq_total") == 4);
}

TEST_CASE("a counter that comes into being later has what was carried, also in the generation after") {
  Side first, second, third;
  first.registry.cells(1).add(first.scope->codes("upstream_rq_").cell(503), 7);
  StatisticsSource from_first(first.registry), from_second(second.registry);
  StatisticsSink in_second(second.registry), in_third(third.registry);
  REQUIRE(in_second.apply(from_first.all()).ok());
  CHECK(value(second, "upstream_rq_503") == 0);
  REQUIRE(in_third.apply(from_second.all()).ok());
  third.registry.cells(1).add(third.scope->codes("upstream_rq_").cell(503), 1);
  CHECK(value(third, "upstream_rq_503") == 8);
  second.registry.cells(1).add(second.scope->codes("upstream_rq_").cell(503), 2);
  CHECK(value(second, "upstream_rq_503") == 9);
  REQUIRE(in_third.apply(from_second.changes()).ok());
  CHECK(value(third, "upstream_rq_503") == 10);
}

TEST_CASE("gauges of the generation before last are not passed on: its own process tells them") {
  Side first, second, third;
  first.registry.cells(1).set(first.active, 3);
  second.registry.cells(1).set(second.active, 2);
  StatisticsSource from_first(first.registry), from_second(second.registry);
  StatisticsSink in_second(second.registry), in_third(third.registry);
  REQUIRE(in_second.apply(from_first.all()).ok());
  REQUIRE(in_third.apply(from_second.all()).ok());
  CHECK(value(third, "upstream_rq_active") == 2);
}

TEST_CASE("a scope that goes takes what was carried with it; /reset_counters resets that too") {
  Side old, next;
  old.registry.cells(1).add(old.total, 10);
  StatisticsSource source(old.registry);
  StatisticsSink sink(next.registry);
  REQUIRE(sink.apply(source.all()).ok());
  next.registry.reset_counters();
  CHECK(value(next, "upstream_rq_total") == 0);
  old.registry.cells(1).add(old.total, 1);
  REQUIRE(sink.apply(source.changes()).ok());
  CHECK(value(next, "upstream_rq_total") == 1);
  next.scope.reset();
  next.scope = next.registry.scope(stats::cluster_scope("up"));
  next.scope->counter("upstream_rq_total");
  CHECK(value(next, "upstream_rq_total") == 0);
}

TEST_CASE("statistics that are cut short or of an unknown kind are refused without harm") {
  Side old, next;
  old.registry.cells(1).add(old.total, 10);
  const std::string whole = StatisticsSource(old.registry).all();
  for (size_t n = 1; n < whole.size(); ++n) {
    StatisticsSink sink(next.registry);
    CHECK_FALSE(sink.apply(whole.substr(0, n)).ok());
  }
  std::string odd = whole;
  odd[4 + std::string("cluster.up.").size() + 4] = 77;
  StatisticsSink sink(next.registry);
  CHECK_FALSE(sink.apply(odd).ok());
}

TEST_CASE("which gauges add up") {
  CHECK(gauge_adds_up("http.in.", "downstream_cx_active"));
  CHECK(gauge_adds_up("cluster.up.", "upstream_cx_rx_bytes_buffered"));
  CHECK(gauge_adds_up("", "http2.streams_active"));
  for (const char* leaf : {"membership_total", "max_host_weight", "version", "eds.version"}) CHECK_FALSE(gauge_adds_up("cluster.up.", leaf));
  CHECK_FALSE(gauge_adds_up("server.", "live"));
  CHECK_FALSE(gauge_adds_up("listener_manager.", "total_listeners_active"));
}

}  // namespace
}  // namespace fairlead::server::restart
