// The epoch gate: what is published when, in every order of arrival.
#include <algorithm>
#include <catch2/catch.hpp>

#include "dataplane/config/health.h"
#include "dataplane/xds/epoch.h"
#include "envoy/config/route/v3/route.pb.h"

namespace fairlead::xds::epoch_test {
namespace {

using namespace std::chrono_literals;
using Time = Epoch::Time;

struct World {
  explicit World(bool clusters_may_come = true)
      : epoch(Epoch::Options{clusters_may_come, 15000ms, nullptr, [this](const std::string& name) { on_endpoints_dropped(name); },
                             [this](const std::string& name) { on_table_dropped(name); }}) {}

  void cluster(const std::string& name, uint64_t hash = 1, config::ClusterConfig::Discovery kind = config::ClusterConfig::Discovery::Static) {
    auto c = std::make_shared<config::ClusterConfig>();
    c->name = name;
    c->discovery = kind;
    c->eds_service_name = name;
    c->content_hash = hash;
    if (kind == config::ClusterConfig::Discovery::Eds) c->eds_source = config::ConfigSource{};
    else c->endpoints = std::make_shared<config::EndpointSet>();
    epoch.set_cluster(c, now);
  }
  void eds_cluster(const std::string& name, uint64_t hash = 1) { cluster(name, hash, config::ClusterConfig::Discovery::Eds); }
  void endpoints(const std::string& name, uint64_t hash = 1) {
    auto e = std::make_shared<config::EndpointSet>();
    e->cluster_name = name;
    e->content_hash = hash;
    epoch.set_eds(name, e);
  }
  static std::shared_ptr<const router::RouteTable> table(const std::string& name, const std::vector<std::string>& clusters) {
    envoy::config::route::v3::RouteConfiguration proto;
    proto.set_name(name);
    auto* host = proto.add_virtual_hosts();
    host->set_name("v");
    host->add_domains("*");
    for (const std::string& c : clusters) {
      auto* route = host->add_routes();
      route->mutable_match()->set_prefix("/" + c);
      route->mutable_route()->set_cluster(c);
    }
    auto compiled = router::RouteTable::compile(proto);
    REQUIRE(compiled.ok());
    return *compiled;
  }
  void routes(const std::string& name, const std::vector<std::string>& clusters) { epoch.set_route_table(table(name, clusters), now); }
  void listener(const std::string& name, const std::string& rds, uint64_t hash = 1) {
    auto hcm = std::make_shared<config::HcmConfig>();
    hcm->routes.rds_name = rds;
    hcm->routes.rds_source = config::ConfigSource{};
    add_listener(name, hcm, hash);
  }
  void inline_listener(const std::string& name, const std::vector<std::string>& clusters, uint64_t hash = 1) {
    auto hcm = std::make_shared<config::HcmConfig>();
    hcm->routes.inline_table = table(name, clusters);
    add_listener(name, hcm, hash);
  }
  void add_listener(const std::string& name, std::shared_ptr<config::HcmConfig> hcm, uint64_t hash) {
    auto l = std::make_shared<config::ListenerConfig>();
    l->name = name;
    l->content_hash = hash;
    auto chain = std::make_shared<config::FilterChain>();
    chain->hcm = std::move(hcm);
    l->chains.push_back(std::move(chain));
    epoch.set_listener(l, now);
  }
  // A listener with one discovered filter and no routes of its own.
  void discovering_listener(const std::string& name, const std::string& filter, bool without_warming = false, std::chrono::milliseconds timeout = 15000ms, uint64_t hash = 1) {
    auto discovery = std::make_shared<config::FilterDiscovery>();
    discovery->name = filter;
    discovery->key = filter + "\n1";
    discovery->without_warming = without_warming;
    discovery->source.initial_fetch_timeout = timeout;
    auto hcm = std::make_shared<config::HcmConfig>();
    hcm->routes.inline_table = table(name, {});
    hcm->http_filters.push_back({filter, nullptr, nullptr, false, std::move(discovery)});
    add_listener(name, hcm, hash);
  }
  static config::SecretRef secret(const std::string& name, std::chrono::milliseconds timeout = 15000ms) {
    config::SecretRef ref{name, config::secret_key(name, "ads"), {}};
    ref.source.initial_fetch_timeout = timeout;
    return ref;
  }
  // Without routes of its own.
  void tls_listener(const std::string& name, const config::SecretRef& secret, uint64_t hash = 1) {
    auto l = std::make_shared<config::ListenerConfig>();
    l->name = name;
    l->content_hash = hash;
    auto tls = std::make_shared<config::DownstreamTls>();
    tls->secrets.push_back(secret);
    auto chain = std::make_shared<config::FilterChain>();
    chain->tls = std::move(tls);
    l->chains.push_back(std::move(chain));
    epoch.set_listener(l, now);
  }
  void tls_cluster(const std::string& name, const config::SecretRef& secret, uint64_t hash = 1) {
    auto c = std::make_shared<config::ClusterConfig>();
    c->name = name;
    c->content_hash = hash;
    c->endpoints = std::make_shared<config::EndpointSet>();
    auto tls = std::make_shared<config::UpstreamTls>();
    tls->secrets.push_back(secret);
    c->tls = std::move(tls);
    epoch.set_cluster(c, now);
  }
  bool extension(const std::string& name, uint64_t hash = 1) {
    auto e = std::make_shared<config::ExtensionConfig>();
    e->name = name;
    e->content_hash = hash;
    return epoch.set_extension(name + "\n1", e);
  }
  bool live(const std::string& listener) { return epoch.current() != nullptr && epoch.current()->listeners.contains(listener); }
  std::shared_ptr<const config::Snapshot> commit() { return epoch.commit(now); }

