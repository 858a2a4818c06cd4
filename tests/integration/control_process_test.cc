// fairlead-control end to end: files in, ADS out, refusals back to the file; raw resources' names and versions; restarts.
#include <atomic>

#include "base/file.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/service/load_stats/v3/lrs.grpc.pb.h"
#include "tests/integration/control_process.h"
#include "tests/unit/apps/pipeline/yaml.h"

using namespace fairlead;
using namespace fairlead::test;

namespace {

void save(const TemporaryDirectory& folder, const std::string& name, const std::string& text) {
  REQUIRE(replace_file(folder.path(name), text).ok());
}

}  // namespace

TEST_CASE("a saved file is with the client at once; a signal ends the process with 0") {
  TemporaryDirectory d;
  save(d, "a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  save(d, "b.yaml", route_yaml("more", "/more") + service_yaml("more"));
  CHECK(ads.until_cluster("more"));
  CHECK(control.process.stop() == 0);
  CHECK(ads.until_end());
}

TEST_CASE("a refusal ends as a condition at the line that caused it; the last good one is served, and a change tried again") {
  TemporaryDirectory d;
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "1s")));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_timeout("a", 1));
  ads.refuse("a");
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "2s")));
  REQUIRE(until_told(control, "nacks", "not by this client"));
  const Ran nacks = cli(control, {"nacks"});
  INFO(nacks.text);
  CHECK(absl::StrContains(nacks.text, d.path("raw.yaml") + ":8: cds a refused by test"));
  CHECK(absl::StrContains(nacks.text, "still served: version "));
  CHECK(absl::StrContains(cli(control, {"conditions"}).text, "Refused"));
  CHECK(absl::StrContains(cli(control, {"status"}).text, "node-1 refused cds: "));
  CHECK(absl::StrContains(cli(control, {"diff", "node-1"}).text, "refused by this proxy"));
  Ads late(control.xds, "edge", {}, "node-2");
  CHECK(late.until_timeout("a", 1));  // the class' last good
}

TEST_CASE("refusals and last good resources survive a restart with --state-dir") {
  TemporaryDirectory d, state;
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "1s")));
  {
    Control control(d.path(), {"--state-dir", state.path("s")});
    Ads ads(control.xds);
    REQUIRE(ads.until_timeout("a", 1));
    ads.refuse("a");
    save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "2s")));
    REQUIRE(until_told(control, "nacks", "not by this client"));
    CHECK(control.process.stop() == 0);
  }
  Control control(d.path(), {"--state-dir", state.path("s")});
  Ads ads(control.xds, "edge", {}, "node-3");
  CHECK(ads.until_timeout("a", 1));
  CHECK(until_told(control, "nacks", "not by this client"));
}

TEST_CASE("a proxy whose class gets the last good of what it refused is in error until the author changes that, whatever else it accepts") {
  TemporaryDirectory d;
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "1s")));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_timeout("a", 1));
  ads.refuse("a");
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "2s")));
  REQUIRE(until_told(control, "nacks", "not by this client"));
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "2s") + cluster_yaml("b")));
  REQUIRE(ads.until_cluster("b"));
  REQUIRE(until_told(control, "status", "ERROR"));
  CHECK(absl::StrContains(cli(control, {"status"}).text, "node-1 refused cds: "));
}

TEST_CASE("a raw resource that is bad keeps its last good version over a restart with --state-dir") {
  TemporaryDirectory d, state;
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "1s") + cluster_yaml("b", "1s")));
  {
    Control control(d.path(), {"--state-dir", state.path("s")});
    Ads ads(control.xds);
    REQUIRE(ads.until_timeout("a", 1));
    save(d, "raw.yaml", raw_yaml("mine", cluster_yaml("a", "0s") + cluster_yaml("b", "2s")));  // Envoy's rules ask for more than 0 s
    REQUIRE(ads.until_timeout("b", 2));
    CHECK(ads.clusters["a"].connect_timeout().seconds() == 1);
    CHECK(control.process.stop() == 0);
  }
  Control control(d.path(), {"--state-dir", state.path("s")});
  Ads fresh(control.xds, "edge", {}, "node-2");
  CHECK(fresh.until_timeout("b", 2));
  CHECK(fresh.until_timeout("a", 1));
}

