// From configuration to load balancing: the order of hosts and localities, tables that workers share, zone-aware routing over two clusters.
#include <catch2/catch.hpp>

#include "dataplane/net/event_loop.h"
#include "dataplane/upstream/omit_host_metadata.h"
#include "dataplane/upstream/worker_clusters.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "tests/unit/dataplane/from_yaml.h"

using namespace fairlead;
using namespace fairlead::upstream;

namespace {

std::shared_ptr<const config::ClusterConfig> cluster(const std::string& yaml) {
  auto parsed = config::parse_cluster(test::from_yaml<envoy::config::cluster::v3::Cluster>(yaml));
  INFO(parsed.status().ToString());
  REQUIRE(parsed.ok());
  return *parsed;
}

std::string endpoint(int n, const std::string& more = "") {
  return "{endpoint: {address: {socket_address: {address: 10.0.0." + std::to_string(n) + ", port_value: 80}}}" + more + "}";
}

// {zone: hosts…} of priority 0
std::string zones(const std::vector<std::pair<std::string, std::vector<int>>>& list) {
  std::string out;
  for (const auto& [zone, numbers] : list) {
    std::string hosts;
    for (int n : numbers) hosts += (hosts.empty() ? "" : ", ") + endpoint(n);
    out += (out.empty() ? "" : ", ") + std::string("{locality: {region: r, zone: ") + zone + "}, " +
           (numbers.empty() ? "" : "load_balancing_weight: " + std::to_string(numbers.size()) + ", ") + "lb_endpoints: [" + hosts + "]}";
  }
  return "[" + out + "]";
}

std::string named(const std::string& name, const std::string& endpoints, const std::string& more = "") {
  return "{name: " + name + ", " + more + "load_assignment: {cluster_name: " + name + ", endpoints: " + endpoints + "}}";
}

// Two workers over one set of shared clusters.
struct World {
  World() : registry(3), shared(registry) {}
  void start() {
    for (uint64_t i : {1, 2}) workers.push_back(std::make_unique<WorkerClusters>(loop, registry.cells(static_cast<uint32_t>(i)), shared, i));
  }
  void apply(const std::vector<std::shared_ptr<const config::ClusterConfig>>& clusters) {
    auto snapshot = std::make_shared<config::Snapshot>();
    for (const auto& c : clusters) snapshot->clusters[c->name] = {.config = c, .endpoints = c->endpoints, .warm = true};
    prepare(*snapshot, shared);
    for (auto& worker : workers) worker->apply(snapshot);
  }
  Cluster& on(size_t worker, const char* name) { return *workers[worker]->find(name); }

  net::EventLoop loop;
  stats::Registry registry;
  SharedClusters shared;
  std::vector<std::unique_ptr<WorkerClusters>> workers;
};

}  // namespace

TEST_CASE("hosts keep the order of the configuration, localities are sorted with our own first") {
  const auto config = cluster(named("a", zones({{"c", {1, 2}}, {"a", {3}}, {"b", {4, 1}}, {"d", {}}, {"a", {5, 6}}})));
  const LocalZone local{.cluster = "", .locality = LocalZone::Locality{"r", "b", ""}};
  const FlatEndpoints flat = flatten(*config, config->endpoints.get(), local);
  std::string order;
  for (const FlatEndpoint& host : flat.hosts) order += host.name + '@' + flat.localities[host.locality]->zone + ' ';
  CHECK(order == "10.0.0.1:80@c 10.0.0.2:80@c 10.0.0.3:80@a 10.0.0.4:80@b 10.0.0.5:80@a 10.0.0.6:80@a ");
  std::string places;
  for (const config::Locality* l : flat.localities) places += l->zone;
  CHECK(places == "bac");
  CHECK(flat.own_first);
  CHECK(flat.locality_weights == std::vector<uint32_t>{2, 2, 2});  // of a locality given twice the last weight counts
  CHECK_FALSE(flatten(*config, config->endpoints.get(), {}).own_first);
}