  std::function<void(const std::string&)> on_endpoints_dropped = [](const std::string&) {}, on_table_dropped = [](const std::string&) {};
  Epoch epoch;
  Time now = Time{} + 1h;
};

bool serves(const config::Snapshot& s, const std::string& listener, const std::string& cluster) {
  const auto it = s.listeners.find(listener);
  if (it == s.listeners.end()) return false;
  const router::RouteTable* table = s.route_table(it->second->chains[0]->hcm->routes);
  if (table == nullptr) return false;
  const auto& names = table->cluster_names();
  const config::ClusterEntry* entry = s.cluster(cluster);
  return std::find(names.begin(), names.end(), cluster) != names.end() && entry != nullptr && entry->warm;
}

TEST_CASE("every order of LDS, RDS, CDS, EDS ends in the same service, and no snapshot has a live route without its warm cluster") {
  std::vector<int> order = {0, 1, 2, 3};
  do {
    World w;
    w.commit();
    std::shared_ptr<const config::Snapshot> last;
    for (const int step : order) {
      if (step == 0) w.listener("l", "r");
      if (step == 1) w.routes("r", {"a"});
      if (step == 2) w.eds_cluster("a");
      if (step == 3) w.endpoints("a");
      if (auto s = w.commit()) {
        last = s;
        for (const auto& [name, table] : s->routes)
          for (const std::string& c : table->cluster_names()) {
            INFO("order " << order[0] << order[1] << order[2] << order[3]);
            REQUIRE(s->cluster(c) != nullptr);
            REQUIRE(s->cluster(c)->warm);
          }
        // the listener never answers 404 while its table is on its way
        REQUIRE((s->listeners.empty() || s->routes.contains("r")));
      }
    }
    REQUIRE(last != nullptr);
    CHECK(serves(*last, "l", "a"));
    CHECK(w.epoch.clusters_settled());
    CHECK(w.epoch.listeners_settled());
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("moving from cluster a to cluster b: in every order of the four updates what works goes on working") {
  std::vector<int> order = {0, 1, 2, 3};
  do {
    World w;
    w.eds_cluster("a");
    w.endpoints("a");
    w.routes("r", {"a"});
    w.listener("l", "r");
    REQUIRE(w.commit() != nullptr);
    for (const int step : order) {
      if (step == 0) w.eds_cluster("b");
      if (step == 1) w.endpoints("b");
      if (step == 2) w.routes("r", {"b"});
      if (step == 3) w.epoch.remove_cluster("a");
      w.commit();
      const config::Snapshot& s = *w.epoch.current();
      INFO("order " << order[0] << order[1] << order[2] << order[3] << " after " << step);
      REQUIRE((serves(s, "l", "a") || serves(s, "l", "b")));
    }
    CHECK(serves(*w.epoch.current(), "l", "b"));
    CHECK(w.epoch.current()->cluster("a") == nullptr);  // and the old one has gone with the table that named it
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a changed cluster serves in its old form until the new one is warm") {
  World w;
  w.cluster("a", 1);
  w.commit();
  auto old = w.epoch.current()->cluster("a")->config;
  w.eds_cluster("a", 2);
  CHECK(w.commit() == nullptr);
  CHECK(w.epoch.cluster_warming("a"));
  CHECK(w.epoch.current()->cluster("a")->config == old);
  w.endpoints("a");
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->cluster("a")->config->content_hash == 2);
}

TEST_CASE("a changed EDS cluster is warm with the endpoints that are known for its service") {
  World w;
  w.eds_cluster("a", 1);
  w.endpoints("a");
  w.commit();
  w.eds_cluster("a", 2);  // the control plane will not send the same endpoints again
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->cluster("a")->config->content_hash == 2);
  CHECK(w.epoch.current()->cluster("a")->endpoints != nullptr);
}

TEST_CASE("waits end at the fetch timeout: a cluster without endpoints goes live cold, a route to an unknown cluster is published") {
  World w;
  w.eds_cluster("a");
  w.routes("r", {"a", "nobody"});
  w.listener("l", "r");
  w.commit();
  CHECK(w.epoch.current()->listeners.empty());
  REQUIRE(w.epoch.next_deadline().has_value());
  CHECK(*w.epoch.next_deadline() == w.now + 15s);
  w.now += 14s;
  CHECK(w.commit() == nullptr);
  w.now += 1s;
  REQUIRE(w.commit() != nullptr);
  CHECK_FALSE(w.epoch.current()->cluster("a")->warm);
  CHECK(w.epoch.current()->listeners.contains("l"));
  CHECK(w.epoch.current()->routes.contains("r"));
  CHECK_FALSE(w.epoch.next_deadline().has_value());
}

TEST_CASE("a listener whose route table never comes goes live at its timeout, without a table") {
  World w;
  w.commit();
  w.listener("l", "r");
  CHECK(w.commit() == nullptr);
  CHECK(w.epoch.listener_warming("l"));
  REQUIRE(w.epoch.waiting().size() == 1);
  CHECK(w.epoch.waiting()[0].reason == "route table 'r'");
  w.now += 15s;
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->listeners.contains("l"));
  CHECK(w.epoch.current()->route_table(w.epoch.current()->listeners.at("l")->chains[0]->hcm->routes) == nullptr);
}

TEST_CASE("a refused route table or endpoint answer ends the wait at once") {
  World w;
  w.commit();
  w.listener("l", "r");
  w.commit();
  w.epoch.give_up_route_table("r");
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->listeners.contains("l"));
  w.eds_cluster("a");
  w.commit();
  w.epoch.give_up_eds("a");
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->cluster("a") != nullptr);
}