TEST_CASE("changed bytes under an unchanged version are an error over a restart with --state-dir, too") {
  TemporaryDirectory d, state;
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "1s"), "clusters: [edge]", "1"));
  {
    Control control(d.path(), {"--state-dir", state.path("s")});
    Ads ads(control.xds);
    REQUIRE(ads.until_timeout("a", 1));
    CHECK(control.process.stop() == 0);
  }
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "2s"), "clusters: [edge]", "1"));
  Control control(d.path(), {"--state-dir", state.path("s")});
  REQUIRE(until_told(control, "conditions", "VersionUnchanged"));
  Ads ads(control.xds, "edge", {}, "node-2");
  REQUIRE(ads.until_cluster("a"));
  CHECK(ads.clusters["a"].connect_timeout().seconds() == 1);
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "2s"), "clusters: [edge]", "2"));
  CHECK(ads.until_timeout("a", 2));
}

TEST_CASE("a raw resource that names what its scope lacks is told, live") {
  TemporaryDirectory d;
  save(d, "raw.yaml", raw_yaml("mine", "  - {\"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: t, virtual_hosts: "
                                       "[{name: v, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: nowhere}}]}]}\n"));
  Control control(d.path());
  const std::string line = control.process.await_line("DanglingReference");
  INFO(control.process.text());
  CHECK(absl::StrContains(line, d.path("raw.yaml") + ":8"));
  CHECK(absl::StrContains(line, "nowhere"));
  CHECK(until_told(control, "conditions", "DanglingReference"));
}

TEST_CASE("an object that cannot be read after a restart removes nothing that clients still report using") {
  TemporaryDirectory d;
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a")));
  save(d, "two.yaml", raw_yaml("two", cluster_yaml("b")));
  Ads::Versions has;
  {
    Control control(d.path());
    Ads ads(control.xds);
    REQUIRE(ads.until_cluster("a"));
    REQUIRE(ads.until_cluster("b"));
    has = ads.versions;
  }
  save(d, "two.yaml", "kind: [");
  Control control(d.path());  // without a state directory: there is no last good version of two.yaml
  Ads ads(control.xds, "edge", has);
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "3s")));
  REQUIRE(ads.until_timeout("a", 3));
  CHECK(ads.removals == 0);
  save(d, "two.yaml", raw_yaml("two", cluster_yaml("c")));  // mended, and without b
  REQUIRE(ads.until_cluster("c"));
  CHECK(ads.until([&] { return ads.removals == 1; }));
}

TEST_CASE("a name that a plan also makes is a conflict, shown on both") {
  TemporaryDirectory d;
  save(d, "a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  const std::string name = ads.find("app");
  save(d, "raw.yaml", raw_yaml("mine", cluster_yaml(name, "7s") + cluster_yaml("mine")));
  REQUIRE(ads.until_cluster("mine"));  // what does not conflict is served
  REQUIRE(until_told(control, "conditions", "NameConflict"));
  const Ran conditions = cli(control, {"conditions"});
  INFO(conditions.text);
  CHECK(absl::StrContains(conditions.text, "is also made by EnvoyResources default/mine (" + d.path("raw.yaml") + ":8)"));
  CHECK(absl::StrContains(conditions.text, "is also made by HTTPRoute default/app (" + d.path("a.yaml") + ":"));
  CHECK(ads.clusters[name].connect_timeout().seconds() == 5);
}

TEST_CASE("two versions for one type in one scope are an error naming both, and what was served is kept") {
  TemporaryDirectory d;
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a"), "clusters: [edge]", "1"));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("a"));
  save(d, "two.yaml", raw_yaml("two", cluster_yaml("b"), "clusters: [edge]", "2"));
  REQUIRE(until_told(control, "conditions", "VersionConflict"));
  const Ran conditions = cli(control, {"conditions"});
  INFO(conditions.text);
  CHECK(absl::StrContains(conditions.text, "the other object is EnvoyResources default/two"));
  CHECK(absl::StrContains(conditions.text, "the other object is EnvoyResources default/one"));
  CHECK_FALSE(ads.has("b"));
  CHECK(ads.has("a"));
  save(d, "two.yaml", raw_yaml("two", cluster_yaml("b"), "clusters: [edge]", "1"));
  CHECK(ads.until_cluster("b"));
}

TEST_CASE("changed bytes under an unchanged version are an error, and the old are kept") {
  TemporaryDirectory d;
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "1s"), "clusters: [edge]", "1"));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_timeout("a", 1));
  CHECK(ads.versions["a"] == "1");
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "2s"), "clusters: [edge]", "1"));
  REQUIRE(until_told(control, "conditions", "VersionUnchanged"));
  CHECK(absl::StrContains(cli(control, {"conditions"}).text, "cds \"a\" changed under the unchanged version \"1\""));
  CHECK(ads.clusters["a"].connect_timeout().seconds() == 1);
  save(d, "one.yaml", raw_yaml("one", cluster_yaml("a", "2s"), "clusters: [edge]", "2"));
  CHECK(ads.until_timeout("a", 2));
  CHECK(ads.versions["a"] == "2");
}

