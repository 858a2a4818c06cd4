// Load reports: sums since the start, what goes on now, and that they stay small.
#include "controlplane/serve/load_reports.h"

#include <catch2/catch.hpp>

#include <limits>
#include <string>

#include "envoy/service/load_stats/v3/lrs.pb.h"

namespace load_reports_test {

using namespace fairlead;
using namespace std::chrono_literals;
using envoy::service::load_stats::v3::LoadStatsRequest;
using serve::LoadReports;

namespace {

struct Says {
  std::string cluster = "a", zone = "z1";
  uint64_t issued = 0, failed = 0, in_progress = 0, dropped = 0;
  int interval = 10;
};

LoadStatsRequest report(const std::vector<Says>& all) {
  LoadStatsRequest r;
  for (const Says& s : all) {
    auto& c = *r.add_cluster_stats();
    c.set_cluster_name(s.cluster);
    c.mutable_load_report_interval()->set_seconds(s.interval);
    c.set_total_dropped_requests(s.dropped);
    if (s.dropped) {
      c.add_dropped_requests()->set_category("throttle");
      c.mutable_dropped_requests(0)->set_dropped_count(s.dropped);
    }
    auto& l = *c.add_upstream_locality_stats();
    l.mutable_locality()->set_region("r");
    l.mutable_locality()->set_zone(s.zone);
    l.set_total_issued_requests(s.issued);
    l.set_total_error_requests(s.failed);
    l.set_total_successful_requests(s.issued - s.failed);
    l.set_total_requests_in_progress(s.in_progress);
  }
  return r;
}

const MonotonicTime kNow{std::chrono::hours(1)};

doc::Value locality(const LoadReports& reports, size_t cluster = 0, size_t place = 0) {
  const doc::Value all = reports.to_doc(kNow);
  return all.find("clusters")->items()[cluster].find("localities")->items()[place];
}
double number(const doc::Value& v, std::string_view key) { return v.find(key)->as_number(); }

}  // namespace

TEST_CASE("rule 61: reports of several clients are summed by cluster and locality; rates are of the last report") {
  LoadReports reports;
  reports.open(1, "n1", "127.0.0.1:1");
  reports.open(2, "n2", "127.0.0.1:2");
  reports.report(1, report({{.issued = 100, .failed = 10, .in_progress = 3}}), kNow);
  reports.report(2, report({{.issued = 50, .in_progress = 1, .interval = 5}, {.cluster = "b", .zone = "z2", .issued = 7, .dropped = 4}}), kNow);
  CHECK(reports.reporters() == 2);
  doc::Value a = locality(reports);
  CHECK(a.find("locality")->as_string() == "r/z1");
  CHECK(number(a, "reporters") == 2);
  CHECK(number(a, "requests_per_s") == 20);
  CHECK(number(a, "errors_per_s") == 1);
  CHECK(number(a, "in_progress") == 4);
  CHECK(number(a, "issued") == 150);
  CHECK(number(a, "succeeded") == 140);
  const doc::Value b = reports.to_doc(kNow).find("clusters")->items()[1];
  CHECK(b.find("cluster")->as_string() == "b");
  CHECK(number(b, "dropped") == 4);
  CHECK(number(*b.find("dropped_by"), "throttle") == 4);
  // the second one has nothing to say of it any more, and the first goes away: sums stay
  reports.report(2, report({}), kNow);
  CHECK(number(locality(reports), "requests_per_s") == 10);
  reports.close(1);
  a = locality(reports);
  CHECK(number(a, "requests_per_s") == 0);
  CHECK(number(a, "in_progress") == 0);
  CHECK(number(a, "issued") == 150);
  CHECK(reports.reporters() == 1);
}

TEST_CASE("named metrics are kept as means, sixteen of them at a place, and nonsense is left out") {
  LoadReports reports;
  reports.open(1, "n1", "");
  LoadStatsRequest r = report({{.issued = 1}});
  auto& place = *r.mutable_cluster_stats(0)->mutable_upstream_locality_stats(0);
  for (int i = 0; i < 100; ++i) {
    auto& m = *place.add_load_metric_stats();
    m.set_metric_name("m" + std::to_string(i));
    m.set_num_requests_finished_with_metric(4);
    m.set_total_metric_value(i == 1 ? std::numeric_limits<double>::quiet_NaN() : 2);
  }
  reports.report(1, r, kNow);
  const doc::Value metrics = *locality(reports).find("metrics");
  CHECK(metrics.entries().size() == 16);
  CHECK(number(*metrics.find("m0"), "mean") == 0.5);
  CHECK(number(*metrics.find("m1"), "mean") == 0);
}

TEST_CASE("what is kept is bounded, and places that nobody reports make room") {
  LoadReports reports(LoadReports::Options{100, 10min});
  reports.open(1, "n1", "");
  std::vector<Says> many;
  for (int i = 0; i < 1000; ++i) many.push_back({.cluster = "c" + std::to_string(i), .issued = 1});
  reports.report(1, report(many), kNow);
  CHECK(reports.entries() == 100);
  CHECK(number(reports.to_doc(kNow), "not_kept") == 900);
  reports.report(1, report({{.cluster = "late", .issued = 1}}), kNow + 5min);
  CHECK(reports.entries() == 100);
  reports.report(1, report({{.cluster = "later", .issued = 1}}), kNow + 20min);
  CHECK(reports.entries() == 1);
  // one that comes and goes leaves nothing but sums
  for (LoadReports::Id id = 2; id < 1000; ++id) {
    reports.open(id, "n", "");
    reports.report(id, report({{.cluster = "later", .issued = 1}}), kNow + 20min);
    reports.close(id);
  }
  CHECK(reports.entries() == 1);
  CHECK(reports.reporters() == 1);
}

TEST_CASE("what goes on now is told by assignment and locality, with how busy endpoints say they are, as long as it is fresh") {
  LoadReports reports;
  reports.open(1, "n1", "");
  reports.open(2, "n2", "");
  LoadStatsRequest r = report({{.cluster = "ns/a/80/passed-on", .issued = 100, .failed = 10}, {.cluster = "ns/b/80", .zone = "z2", .issued = 10}});
  r.mutable_cluster_stats(0)->set_cluster_service_name("ns/a/80");
  const auto metric = [](auto& m, uint64_t requests, double sum) {
    m.set_num_requests_finished_with_metric(requests);
    m.set_total_metric_value(sum);
  };
  auto& a = *r.mutable_cluster_stats(0)->mutable_upstream_locality_stats(0);
  for (const char* name : {"cpu_utilization", "application_utilization", "named_metrics.queue"}) {
    auto& m = *a.add_load_metric_stats();
    m.set_metric_name(name);
    metric(m, 40, name[0] == 'c' ? 4 : 20);
  }
  metric(*r.mutable_cluster_stats(1)->mutable_upstream_locality_stats(0)->mutable_cpu_utilization(), 5, 1);
  reports.report(1, r, kNow);
  LoadStatsRequest other = report({{.cluster = "ns/a/80", .issued = 50}});
  metric(*other.mutable_cluster_stats(0)->mutable_upstream_locality_stats(0)->mutable_application_utilization(), 60, 60);
  reports.report(2, other, kNow + 20s);
  const auto loads = reports.now_at(kNow + 20s, 30s);
  REQUIRE(loads.size() == 2);
  CHECK(loads[0].assignment == "ns/a/80");
  CHECK(loads[0].locality == topology::Locality{"r", "z1"});
  CHECK(loads[0].requests_per_s == 15);
  CHECK(loads[0].errors_per_s == 1);
  CHECK(loads[0].measured == 100);
  CHECK(loads[0].utilization == 0.8);
  CHECK(loads[1].assignment == "ns/b/80");
  CHECK(loads[1].utilization == 0.2);
  const auto later = reports.now_at(kNow + 40s, 30s);  // the first one's is too old
  REQUIRE(later.size() == 1);
  CHECK(later[0].requests_per_s == 5);
  CHECK(later[0].utilization == 1);
  reports.close(2);
  CHECK(reports.now_at(kNow + 40s, 30s).empty());
}

TEST_CASE("reports of a stream that is not open are passed over") {
  LoadReports reports;
  reports.report(7, report({{.issued = 1}}), kNow);
  reports.close(7);
  CHECK(reports.entries() == 0);
}

}  // namespace load_reports_test