TEST_CASE("an update of a listener keeps the old one until the new route table is live") {
  World w;
  w.cluster("a");
  w.routes("r1", {"a"});
  w.listener("l", "r1", 1);
  w.commit();
  w.listener("l", "r2", 2);
  CHECK(w.commit() == nullptr);
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 1);
  w.routes("r2", {"a"});
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 2);
}

TEST_CASE("a table that no listener names any more goes one snapshot after the listener: draining connections keep it") {
  World w;
  std::vector<std::string> dropped;
  w.on_table_dropped = [&](const std::string& name) { dropped.push_back(name); };
  w.cluster("a");
  w.routes("r1", {"a"});
  w.listener("l", "r1", 1);
  w.commit();
  w.routes("r2", {"a"});
  w.listener("l", "r2", 2);
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 2);
  CHECK(w.epoch.current()->routes.contains("r1"));
  CHECK(dropped.empty());
  REQUIRE(w.epoch.next_deadline().has_value());
  w.now = *w.epoch.next_deadline();
  REQUIRE(w.commit() != nullptr);
  CHECK_FALSE(w.epoch.current()->routes.contains("r1"));
  CHECK(dropped == std::vector<std::string>{"r1"});
  CHECK_FALSE(w.epoch.next_deadline().has_value());
  w.epoch.remove_listener("l");
  w.commit();
  w.listener("l", "r2", 2);  // back before the table went
  REQUIRE(w.commit() != nullptr);
  w.now += 1s;
  w.commit();
  CHECK(w.epoch.current()->routes.contains("r2"));
}

