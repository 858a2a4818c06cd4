// Load reports from the counters of hosts on two workers: differences, what is in progress, drops, hosts and clusters that go between two reports.
#include <catch2/catch.hpp>
#include <limits>
#include <set>

#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/load_report.h"
#include "dataplane/upstream/worker_clusters.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/service/load_stats/v3/lrs.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

namespace load_report_test {

using namespace fairlead;
using namespace fairlead::upstream;
using namespace std::chrono_literals;

namespace {

using envoy::config::endpoint::v3::ClusterStats;
using envoy::service::load_stats::v3::LoadStatsRequest;

std::shared_ptr<const config::ClusterConfig> cluster(const std::string& name, const std::string& endpoints, const std::string& more = "", const std::string& policy = "") {
  auto parsed = config::parse_cluster(test::from_yaml<envoy::config::cluster::v3::Cluster>("{name: " + name + ", " + more + "load_assignment: {cluster_name: x, " + policy + "endpoints: [" + endpoints + "]}}"));
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  return *parsed;
}
std::string place(const std::string& zone, const std::vector<int>& hosts, int priority = 0) {
  std::string out;
  for (const int n : hosts) out += (out.empty() ? "" : ", ") + std::string("{endpoint: {address: {socket_address: {address: 10.0.0.") + std::to_string(n) + ", port_value: 80}}}}";
  return "{locality: {region: r, zone: " + zone + "}, priority: " + std::to_string(priority) + ", lb_endpoints: [" + out + "]}";
}

struct LoadWorld {
  explicit LoadWorld(bool reports = true) : registry(3), shared(registry) {
    if (reports) shared.report_loads();
    for (uint64_t i : {1, 2}) workers.push_back(std::make_unique<WorkerClusters>(loop, registry.cells(static_cast<uint32_t>(i)), shared, i));
  }
  void apply(const std::vector<std::shared_ptr<const config::ClusterConfig>>& clusters) {
    auto made = std::make_shared<config::Snapshot>();
    made->epoch = snapshot ? snapshot->epoch + 1 : 1;
    for (const auto& c : clusters) made->clusters[c->name] = {.config = c, .endpoints = c->endpoints, .warm = true};
    for (auto& worker : workers) worker->apply(made);
    snapshot = std::move(made);
  }
  Host& host(size_t worker, const char* name, const std::string& address) {
    for (const Ref<Host>& h : workers[worker]->find(name)->hosts())
      if (h->address_text() == "10.0.0." + address + ":80") return *h;
    throw std::runtime_error("no host " + address);
  }
  // As the server gathers it.
  Loads gather() {
    Loads out;
    for (auto& worker : workers) {
      Loads mine;
      worker->take_loads(mine);
      add_loads(out, mine);
    }
    add_loads(out, shared.departed_loads()->take());
    return out;
  }
  void ask(LoadReport::Wish wish) { report.ask(std::move(wish), gather(), clock.monotonic()); }
  LoadStatsRequest filled() {
    report.add(gather());
    LoadStatsRequest out;
    REQUIRE(out.ParseFromString(report.take(snapshot.get(), clock.monotonic())));
    return out;
  }