TEST_CASE("a hash table is built once and shared by the workers; the next endpoint set gets its own") {
  World w;
  w.start();
  w.apply({cluster(named("a", zones({{"a", {1, 2, 3}}}), "lb_policy: MAGLEV, "))});
  const HashTables* tables = w.on(0, "a").selector().tables();
  REQUIRE(tables != nullptr);
  CHECK(w.on(1, "a").selector().tables() == tables);
  CHECK(w.registry.cells(0).read(w.on(0, "a").shared().scope->gauge("maglev_lb.min_entries_per_host").cell) > 21'000);
  PickContext context;
  for (uint64_t hash : {1, 77, 4711, 123456}) {
    context.hash = hash;
    CHECK(w.on(0, "a").pick(context)->address_text() == w.on(1, "a").pick(context)->address_text());
  }
  w.apply({cluster(named("a", zones({{"a", {1, 2}}}), "lb_policy: MAGLEV, "))});
  CHECK(w.on(0, "a").selector().tables()->hosts() == 2);
  CHECK(w.on(0, "a").selector().tables() == w.on(1, "a").selector().tables());
  w.apply({cluster(named("a", zones({{"a", {1, 2}}})))});
  CHECK(w.on(0, "a").selector().tables() == nullptr);
  CHECK(w.on(0, "a").pick({}) != nullptr);
}

TEST_CASE("zone-aware routing follows both the cluster and the one this proxy belongs to") {
  World w;
  w.shared.set_local_zone({.cluster = "self", .locality = LocalZone::Locality{"r", "b", ""}});
  w.start();
  const auto up = cluster(named("up", zones({{"a", {1, 2, 3}}, {"b", {4, 5, 6}}})));
  w.apply({up, cluster(named("self", zones({{"a", {11}}, {"b", {12}}})))});
  CHECK(w.on(0, "up").selector().zones().mode() == ZoneRouting::Mode::Direct);
  for (int i = 0; i < 12; ++i) CHECK(w.on(0, "up").pick({})->address_text() >= "10.0.0.4:80");

  w.apply({up, cluster(named("self", zones({{"a", {11}}, {"b", {12, 13, 14}}})))});
  CHECK(w.on(0, "up").selector().zones().mode() == ZoneRouting::Mode::Residual);
  CHECK(w.on(0, "up").selector().zones().local_percent() == 6666);

  w.apply({up, cluster(named("self", zones({{"a", {11}}, {"c", {12}}})))});
  CHECK(w.on(1, "up").selector().zones().why_off() == ZoneRouting::Why::LocalClusterNotOk);
  w.apply({up});
  CHECK(w.on(1, "up").selector().zones().mode() == ZoneRouting::Mode::Off);
  CHECK(w.on(1, "up").pick({}) != nullptr);
}

TEST_CASE("a cluster comes into being on a worker with the first request for it there, and follows what changes from then on") {
  World w;
  w.start();
  auto next = [&, epoch = uint64_t{0}](const std::vector<std::shared_ptr<const config::ClusterConfig>>& clusters, std::optional<std::vector<std::string>> changed) mutable {
    auto snapshot = std::make_shared<config::Snapshot>();
    snapshot->epoch = ++epoch;
    snapshot->changed_clusters = std::move(changed);
    for (const auto& c : clusters) snapshot->clusters[c->name] = {.config = c, .endpoints = c->endpoints, .warm = true};
    for (auto& worker : w.workers) worker->apply(snapshot);
  };
  const auto a = cluster(named("a", zones({{"a", {1, 2}}}))), b = cluster(named("b", zones({{"a", {3}}})));
  next({a, b}, std::nullopt);
  CHECK(w.registry.cells_in_use() == 0);
  std::vector<HostStatus> rows;
  w.workers[0]->describe("a", rows);  // to be told of is no request
  CHECK(rows.empty());
  CHECK(w.registry.cells_in_use() == 0);

  Cluster* made = &w.on(0, "a");
  CHECK(made->hosts().size() == 2);
  CHECK(w.registry.cells_in_use() > 0);
  CHECK(&w.on(0, "a") == made);
  CHECK(w.workers[0]->find("nobody") == nullptr);
  w.workers[0]->describe("a", rows);
  CHECK(rows.size() == 2);

  const auto changed = cluster(named("a", zones({{"a", {1, 2, 4}}})));
  next({changed, b}, std::vector<std::string>{"a"});
  CHECK(w.on(0, "a").hosts().size() == 3);
  CHECK(w.on(1, "a").hosts().size() == 3);  // made by the newest
  next({changed}, std::vector<std::string>{"b"});
  CHECK(w.workers[0]->find("b") == nullptr);
  next({b}, std::vector<std::string>{"a", "b"});
  CHECK(w.workers[0]->find("a") == nullptr);
  CHECK(w.on(1, "b").hosts().size() == 1);
  // Only where time matters does a cluster begin without a request.
  next({cluster(named("s", zones({{"a", {1}}}), "round_robin_lb_config: {slow_start_config: {slow_start_window: 10s}}, "))}, std::nullopt);
  w.workers[0]->describe("s", rows);
  CHECK(rows.size() == 3);
}

TEST_CASE("membership is told without a worker: hosts, their health, and whether they have come or gone") {
  World w;
  const auto scope = w.registry.scope(stats::cluster_scope("a"));
  const auto block = scope->block<stats::ClusterStat>(stats::kClusterStats);
  const auto two = cluster(named("a", "[{lb_endpoints: [" + endpoint(1) + ", " + endpoint(2, ", health_status: DEGRADED") + "]}]"));
  const auto same = cluster(named("a", "[{lb_endpoints: [" + endpoint(2) + ", " + endpoint(1) + "]}]"));
  const auto told = [&](const char* leaf) { return w.registry.find(std::string("cluster.a.") + leaf); };
  config::ClusterEntry now{.config = two, .endpoints = two->endpoints, .warm = true};
  tell_membership({}, now, w.shared, block, w.registry.cells(0));
  CHECK(told("membership_total") == 2);
  CHECK(told("membership_healthy") == 1);
  CHECK(told("membership_degraded") == 1);
  CHECK(told("membership_change") == 1);
  config::ClusterEntry then = now;
  now.endpoints = same->endpoints;  // in another order, and well
  tell_membership(then, now, w.shared, block, w.registry.cells(0));
  CHECK(told("membership_healthy") == 2);
  CHECK(told("membership_change") == 1);
  then = now;
  now.endpoints = cluster(named("a", zones({{"a", {1}}})))->endpoints;
  tell_membership(then, now, w.shared, block, w.registry.cells(0));
  CHECK(told("membership_total") == 1);
  CHECK(told("membership_change") == 2);

  const std::vector<HostStatus> rows = named_hosts({.config = two, .endpoints = two->endpoints, .warm = true}, w.shared);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].address == "10.0.0.1:80");
  CHECK(rows[1].health == Health::kDegraded);
  CHECK(rows[1].counters.rq_total == 0);
}