TEST_CASE("endpoints and tables that nobody asked for are kept for a while, not for ever") {
  World w;
  std::vector<std::string> dropped;
  w.on_endpoints_dropped = w.on_table_dropped = [&](const std::string& name) { dropped.push_back(name); };
  w.endpoints("early");
  w.endpoints("never");
  w.routes("stray", {});
  w.commit();
  w.eds_cluster("early");
  w.commit();
  CHECK_FALSE(w.epoch.cluster_warming("early"));
  w.now += 16s;
  w.commit();
  CHECK(dropped == std::vector<std::string>{"stray", "never"});
  CHECK(w.epoch.current()->cluster("early")->endpoints != nullptr);
  w.epoch.remove_cluster("early");
  w.commit();
  CHECK(dropped.back() == "early");
}

TEST_CASE("inline tables hold their listener back, and keep removed clusters") {
  World w;
  w.commit();
  w.inline_listener("l", {"a"});
  CHECK(w.commit() == nullptr);
  w.cluster("a");
  REQUIRE(w.commit() != nullptr);
  CHECK(serves(*w.epoch.current(), "l", "a"));
  w.epoch.remove_cluster("a");
  CHECK(w.commit() == nullptr);
  CHECK(serves(*w.epoch.current(), "l", "a"));
  w.epoch.remove_listener("l");
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->cluster("a") == nullptr);
}

TEST_CASE("a cluster that the live table already lacks does not hold up its successor") {
  World w;
  w.cluster("a");
  w.routes("r", {"a", "ghost"});
  w.listener("l", "r");
  w.now += 16s;
  w.epoch.commit(w.now);
  w.now += 16s;
  w.commit();
  REQUIRE(w.epoch.current()->routes.contains("r"));
  w.cluster("b");
  w.routes("r", {"b", "ghost"});
  REQUIRE(w.commit() != nullptr);
  CHECK(serves(*w.epoch.current(), "l", "b"));
}

TEST_CASE("the name of a share without backend holds nothing up: no such cluster ever comes") {
  World w;
  w.cluster("a");
  w.listener("l", "r");
  w.routes("r", {"a", "fairlead/invalid-backend"});
  const auto s = w.commit();
  REQUIRE(s != nullptr);
  CHECK(serves(*s, "l", "a"));
  CHECK(w.epoch.waiting().empty());
}

TEST_CASE("a table that keeps changing does not wait anew for a cluster that it waits for already") {
  World w;
  for (int i = 0; i < 3; ++i) w.cluster("a" + std::to_string(i));
  w.routes("r", {"a0"});
  w.listener("l", "r");
  w.commit();
  for (int i = 0; i < 3; ++i) {
    w.routes("r", {"a" + std::to_string(i), "ghost"});
    w.commit();
    w.now += 6s;
  }
  REQUIRE(w.commit() != nullptr);
  CHECK(serves(*w.epoch.current(), "l", "a2"));
}