  SimulatedClock clock;
  net::EventLoop loop;
  stats::Registry registry;
  SharedClusters shared;
  std::vector<std::unique_ptr<WorkerClusters>> workers;
  std::shared_ptr<const config::Snapshot> snapshot;
  LoadReport report;
};

// "zone/priority: succeeded failed in_progress issued", one a line
std::string lines(const ClusterStats& stats) {
  std::string out;
  for (const auto& s : stats.upstream_locality_stats()) {
    out += s.locality().zone() + "/" + std::to_string(s.priority()) + ": " + std::to_string(s.total_successful_requests()) + " " + std::to_string(s.total_error_requests()) + " " +
           std::to_string(s.total_requests_in_progress()) + " " + std::to_string(s.total_issued_requests()) + "\n";
  }
  return out;
}
const ClusterStats& of(const LoadStatsRequest& request, const std::string& name) {
  for (const auto& stats : request.cluster_stats())
    if (stats.cluster_name() == name) return stats;
  throw std::runtime_error("no cluster " + name);
}
std::string clusters_of(const LoadStatsRequest& request) {
  std::multiset<std::string> names;
  for (const auto& stats : request.cluster_stats()) names.insert(stats.cluster_name());
  std::string out;
  for (const std::string& name : names) out += name + " ";
  return out;
}

const LoadReport::Wish kAll{.all = true};

}  // namespace

TEST_CASE("a load report holds what all workers have counted since the last one, by locality and priority") {
  LoadWorld w;
  w.apply({cluster("a", place("x", {1, 2}) + "," + place("y", {3}) + "," + place("x", {4}, 1) + "," + place("idle", {5}))});
  w.host(0, "a", "1").counters.rq_total = 100;  // before anybody asked
  w.ask(kAll);
  CHECK(lines(of(w.filled(), "a")).empty());

  w.clock.advance(10s);
  for (size_t worker : {0, 1}) {
    Host& host = w.host(worker, "a", "1");
    host.counters.rq_total += 5;
    host.counters.rq_success += 3;
    host.counters.rq_error += 1;
    host.active_requests = 1;
  }
  w.host(0, "a", "2").counters.rq_total += 1;
  w.host(1, "a", "3").active_requests = 2;
  w.host(1, "a", "4").counters.rq_error += 7;
  LoadStatsRequest sent = w.filled();
  CHECK(lines(of(sent, "a")) == "x/0: 6 2 2 11\ny/0: 0 0 2 0\nx/1: 0 7 0 0\n");
  CHECK(of(sent, "a").upstream_locality_stats(0).locality().region() == "r");
  CHECK(of(sent, "a").load_report_interval().seconds() == 10);
  CHECK(of(sent, "a").cluster_service_name().empty());
  CHECK(of(sent, "a").upstream_locality_stats(0).upstream_endpoint_stats().empty());

  w.clock.advance(1500ms);
  sent = w.filled();
  CHECK(lines(of(sent, "a")) == "x/0: 0 0 2 0\ny/0: 0 0 2 0\n");  // nothing new, and what was in progress still is
  CHECK(of(sent, "a").load_report_interval().seconds() == 1);
  CHECK(of(sent, "a").load_report_interval().nanos() == 500'000'000);
}

TEST_CASE("endpoints are reported beside their localities when the server asks for them") {
  LoadWorld w;
  w.apply({cluster("a", place("x", {1, 2, 3}))});
  w.ask({.all = true, .clusters = {}, .endpoints = true});
  w.host(0, "a", "1").counters.rq_total = 5;
  w.host(1, "a", "1").counters.rq_total = 2;
  w.host(1, "a", "2").counters.rq_success = 1;
  w.host(1, "a", "2").add_metric("cpu_utilization", 0.5);
  w.host(1, "a", "2").add_metric("cpu_utilization", 0.25);
  w.host(1, "a", "2").add_metric("cpu_utilization", std::numeric_limits<double>::quiet_NaN());
  const LoadStatsRequest sent = w.filled();
  const auto& stats = of(sent, "a").upstream_locality_stats(0);
  REQUIRE(stats.upstream_endpoint_stats_size() == 2);  // the third has nothing to tell
  CHECK(stats.upstream_endpoint_stats(0).address().socket_address().address() == "10.0.0.1");
  CHECK(stats.upstream_endpoint_stats(0).address().socket_address().port_value() == 80);
  CHECK(stats.upstream_endpoint_stats(0).total_issued_requests() == 7);
  CHECK(stats.upstream_endpoint_stats(1).total_successful_requests() == 1);
  CHECK(stats.total_issued_requests() == 7);
  for (const auto& metric : {stats.load_metric_stats(0), stats.upstream_endpoint_stats(1).load_metric_stats(0)}) {
    CHECK(metric.metric_name() == "cpu_utilization");
    CHECK(metric.num_requests_finished_with_metric() == 2);
    CHECK(metric.total_metric_value() == 0.75);
  }
  CHECK(w.filled().cluster_stats(0).upstream_locality_stats().empty());
}

TEST_CASE("what hosts counted before they went is in the next report, requests that end later in the one after") {
  LoadWorld w;
  w.apply({cluster("a", place("x", {1, 2}))});
  w.ask(kAll);
  Ref<Host> held(&w.host(0, "a", "2"));
  held->counters.rq_total = 4;
  held->counters.rq_success = 3;
  held->active_requests = 1;
  w.apply({cluster("a", place("x", {1}))});
  CHECK(lines(of(w.filled(), "a")) == "x/0: 3 0 0 4\n");  // Envoy 1.40: nothing
  held->active_requests = 0;
  held->counters.rq_error = 1;
  CHECK(lines(of(w.filled(), "a")).empty());
  held.reset();
  CHECK(lines(of(w.filled(), "a")) == "x/0: 0 1 0 0\n");
  CHECK(lines(of(w.filled(), "a")).empty());
}

TEST_CASE("a host that moves to another locality is counted where it stands at the report") {
  LoadWorld w;
  const auto before = cluster("a", place("x", {1}));
  w.apply({before});
  w.ask(kAll);
  w.host(0, "a", "1").counters.rq_total = 4;
  auto moved = std::make_shared<config::Snapshot>();
  moved->epoch = w.snapshot->epoch + 1;
  moved->clusters["a"] = {.config = before, .endpoints = cluster("a", place("y", {1}))->endpoints, .warm = true};
  for (auto& worker : w.workers) worker->apply(moved);
  CHECK(lines(of(w.filled(), "a")) == "y/0: 0 0 0 4\n");
}

TEST_CASE("an idle cluster is told of as a busy one is: its name, its service where that is another, the interval, and nothing else") {
  LoadWorld w;
  const auto discovered = config::parse_cluster(test::from_yaml<envoy::config::cluster::v3::Cluster>("{name: c, type: EDS, eds_cluster_config: {service_name: svc, eds_config: {ads: {}}}}"));
  REQUIRE(discovered.ok());
  w.apply({cluster("a", place("x", {1})), cluster("b", place("x", {2})), *discovered});
  w.ask(kAll);
  w.clock.advance(1500ms);
  w.host(0, "a", "1").counters.rq_total += 1;
  const auto sent = w.filled();
  CHECK(clusters_of(sent) == "a b c ");
  CHECK(lines(of(sent, "a")) == "x/0: 0 0 0 1\n");
  ClusterStats idle;
  idle.set_cluster_name("b");
  idle.mutable_load_report_interval()->set_seconds(1);
  idle.mutable_load_report_interval()->set_nanos(500'000'000);
  CHECK(of(sent, "b").SerializeAsString() == idle.SerializeAsString());
  idle.set_cluster_name("c");
  idle.set_cluster_service_name("svc");
  CHECK(of(sent, "c").SerializeAsString() == idle.SerializeAsString());
  CHECK(of(sent, "a").load_report_interval().SerializeAsString() == idle.load_report_interval().SerializeAsString());
}

TEST_CASE("clusters come and go between load reports") {
  LoadWorld w;
  const auto a = cluster("a", place("x", {1})), b = cluster("b", place("x", {2}), "alt_stat_name: other, ");
  w.apply({a});
  w.ask(kAll);
  w.clock.advance(2s);
  w.apply({a, b});
  w.host(0, "b", "2").counters.rq_total = 3;
  w.clock.advance(1s);
  LoadStatsRequest sent = w.filled();
  CHECK(clusters_of(sent) == "a b ");
  CHECK(lines(of(sent, "b")) == "x/0: 0 0 0 3\n");  // from its first request on
  CHECK(of(sent, "b").load_report_interval().seconds() == 3);

  w.host(0, "b", "2").counters.rq_total = 8;
  w.apply({a});
  sent = w.filled();
  CHECK(clusters_of(sent) == "a b ");
  CHECK(lines(of(sent, "b")) == "x/0: 0 0 0 5\n");
  CHECK(clusters_of(w.filled()) == "a ");

  w.apply({a, b});  // counts anew
  w.host(0, "b", "2").counters.rq_total = 1;
  CHECK(lines(of(w.filled(), "b")) == "x/0: 0 0 0 1\n");
}

TEST_CASE("a cluster whose configuration changes goes on in one row") {
  LoadWorld w;
  w.apply({cluster("a", place("x", {1}))});
  w.ask(kAll);
  w.host(1, "a", "1").counters.rq_total = 3;
  w.apply({cluster("a", place("x", {1}), "connect_timeout: 1s, ")});
  w.host(1, "a", "1").counters.rq_total = 2;
  CHECK(lines(of(w.filled(), "a")) == "x/0: 0 0 0 5\n");
}

TEST_CASE("only the clusters that the server names are reported; one that it names anew begins at nothing, the others go on") {
  LoadWorld w;
  w.apply({cluster("a", place("x", {1})), cluster("b", place("x", {2})), cluster("c", place("x", {3}))});
  w.ask({.clusters = {"a", "nobody"}});
  const auto load = [&] {
    for (const auto& [name, host] : {std::pair("a", "1"), std::pair("b", "2"), std::pair("c", "3")}) ++w.host(0, name, host).counters.rq_total;
  };
  load();
  w.clock.advance(2s);
  w.ask({.clusters = {"a", "b"}});
  load();
  w.clock.advance(3s);
  LoadStatsRequest sent = w.filled();
  CHECK(clusters_of(sent) == "a b ");
  CHECK(lines(of(sent, "a")) == "x/0: 0 0 0 2\n");
  CHECK(of(sent, "a").load_report_interval().seconds() == 5);
  CHECK(lines(of(sent, "b")) == "x/0: 0 0 0 1\n");
  CHECK(of(sent, "b").load_report_interval().seconds() == 3);

  load();
  w.clock.advance(1s);
  w.ask(kAll);
  load();
  w.clock.advance(1s);
  sent = w.filled();
  CHECK(lines(of(sent, "a")) == "x/0: 0 0 0 2\n");
  CHECK(of(sent, "a").load_report_interval().seconds() == 2);
  CHECK(lines(of(sent, "c")) == "x/0: 0 0 0 1\n");
  CHECK(of(sent, "c").load_report_interval().seconds() == 1);

  load();
  w.clock.advance(1s);
  w.ask(kAll);  // as before
  load();
  w.clock.advance(1s);
  sent = w.filled();
  CHECK(lines(of(sent, "c")) == "x/0: 0 0 0 2\n");
  CHECK(of(sent, "c").load_report_interval().seconds() == 2);
  w.ask({});
  load();
  CHECK(w.filled().cluster_stats().empty());
}

TEST_CASE("requests that were dropped are reported in all and by category") {
  LoadWorld w;
  const auto a = cluster("a", place("x", {1}), "", "policy: {drop_overloads: [{category: lb, drop_percentage: {numerator: 100}}]}, ");
  w.apply({a});
  w.ask(kAll);
  w.workers[0]->find("a")->count_drop(true);
  w.workers[1]->find("a")->count_drop(true);
  w.workers[1]->find("a")->count_drop(false);
  LoadStatsRequest sent = w.filled();
  CHECK(of(sent, "a").total_dropped_requests() == 3);
  REQUIRE(of(sent, "a").dropped_requests_size() == 1);
  CHECK(of(sent, "a").dropped_requests(0).category() == "lb");
  CHECK(of(sent, "a").dropped_requests(0).dropped_count() == 2);
  CHECK(of(sent, "a").upstream_locality_stats().empty());

  w.workers[0]->find("a")->count_drop(false);
  w.apply({});
  sent = w.filled();
  CHECK(of(sent, "a").total_dropped_requests() == 1);
  CHECK(of(sent, "a").dropped_requests().empty());
  CHECK(w.filled().cluster_stats().empty());
}

TEST_CASE("counts that were gathered and not sent are in the next load report, with what is in progress as it is then") {
  LoadWorld w;
  w.apply({cluster("a", place("x", {1}))});
  w.ask(kAll);
  w.host(0, "a", "1").counters.rq_total = 2;
  w.host(0, "a", "1").active_requests = 2;
  w.report.add(w.gather());
  w.host(0, "a", "1").counters.rq_total = 3;
  w.host(0, "a", "1").active_requests = 1;
  CHECK(lines(of(w.filled(), "a")) == "x/0: 0 0 1 3\n");
  w.report.add(w.gather());
  w.host(0, "a", "1").active_requests = 0;
  CHECK(lines(of(w.filled(), "a")).empty());
}

TEST_CASE("without load reports hosts and clusters keep no books") {
  LoadWorld w(false);
  w.apply({cluster("a", place("x", {1}), "lrs_report_endpoint_metrics: [cpu_utilization], ")});
  w.host(0, "a", "1").counters.rq_total = 2;
  w.host(0, "a", "1").add_metric("cpu_utilization", 1);
  w.workers[0]->find("a")->count_drop(false);
  Loads none;
  w.workers[0]->take_loads(none);
  CHECK(none.empty());
  CHECK_FALSE(w.workers[0]->find("a")->wants_metrics());
  w.apply({});
  LoadWorld asked;
  asked.apply({cluster("a", place("x", {1}), "lrs_report_endpoint_metrics: [cpu_utilization], ")});
  CHECK(asked.workers[0]->find("a")->wants_metrics());
}

TEST_CASE("hosts beyond a bound that go while nobody reports are taken together by place") {
  DepartedLoads departed;
  const auto a = cluster("a", place("x", {1}));
  HostLoad one;
  one.issued = 1;
  for (size_t i = 0; i < DepartedLoads::kMostHosts + 5; ++i) departed.add(*a, {0, {"r", "x", ""}, std::to_string(i)}, one);
  const Loads taken = departed.take();
  CHECK(taken.at("a").hosts.size() == DepartedLoads::kMostHosts + 1);
  CHECK(taken.at("a").hosts.at({0, {"r", "x", ""}, ""}).issued == 5);
  CHECK(departed.take().empty());
}

}  // namespace load_report_test
