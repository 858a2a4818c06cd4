// Discovery statistics follow snapshots.
#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>

#include "dataplane/server/discovery_counters.h"
#include "dataplane/stats/render.h"

namespace fairlead::server::discovery_counters_test {
namespace {

struct World {
  std::shared_ptr<config::ClusterConfig> cluster(const std::string& name, config::ConfigSource::Kind source = config::ConfigSource::Kind::Ads) {
    auto config = std::make_shared<config::ClusterConfig>();
    config->name = name;
    config->discovery = config::ClusterConfig::Discovery::Eds;
    config->eds_service_name = "svc";
    config->eds_source.emplace().kind = source;
    return config;
  }
  void serve(const std::shared_ptr<config::ClusterConfig>& config) {
    snapshot.clusters[config->name] = {config, std::make_shared<config::EndpointSet>(), true};
    counters.apply(snapshot);
  }
  void accept(const std::string& service, const std::string& version) {
    xds::Outcome outcome;
    outcome.applied[service] = version;
    counters.endpoints_updated({xds::Type::endpoint, false, version, {}, {}}, outcome);
  }
  void refuse(const std::string& service) {
    xds::Outcome outcome;
    outcome.status = absl::InvalidArgumentError("no");
    outcome.refused = {service};
    counters.endpoints_updated({xds::Type::endpoint, false, "bad", {}, {}}, outcome);
  }
  uint64_t at(const std::string& leaf, const std::string& cluster = "a") const { return registry.find("cluster." + cluster + "." + leaf); }
  stats::Registry registry{1};
  upstream::SharedClusters shared{registry};
  DiscoveryCounters counters{registry, shared};
  config::Snapshot snapshot;
};

TEST_CASE("updates of an EDS cluster are counted; all is gone with the cluster") {
  World w;
  w.serve(w.cluster("a"));
  w.counters.apply(w.snapshot);
  CHECK(w.at("membership_change") == 0);
  CHECK(w.at("update_attempt") == 1);  // the request
  w.accept("svc", "1");
  w.accept("other", "2");
  CHECK(w.at("update_success") == 1);
  CHECK(w.at("update_attempt") == 2);
  CHECK(w.at("update_time") > 0);
  CHECK(w.at("version") == 13237225503670494420ull);  // Envoy 1.40's for "1"
  std::vector<std::string> names;
  w.registry.for_each([&](const stats::Sample& sample) { names.push_back(absl::StrCat(sample.scope->text, sample.leaf)); });
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());  // each once
  CHECK_THAT(*stats::render_text(w.registry, {}), Catch::Contains("cluster.a.version_text: \"1\""));
  w.refuse("svc");
  CHECK(w.at("update_rejected") == 1);
  CHECK(w.at("update_failure") == 0);
  CHECK(w.at("update_attempt") == 3);
  CHECK_THAT(*stats::render_text(w.registry, {}), Catch::Contains("cluster.a.version_text: \"1\""));
  w.counters.endpoints_failed();
  CHECK(w.at("update_failure") == 1);
  w.snapshot.clusters.clear();
  w.counters.apply(w.snapshot);
  CHECK(w.registry.cells_in_use() == 0);
  w.accept("svc", "3");  // nobody is left to count it for
}

TEST_CASE("what came while a cluster still warmed counts once it is served; a refusal is every cluster's") {
  World w;
  w.accept("svc", "1");
  w.accept("svc", "2");
  w.serve(w.cluster("a"));
  CHECK(w.at("update_success") == 2);
  CHECK(w.at("update_attempt") == 3);
  CHECK_THAT(*stats::render_text(w.registry, {}), Catch::Contains("cluster.a.version_text: \"2\""));
  w.serve(w.cluster("b", config::ConfigSource::Kind::Path));
  CHECK(w.at("update_success", "b") == 0);
  CHECK(w.at("update_attempt", "b") == 0);  // a file is asked nothing
  w.refuse("unknown");
  CHECK(w.at("update_rejected") == 1);
  CHECK(w.at("update_rejected", "b") == 1);
}

TEST_CASE("answers for a service that no cluster names any more are forgotten") {
  World w;
  w.accept("svc", "1");
  w.counters.endpoints_dropped("svc");
  w.serve(w.cluster("a"));
  CHECK(w.at("update_success") == 0);
}

}  // namespace
}  // namespace fairlead::server::discovery_counters_test