TEST_CASE("each cluster that a table comes to name has its own time: changes faster than their clusters arrive break nothing") {
  World w;
  w.cluster("a");
  w.routes("r", {"a"});
  w.listener("l", "r");
  w.commit();
  for (int i = 0; i < 5; ++i) {
    w.routes("r", {"next" + std::to_string(i)});
    w.commit();
    w.now += 6s;
    CHECK(serves(*w.epoch.current(), "l", "a"));
  }
  w.cluster("next4");
  REQUIRE(w.commit() != nullptr);
  CHECK(serves(*w.epoch.current(), "l", "next4"));
}

TEST_CASE("with static clusters only nothing waits for a cluster that cannot come") {
  World w(false);
  w.inline_listener("l", {"nobody"});
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->listeners.contains("l"));
}

TEST_CASE("a snapshot names the clusters that differ from the one before, and keeps the others as they were") {
  World w;
  for (const char* name : {"a", "b", "c"}) w.cluster(name);
  w.eds_cluster("e");
  w.endpoints("e");
  const auto first = w.commit();
  REQUIRE(first != nullptr);
  CHECK_FALSE(first->changed_clusters.has_value());  // the first of all: any may differ
  using Names = std::vector<std::string>;

  w.cluster("b", 2);
  const auto second = w.commit();
  REQUIRE(second != nullptr);
  CHECK(second->changed_clusters == Names{"b"});
  CHECK(second->cluster("b")->config != first->cluster("b")->config);
  CHECK(second->cluster("a")->config == first->cluster("a")->config);

  w.endpoints("e", 2);
  w.cluster("d");
  const auto third = w.commit();
  REQUIRE(third != nullptr);
  CHECK(third->changed_clusters == Names{"d", "e"});
  CHECK(third->cluster("e")->endpoints != second->cluster("e")->endpoints);

  w.epoch.remove_cluster("a");
  w.epoch.remove_cluster("absent");
  const auto fourth = w.commit();
  REQUIRE(fourth != nullptr);
  CHECK(fourth->changed_clusters == Names{"a"});
  CHECK(fourth->cluster("a") == nullptr);
  CHECK(fourth->clusters.size() == 4);
  CHECK(third->cluster("a") != nullptr);

  w.routes("r", {"b"});
  w.listener("l", "r");
  const auto fifth = w.commit();
  REQUIRE(fifth != nullptr);
  CHECK(fifth->changed_clusters == Names{});
  CHECK(fifth->clusters.size() == 4);
}

TEST_CASE("what becomes ready together is one snapshot; without a change there is none") {
  World w;
  w.eds_cluster("a");
  w.eds_cluster("b");
  w.routes("r", {"a", "b"});
  w.listener("l", "r");
  w.commit();
  w.endpoints("a");
  w.endpoints("b");
  const uint64_t before = w.epoch.current()->epoch;
  REQUIRE(w.commit() != nullptr);
  CHECK(w.epoch.current()->epoch == before + 1);
  CHECK(w.epoch.current()->clusters.size() == 2);
  CHECK(serves(*w.epoch.current(), "l", "a"));
  CHECK(w.commit() == nullptr);
  w.eds_cluster("a");  // the same again
  w.endpoints("a");
  w.listener("l", "r");
  CHECK(w.commit() == nullptr);
}

TEST_CASE("wanted: endpoints of clusters that are not removed, route tables of live and warming listeners") {
  World w;
  w.eds_cluster("a");
  w.eds_cluster("b");
  w.listener("l", "r1");
  CHECK(w.epoch.wanted().eds.size() == 2);
  CHECK(w.epoch.wanted().rds.contains("r1"));
  w.epoch.remove_cluster("b");
  w.routes("r1", {});
  w.commit();
  w.listener("l", "r2", 2);
  CHECK(w.epoch.wanted().eds.size() == 1);
  CHECK(w.epoch.wanted().rds.size() == 2);
}