TEST_CASE("a node that matches nothing gets an empty configuration and is listed with the reason") {
  TemporaryDirectory d;
  save(d, "a.yaml", gateway_yaml() + route_yaml("app") + service_yaml("app"));
  Control control(d.path());
  Ads stranger(control.xds, "nobody");
  REQUIRE(until_told(control, "status", "node-1 has no configuration: "));
  CHECK(absl::StrContains(cli(control, {"status"}).text, "no Gateway is named \"nobody\""));
  CHECK_FALSE(stranger.has(""));
}

TEST_CASE("the origin of an assignment is where its Service and slices are written") {
  TemporaryDirectory d;
  save(d, "a.yaml", gateway_yaml() + route_yaml("app"));
  save(d, "backends.yaml", service_yaml("app") + slice_yaml("app"));
  Control control(d.path());
  Ads ads(control.xds);
  REQUIRE(ads.until_cluster("app"));
  const Ran endpoints = cli(control, {"config", "endpoints"});
  INFO(endpoints.text);
  CHECK(absl::StrContains(endpoints.text, d.path("backends.yaml") + ":2 +1"));
}

TEST_CASE("what a client reports of two zones' utilization becomes their weights; other assignments are left alone") {
  TemporaryDirectory d;
  save(d, "a.yaml", gateway_yaml() + route_yaml("app") + route_yaml("other", "/other") + zones_yaml("app", true) + zones_yaml("other", false));
  Control control(d.path(), {"--load-report-interval-s", "1"});
  Ads ads(control.xds);
  REQUIRE(ads.until([&] { return ads.assignments.size() == 2; }));
  CHECK(ads.clusters["default/app/80"].common_lb_config().has_locality_weighted_lb_config());
  CHECK_FALSE(ads.clusters["default/other/80"].common_lb_config().has_locality_weighted_lb_config());
  const std::string other = ads.assignments["default/other/80"];

  using envoy::service::load_stats::v3::LoadStatsRequest;
  using envoy::service::load_stats::v3::LoadStatsResponse;
  auto stub = envoy::service::load_stats::v3::LoadReportingService::NewStub(grpc::CreateChannel(control.xds, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kPatience * 2);
  auto stream = stub->StreamLoadStats(&context);
  LoadStatsRequest first;
  first.mutable_node()->set_id("node-1");
  first.mutable_node()->set_cluster("edge");
  first.mutable_node()->add_client_features("envoy.lrs.supports_send_all_clusters");
  REQUIRE(stream->Write(first));
  LoadStatsResponse asked;
  REQUIRE(stream->Read(&asked));
  CHECK(asked.load_reporting_interval().seconds() == 1);
  LoadStatsRequest report;
  for (const char* cluster : {"default/app/80", "default/other/80"}) {
    auto& stats = *report.add_cluster_stats();
    stats.set_cluster_name(cluster);
    stats.mutable_load_report_interval()->set_seconds(1);
    for (const char* zone : {"a", "b"}) {
      auto& l = *stats.add_upstream_locality_stats();
      l.mutable_locality()->set_zone(zone);
      l.set_total_issued_requests(100);
      auto& m = *l.add_load_metric_stats();
      m.set_metric_name("cpu_utilization");
      m.set_num_requests_finished_with_metric(100);
      m.set_total_metric_value(zone[0] == 'a' ? 1 : 99);
    }
  }
  // as a client does, every second
  std::atomic<bool> enough = false;
  std::thread reporting([&] {
    for (auto next = std::chrono::steady_clock::now(); !enough && stream->Write(report); std::this_thread::sleep_until(next)) next += std::chrono::seconds(1);
  });
  const bool weighed = ads.until([&] {
    envoy::config::endpoint::v3::ClusterLoadAssignment m;
    if (!m.ParseFromString(ads.assignments["default/app/80"]) || m.endpoints_size() != 2) return false;
    return m.endpoints(0).load_balancing_weight().value() >= 110 && m.endpoints(1).load_balancing_weight().value() <= 91;
  });
  enough = true;
  reporting.join();
  context.TryCancel();
  CHECK(weighed);
  CHECK_FALSE(control.process.await_line("default/app/80: weights of localities by load: a x1.1").empty());
  CHECK(ads.until([&] { return ads.assignments["default/other/80"] == other; }));
}