TEST_CASE("drop overload takes its share of requests") {
  World w;
  w.start();
  auto set = std::make_shared<config::EndpointSet>();
  const auto snapshot = std::make_shared<config::Snapshot>();
  const auto config = cluster("{name: e, type: EDS, eds_cluster_config: {eds_config: {ads: {}}}}");
  set->drop_overload = config::DropOverload{"c", 250'000};
  snapshot->clusters["e"] = {.config = config, .endpoints = set, .warm = true};
  w.workers[0]->apply(snapshot);
  int dropped = 0;
  for (int i = 0; i < 10'000; ++i) dropped += w.on(0, "e").drop_overload();
  CHECK(dropped == Approx(2500).margin(200));
}

TEST_CASE("the runtime moves panic, bias and aggression, and ignores what they cannot be") {
  const config::LoadBalancing lb = cluster(named("a", zones({{"a", {1}}}), "lb_policy: LEAST_REQUEST, least_request_lb_config: {active_request_bias: {default_value: 0.5, runtime_key: bias}, "
                                                 "slow_start_config: {slow_start_window: 1s, aggression: {default_value: 2, runtime_key: aggression}}}, "))->lb;
  CHECK(policy_options(lb, nullptr).least_request.active_request_bias == 0.5);
  matching::Runtime runtime;
  CHECK(policy_options(lb, &runtime).slow_start.aggression == 2.0);
  runtime.set("bias", {.text = "3", .number = 3.0});
  runtime.set("aggression", {.text = "-1", .number = -1.0});
  runtime.set("upstream.healthy_panic_threshold", {.text = "20", .number = 20.0});
  CHECK(policy_options(lb, &runtime).least_request.active_request_bias == 3.0);
  CHECK(policy_options(lb, &runtime).slow_start.aggression == 1.0);
  CHECK(selector_options(lb, nullptr, &runtime).panic_percent == 20);
}

TEST_CASE("canaries and labels of hosts come from their metadata, for retries to avoid") {
  World w;
  w.start();
  const auto with = [](const std::string& labels) { return ", metadata: {filter_metadata: {envoy.lb: " + labels + "}}"; };
  w.apply({cluster(named("a", "[{lb_endpoints: [" + endpoint(1, with("{canary: true}")) + ", " + endpoint(2, with("{version: v1, stage: [dev, test]}")) + ", " + endpoint(3) + "]}]"))});
  const auto& hosts = w.on(0, "a").hosts();
  CHECK(hosts[0]->canary);
  CHECK_FALSE(hosts[1]->canary);
  const auto omit = [](const std::string& labels) {
    return OmitHostMetadata(std::make_shared<envoy::config::core::v3::Metadata>(test::from_yaml<envoy::config::core::v3::Metadata>("{filter_metadata: {envoy.lb: " + labels + "}}")));
  };
  CHECK(omit("{version: v1}").rejects(*hosts[1]));
  CHECK(omit("{version: v1, stage: test}").rejects(*hosts[1]));
  CHECK_FALSE(omit("{version: v1, stage: prod}").rejects(*hosts[1]));
  CHECK_FALSE(omit("{version: v1}").rejects(*hosts[2]));
  CHECK_FALSE(omit("{}").rejects(*hosts[1]));
}