TEST_CASE("a cluster with health checks waits for their first round, its old form serves meanwhile") {
  World w;
  w.eds_cluster("a");
  w.endpoints("a");
  w.commit();
  auto checked = std::make_shared<config::ClusterConfig>();
  checked->name = checked->eds_service_name = "a";
  checked->discovery = config::ClusterConfig::Discovery::Eds;
  checked->eds_source = config::ConfigSource{};
  checked->content_hash = 2;
  checked->health_check = std::make_shared<const config::HealthCheck>();
  w.epoch.set_cluster(checked, w.now);
  auto endpoints = std::make_shared<config::EndpointSet>();
  endpoints->content_hash = 2;
  endpoints->priorities.push_back({config::Locality{}});
  endpoints->priorities[0][0].endpoints.emplace_back();
  w.epoch.set_eds("a", endpoints);
  auto now = w.commit();  // the endpoints reach the old form
  REQUIRE(now);
  CHECK(now->cluster("a")->config->content_hash == 1);
  REQUIRE(w.epoch.awaiting_checks().size() == 1);
  CHECK(w.epoch.awaiting_checks()[0].endpoints == endpoints);
  CHECK(w.epoch.waiting()[0].reason == "the first round of health checks");
  w.now += 1h;  // each check has a time of its own: no other ends the wait
  CHECK(w.commit() == nullptr);
  w.epoch.checks_done(*now->cluster("a")->config);  // another form's
  CHECK(w.commit() == nullptr);
  w.epoch.checks_done(*checked);
  now = w.commit();
  REQUIRE(now);
  CHECK(now->cluster("a")->config == checked);
  CHECK(w.epoch.awaiting_checks().empty());
}

TEST_CASE("a cluster with health checks and no endpoints waits for nothing but those") {
  World w;
  auto checked = std::make_shared<config::ClusterConfig>();
  checked->name = "a";
  checked->endpoints = std::make_shared<config::EndpointSet>();
  checked->health_check = std::make_shared<const config::HealthCheck>();
  w.epoch.set_cluster(checked, w.now);
  CHECK(w.epoch.awaiting_checks().empty());
  REQUIRE(w.commit());
  CHECK(w.epoch.clusters_settled());
}

TEST_CASE("a listener waits for the configuration of its discovered filter, unless it may start with the default") {
  World w;
  w.discovering_listener("waits", "x");
  w.discovering_listener("starts", "y", true);
  REQUIRE(w.commit() != nullptr);
  CHECK_FALSE(w.live("waits"));
  CHECK(w.live("starts"));
  REQUIRE(w.epoch.waiting().size() == 1);
  CHECK(w.epoch.waiting().front().reason == "filter config 'x'");
  CHECK(w.extension("x"));
  const auto snapshot = w.commit();
  REQUIRE(snapshot != nullptr);
  CHECK(w.live("waits"));
  REQUIRE(snapshot->extensions.contains("x\n1"));
  CHECK(snapshot->extensions.at("x\n1") != nullptr);
  CHECK(snapshot->extensions.at("y\n1") == nullptr);
}

TEST_CASE("the wait for a filter's configuration ends with its time, with a refusal of any, and for all listeners of the subscription") {
  World w;
  w.discovering_listener("a", "x", false, 200ms);
  w.discovering_listener("b", "y");
  w.commit();
  CHECK(w.epoch.next_deadline() == w.now + 200ms);
  w.now += 200ms;
  w.commit();
  CHECK(w.live("a"));
  CHECK_FALSE(w.live("b"));
  w.discovering_listener("c", "x");  // whoever comes later does not wait either
  w.epoch.give_up_extension();
  w.commit();
  CHECK(w.live("b"));
  CHECK(w.live("c"));
}

TEST_CASE("a changed configuration is a new snapshot, the same one is not; a removed one leaves nothing, and the subscription goes on") {
  World w;
  w.discovering_listener("l", "x");
  w.extension("x");
  w.commit();
  CHECK_FALSE(w.extension("x"));
  CHECK(w.commit() == nullptr);
  CHECK(w.extension("x", 2));
  auto snapshot = w.commit();
  REQUIRE(snapshot != nullptr);
  CHECK(snapshot->extensions.at("x\n1")->content_hash == 2);
  CHECK(w.epoch.remove_extension("x") == 1);
  snapshot = w.commit();
  REQUIRE(snapshot != nullptr);
  CHECK(snapshot->extensions.at("x\n1") == nullptr);
  CHECK(w.live("l"));
  CHECK(w.epoch.wanted().extensions.size() == 1);
}

TEST_CASE("a filter's subscription ends with the last listener that names it: a later one waits anew") {
  World w;
  w.discovering_listener("l", "x");
  w.extension("x");
  w.commit();
  CHECK(w.epoch.wanted().extensions.size() == 1);
  w.epoch.remove_listener("l");
  auto snapshot = w.commit();
  REQUIRE(snapshot != nullptr);
  CHECK(w.epoch.wanted().extensions.empty());
  CHECK_FALSE(w.extension("x"));  // nobody asked
  w.discovering_listener("l", "x");
  w.commit();
  CHECK_FALSE(w.live("l"));
}

TEST_CASE("a listener and a cluster wait for the secrets of their TLS; one answer serves all who name it") {
  World w;
  w.tls_listener("l", World::secret("s"));
  w.tls_cluster("c", World::secret("s"));
  w.tls_cluster("d", World::secret("t"));
  w.commit();
  CHECK_FALSE(w.live("l"));
  CHECK_FALSE(w.epoch.clusters_settled());
  REQUIRE(w.epoch.wanted().secrets.size() == 2);
  CHECK(w.epoch.wanted().secrets[0].name == "s");
  CHECK(w.epoch.wants_secret("s\nads"));
  CHECK_FALSE(w.epoch.wants_secret("s\npath:/a"));
  const auto waiting = w.epoch.waiting();
  CHECK(std::any_of(waiting.begin(), waiting.end(), [](const auto& each) { return each.kind == "listener" && each.reason == "secret 's'"; }));
  CHECK(std::any_of(waiting.begin(), waiting.end(), [](const auto& each) { return each.kind == "cluster" && each.name == "d" && each.reason == "secret 't'"; }));
  w.epoch.secret_answered("s\nads");
  w.commit();
  CHECK(w.live("l"));
  CHECK(w.epoch.current()->cluster("c") != nullptr);
  CHECK(w.epoch.current()->cluster("d") == nullptr);
  w.epoch.give_up_secret("t");
  w.commit();
  CHECK(w.epoch.current()->cluster("d") != nullptr);
  // who comes later does not wait
  w.tls_listener("m", World::secret("s"));
  w.commit();
  CHECK(w.live("m"));
}

TEST_CASE("the wait for a secret ends with its time; without a limit it does not") {
  World w;
  w.tls_listener("l", World::secret("s", 200ms));
  w.tls_listener("m", World::secret("t", 0ms));
  w.commit();
  REQUIRE(w.epoch.next_deadline().has_value());
  CHECK(*w.epoch.next_deadline() == w.now + 200ms);
  w.now += 200ms;
  w.commit();
  CHECK(w.live("l"));
  w.now += 1h;
  w.commit();
  CHECK_FALSE(w.live("m"));
}

TEST_CASE("a form whose secret does not come in time takes nothing from one that serves: it goes live when the secret comes") {
  World w;
  w.tls_listener("l", World::secret("s"));
  w.tls_cluster("c", World::secret("s"));
  w.epoch.secret_answered("s\nads");
  w.commit();
  const auto listener = w.epoch.current()->listeners.at("l");
  const auto cluster = w.epoch.current()->cluster("c")->config;
  w.tls_listener("l", World::secret("t", 200ms), 2);
  w.tls_cluster("c", World::secret("t", 200ms), 2);
  w.commit();
  SECTION("its time is up") { w.now += 1h; }
  SECTION("the server has none, or one that is refused") { w.epoch.give_up_secret("t"); }
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l") == listener);
  CHECK(w.epoch.current()->cluster("c")->config == cluster);
  CHECK(w.epoch.wanted().secrets.size() == 2);
  CHECK(w.epoch.waiting().size() == 2);
  CHECK((!w.epoch.next_deadline().has_value() || *w.epoch.next_deadline() > w.now));
  w.epoch.secret_answered("t\nads");
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l") != listener);
  CHECK(w.epoch.current()->cluster("c")->config != cluster);
  CHECK(w.epoch.wanted().secrets.size() == 1);
}

TEST_CASE("a form whose secret does not come goes live where the old one lacks a secret as well") {
  World w;
  w.tls_listener("l", World::secret("s", 200ms));
  w.tls_cluster("c", World::secret("s", 200ms));
  w.now += 200ms;
  w.commit();
  const auto listener = w.epoch.current()->listeners.at("l");
  const auto cluster = w.epoch.current()->cluster("c")->config;
  w.tls_listener("l", World::secret("t", 200ms), 2);
  w.tls_cluster("c", World::secret("t", 200ms), 2);
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l") == listener);
  w.now += 200ms;
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l") != listener);
  CHECK(w.epoch.current()->cluster("c")->config != cluster);
}

TEST_CASE("a chain that comes to a listener without its secret holds up the others no longer than its time") {
  const auto listener = [](const std::vector<std::pair<std::string, std::string>>& chains, uint64_t hash) {
    auto out = std::make_shared<config::ListenerConfig>();
    out->name = "l";
    out->content_hash = hash;
    for (const auto& [name, secret] : chains) {
      auto tls = std::make_shared<config::DownstreamTls>();
      tls->secrets.push_back(World::secret(secret, 200ms));
      auto chain = std::make_shared<config::FilterChain>();
      chain->name = name;
      chain->tls = std::move(tls);
      out->chains.push_back(std::move(chain));
    }
    return out;
  };
  World w;
  w.epoch.set_listener(listener({{"a", "s"}, {"b", "s"}}, 1), w.now);
  w.epoch.secret_answered("s\nads");
  w.commit();
  REQUIRE(w.live("l"));
  w.epoch.set_listener(listener({{"new", "t"}, {"a", "s"}, {"b", "s"}}, 2), w.now);
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 1);
  w.now += 200ms;
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 2);
  // one that lacks it already goes on lacking it; one that served goes on serving
  w.epoch.set_listener(listener({{"a", "s"}, {"new", "t"}}, 3), w.now);
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 3);
  w.epoch.set_listener(listener({{"a", "u"}, {"new", "t"}}, 4), w.now);
  w.now += 1h;
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l")->content_hash == 3);
}

TEST_CASE("a listener with another secret waits for it while its old form serves; the old secret is let go then") {
  World w;
  w.tls_listener("l", World::secret("s"));
  w.epoch.secret_answered("s\nads");
  w.commit();
  const auto old = w.epoch.current()->listeners.at("l");
  const uint64_t wished = w.epoch.wanted_generation();
  w.tls_listener("l", World::secret("t"), 2);
  w.commit();
  CHECK(w.epoch.wanted_generation() != wished);
  CHECK(w.epoch.current()->listeners.at("l") == old);
  CHECK(w.epoch.wanted().secrets.size() == 2);
  w.epoch.secret_answered("t\nads");
  w.commit();
  CHECK(w.epoch.current()->listeners.at("l") != old);
  REQUIRE(w.epoch.wanted().secrets.size() == 1);
  CHECK(w.epoch.wanted().secrets[0].name == "t");
  w.epoch.remove_listener("l");
  w.commit();
  CHECK(w.epoch.wanted().secrets.empty());
  CHECK_FALSE(w.epoch.wants_secret("t\nads"));
}

}  // namespace
}  // namespace fairlead::xds::epoch_test
